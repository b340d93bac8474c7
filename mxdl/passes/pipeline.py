"""The pipeline, in one place: which passes turn a traced graph into the programs that run."""
from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from .. import config
from ..graph import Graph, Node, Value, variable
from ..graph.verify import verify
from ..types import TensorType
from .accumulate import accumulate
from .fold_affine import fold_affine
from .fuse import fuse
from .goal import Goal, goal_of
from .gradient import gradient
from .infer_types import Types, has_open_shape, infer_types
from .merge import merge
from .own_memory import own_memory
from .plan import Plan
from .planner import mirrored
from .rewrite import rebuild, renumbered
from .schedule import schedule
from .simplify import simplify
from .specialize import specialize
from .stand_in import stand_ins
from .unroll import unroll

Casts = Callable[[Graph], Graph]

#: passes over the forward graph, once it is known whether it trains
FORWARD_PASSES: tuple[Callable[[Graph], Graph], ...] = (simplify, merge)
#: and these where it is to be differentiated
DIFFERENTIATED_PASSES: tuple[Callable[[Graph], Graph], ...] = (*FORWARD_PASSES, fuse)
#: and these where it predicts and may round otherwise than the operators do one by one
FOLDING_PASSES: tuple[Callable[[Graph], Graph], ...] = (*FORWARD_PASSES, fold_affine, renumbered, merge)
#: passes over forward and backward together
JOINT_PASSES: tuple[Callable[[Graph], Graph], ...] = (merge, accumulate)


def inference_plan(graph: Graph, training: bool, known: Mapping[str, TensorType] | None = None,
                   fold: bool = False, casts: Casts | None = None) -> Plan:
    """A forward-only plan.  `known` (types of the variables) is needed where creation shapes are unknown.
    fold: with the `FOLDING_PASSES`, whose results differ by rounding.   casts: the last pass, of mixed precision."""
    passes = FOLDING_PASSES if fold else FORWARD_PASSES
    prepared, updated, num_seeds = _prepare(graph, training, known, passes, casts)
    n = len(graph.outputs)
    return Plan(graph.inputs, prepared.outputs[:n], updated, prepared.outputs[n:], num_seeds)


def training_plan(graph: Graph, training: bool, wrt: Sequence[Node], mirror: object = False,
                  known: Mapping[str, TensorType] | None = None, casts: Casts | None = None,
                  fused: bool = False) -> Plan:
    """Forward and backward: gradients of the variables `wrt`, recomputing what `mirror` says (a `Goal`, or what
    `goal_of` reads).  `known` (types of the variables) is needed by the modes that count bytes.
    casts: the last pass over the forward graph, of mixed precision.   fused: for programs that a compiler fuses."""
    goal = mirror if isinstance(mirror, Goal) else goal_of(mirror)
    prepared, updated, num_seeds = _prepare(graph, training, known, DIFFERENTIATED_PASSES, casts)
    n = len(graph.outputs)
    heads = tuple(variable(f"head_gradient{i}") for i in range(n))
    grads = gradient(Graph(prepared.outputs[:n], graph.inputs), heads, wrt)
    reached = [node for node in wrt if node in grads]
    joint = Graph([*prepared.outputs, *(grads[node] for node in reached)],
                  [*graph.inputs, *(h.node for h in heads)])
    joint = _run(JOINT_PASSES, joint)
    m = len(prepared.outputs)
    outputs, updates, values = joint.outputs[:n], joint.outputs[n:m], list(joint.outputs[m:])
    forward = schedule([*outputs, *updates], [])
    values, shapes = stand_ins(forward, values)
    saved = _saved([*forward, *shapes], values)
    values = own_memory(values, [*heads, *saved, *(Value(node, 0) for node in graph.inputs)])
    by_node = dict(zip(reached, values, strict=True))
    plan = Plan(graph.inputs, outputs, updated, updates, num_seeds, tuple(wrt), heads,
                tuple(by_node.get(node) for node in wrt), saved)
    return mirrored(plan, goal, known, fused)


def _prepare(graph: Graph, training: bool, known: Mapping[str, TensorType] | None,
             passes: Sequence[Callable[[Graph], Graph]], casts: Casts | None):
    if known is not None:
        graph = unroll(graph, known)
    if known is not None and any(has_open_shape(node) for node in graph.nodes):
        graph = fill_created(graph, infer_types(graph, known))
    graph, updated, num_seeds = specialize(graph, training)
    return _run(passes if casts is None else (*passes, casts), graph), updated, num_seeds


def fill_created(graph: Graph, types: Types) -> Graph:
    """Write the shapes that inference found for creation nodes of unknown length."""
    if not types.created:
        return graph
    return rebuild(graph, lambda node: node if node not in types.created
                   else node.replaced(attrs={**node.attrs, "shape": types.created[node]}))


def _run(passes: Sequence[Callable[[Graph], Graph]], graph: Graph) -> Graph:
    for one in passes:
        graph = one(graph)
        if config.verify_passes():
            verify(graph)
    return graph


def _saved(forward: Sequence[Node], grads: Sequence[Value]) -> tuple[Value, ...]:
    """Forward values, and variables of the graph, that the backward pass reads."""
    computed = set(forward)
    saved: dict[Value, None] = {}
    seen: set[Node] = set()
    stack = list(grads)
    while stack:
        value = stack.pop()
        node = value.node
        if node in computed:
            saved[value] = None
        elif node not in seen:
            seen.add(node)
            stack.extend(node.inputs)
    return tuple(saved)
