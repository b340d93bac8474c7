"""From a predict graph with its parameters to what the C file holds: constants, steps, offsets."""
from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch

from ..errors import OperatorError
from ..executor.program import Program
from ..graph import Graph, Node, Value
from ..passes.fold_affine import fold_affine
from ..passes.infer_types import Types, infer_types
from ..passes.merge import merge
from ..passes.pipeline import fill_created
from ..passes.schedule import schedule
from ..passes.simplify import simplify
from ..passes.specialize import specialize
from ..passes.spread_affine import spread_affine
from ..types import TORCH_DTYPES, TensorType
from .fuse import fuse
from .geometry import BLOCK, Storage
from .layers import Layer, Pack
from .layout import Layout, layout
from .lower import lower
from .memory import place_storages
from .precision import Reduced, reduced
from .refusals import require_kernels
from .schedules import Choose, cost_model
from .select import layer_of, room_after
from .shares import for_threads


class ExportPlan(NamedTuple):
    """inputs, outputs: values.   constants: parameters as they are stored.   layout: what runs, and where values lie.
    source: the value whose memory a value uses (reshapes).   offsets: byte offset in the arena of each storage.
    reduced: those constants that are stored in fewer bits; `constants` holds them as they were.
    packed: offset, in floats behind the stored parameters, of those that are made when a model is created.
    """

    inputs: tuple[Value, ...]
    outputs: tuple[Value, ...]
    constants: dict[Value, torch.Tensor]
    layout: Layout
    source: dict[Value, Value]
    offsets: dict[Storage, int]
    arena_bytes: int
    packed: dict[Pack, int]
    packed_floats: int
    types: Types
    reduced: dict[Value, Reduced]
    threads: int = 1


def export_plan(graph: Graph, parameters: Mapping[str, torch.Tensor], inputs: Mapping[str, TensorType],
                choose: Choose = cost_model, precision: str = "float32", threads: int = 1) -> ExportPlan:
    """choose: how each 3x3 convolution is computed, see layers.py.   precision: of stored
    parameters, see `precision`.   threads: that compute a call, see shares.py.
    Raises NotBuiltError listing every node that has no C kernel, before anything is written."""
    known = dict(inputs) | {n.name: type_of(parameters[n.name]) for n in graph.inputs if n.name in parameters}
    predict = specialize(fill_created(graph, infer_types(graph, known)), training=False).graph
    graph = Graph(predict.outputs[:len(graph.outputs)])   # updates of running statistics are no part of inference
    graph = merge(spread_affine(fold_affine(simplify(graph)), known))
    graph = merge(lower(graph, infer_types(graph, known)))
    types = infer_types(graph, known)
    constants = constants_of(graph, parameters, types)
    order = [Value(n, 0) for n in graph.inputs if n.name in inputs]
    steps = schedule(graph.outputs, [*order, *constants])
    _require_known(steps, constants, inputs)
    for value in order:
        if types.get(value) is None:  # an input that nothing reads any more keeps its place among the inputs
            types.set(value.node, (inputs[value.node.name],))
    require_kernels(steps, types)
    source = _sources(steps)
    placed = _layout(steps, types, source, constants, graph.outputs, choose, threads)
    offsets, total = place_storages(placed, order, graph.outputs, constants, source, types)
    packed, floats = _packed(placed)
    return ExportPlan(tuple(order), graph.outputs, constants, placed, source, offsets, total, packed, floats, types,
                      reduced(constants, graph.outputs, precision), threads)


def _layout(steps: Sequence[Node], types: Types, source: Mapping[Value, Value], constants: Mapping,
            outputs: Sequence[Value], choose: Choose, threads: int) -> Layout:
    layers = {node: layer for node in steps for layer in [layer_of(node, types, constants, choose)]
              if layer is not None}
    if threads > 1:     # each share has a scratch of its own
        layers = {node: for_threads(layer, threads) if isinstance(layer, Layer) else layer
                  for node, layer in layers.items()}
    groups = fuse(steps, types, outputs, constants, lambda node: room_after(layers.get(node)))
    return layout(groups, {i: layers[group.node] for i, group in enumerate(groups) if group.node in layers}, types,
                  source, constants, outputs)


def _packed(placed: Layout) -> tuple[dict[Pack, int], int]:
    """Where each packed parameter lies; equal ones once."""
    offsets: dict[Pack, int] = {}
    total = 0
    for step in placed.steps:
        for pack in step.layer.packs if isinstance(step.layer, Layer) else ():
            if pack not in offsets:
                offsets[pack] = total
                total += -(-pack.floats // BLOCK) * BLOCK
    return offsets, total


def type_of(tensor: torch.Tensor) -> TensorType:
    return TensorType(tuple(tensor.shape), str(tensor.dtype).removeprefix("torch."))


def constants_of(graph: Graph, parameters: Mapping[str, torch.Tensor], types: Types) -> dict[Value, torch.Tensor]:
    """Every value that depends on parameters, attributes and shapes alone and that the rest reads, computed now."""
    static: set[Node] = set()
    for node in graph.nodes:
        if node.name in parameters if node.op is None else _is_static(node, static):
            static.add(node)
    wanted: dict[Value, None] = {}
    for node in graph.nodes:
        if node not in static:
            wanted.update((v, None) for v in node.inputs if v.node in static)
    wanted.update((v, None) for v in graph.outputs if v.node in static)
    given = {Value(n, 0): parameters[n.name] for n in graph.nodes if n.op is None and n in static}
    given |= {v: torch.zeros(types[v].shape, dtype=TORCH_DTYPES[types[v].dtype])     # its shape is all that is read
              for node in static for v in node.inputs if v.node not in static}
    with torch.no_grad():
        results = Program(list(wanted), list(given)).run(list(given.values()))
    return {value: result.contiguous() for value, result in zip(wanted, results, strict=True)}


def _is_static(node: Node, static: set[Node]) -> bool:
    """Whether the node's value can be computed now: no input varies beyond its shape, nothing is drawn."""
    return not node.op.needs_seed and all(v.node in static or i in node.op.traits.shape_only
                                          for i, v in enumerate(node.inputs))


def _require_known(steps: Sequence[Node], constants: Mapping, inputs: Mapping) -> None:
    missing = dict.fromkeys(v.node.name for n in steps for i, v in enumerate(n.inputs)
                            if v.node.op is None and v not in constants and v.node.name not in inputs
                            and i not in n.op.traits.shape_only)
    if missing:
        raise OperatorError(f"export to C: the graph reads {', '.join(missing)}; got neither a parameter nor an input "
                            f"shape of that name; give them, or export the net before its loss")


def _sources(steps: Sequence[Node]) -> dict[Value, Value]:
    """For each value of a reshaping node, the value whose memory it shares."""
    source: dict[Value, Value] = {}
    for node in steps:
        if node.op.traits.reshape:
            source[Value(node, 0)] = source.get(node.inputs[0], node.inputs[0])
    return source
