"""Write per-channel affine maps that found no place in a convolution as a product and a sum, which export fuses."""
from __future__ import annotations

from collections.abc import Mapping

from ..graph import Graph, Node, Value
from ..ops import get
from ..types import TensorType
from .infer_types import infer_types
from .rewrite import rebuild


def spread_affine(graph: Graph, known: Mapping[str, TensorType]) -> Graph:
    """For a predict graph, of the images [N, C, H, W] whose scale and shift depend on parameters alone.

    known: types of the variables; a variable of other rank than a parameter's 1 makes the map an ordinary operator.
    """
    types = infer_types(graph, known)
    read = {(v.node.serial, v.index) for node in graph.nodes for v in node.inputs}
    read |= {(v.node.serial, v.index) for v in graph.outputs}
    images = {node.serial for node in graph.nodes if node.op is not None and len(types[Value(node, 0)].shape) == 4}

    def visit(node: Node):
        if node.op.affine_rule is None or node.serial not in images or any(
                (node.serial, i) in read for i in range(1, node.num_outputs)):
            return node
        affine = node.op.affine_rule(node.inputs, node.op.filled(node.attrs))
        if affine is None:
            return node
        scale, shift = (get("Reshape")(v, shape=(1, -1, 1, 1)) for v in affine)
        total = get("broadcast_add")(get("broadcast_mul")(node.inputs[0], scale), shift)
        return (total, *(Value(node, i) for i in range(1, node.num_outputs)))
    return rebuild(graph, visit)
