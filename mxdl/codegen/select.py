"""The kernel that computes a node on blocked buffers, from what its operator says of itself."""
from __future__ import annotations

from collections.abc import Collection

from ..graph import Node, Value
from ..ops.blocked import Convolve, Join, Pool
from ..passes.infer_types import Types
from .fuse import Room, per_channel, vector_of
from .layers import Layer, convolution, pooling
from .schedules import Choose, Shapes

#: elementwise operators on blocked buffers
MAP = "map"


def layer_of(node: Node, types: Types, constants: Collection[Value], choose: Choose) -> Layer | Join | str | None:
    """A Layer, a Join, or MAP; None where the node runs on plain arrays only."""
    found = [types[v] for v in (*node.inputs, Value(node, 0))]
    if any(t.dtype != "float32" for t in found) or len(found[-1].shape) != 4 or not found[-1].size:
        return None
    if node.op.blocked_rule is not None:
        form = node.op.blocked_rule(found[:-1], node.op.filled(node.attrs))
        return form if isinstance(form, Join) or form is None else _layer(form, node, types, constants, choose)
    return MAP if vector_of(node) is not None and _maps(node, types, constants) else None


def _layer(form: Convolve | Pool, node: Node, types: Types, constants: Collection[Value],
           choose: Choose) -> Layer | None:
    images, channels, *size = types[node.inputs[0]].shape
    shapes = Shapes(channels, *size, *types[Value(node, 0)].shape[1:])
    if isinstance(form, Pool):
        return pooling(form, shapes, images)
    data, weight, *bias = node.inputs
    if data in constants or any(v not in constants for v in (weight, *bias)):
        return None
    return convolution(form, shapes, images, weight, bias[0] if bias else None, choose)


def _maps(node: Node, types: Types, constants: Collection[Value]) -> bool:
    """Whether each input has the output's shape, or one element a channel."""
    shape = types[Value(node, 0)].shape
    return len(node.inputs) <= 2 and all(
        per_channel(types[v].shape, shape) if v in constants else types[v].shape in (shape, (*shape[:2], 1, 1))
        for v in node.inputs) and any(v not in constants and types[v].shape == shape for v in node.inputs)


def room_after(layer: Layer | Join | str | None) -> Room | None:
    """What elementwise operators the kernel can compute after its own work."""
    if layer == MAP:
        return Room(3, True)
    return Room(1, False) if isinstance(layer, Layer) and layer.packs else None
