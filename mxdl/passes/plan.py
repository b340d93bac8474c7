"""What the pipeline makes of a graph: the values that the forward and the backward program compute."""
from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from ..graph import Graph, Node, Value
from ..types import TensorType
from .infer_types import Types, extend_types, infer_types


class Plan(NamedTuple):
    """What to run forward and backward.

    outputs: the user's outputs.   updates: new values of the variables `updated`.   saved: forward values that the
    backward program takes.   heads: variables for the outputs' gradients.   grads: gradient of each variable of
    `wrt`, None where it is zero.   num_seeds: random nodes.
    """

    inputs: tuple[Node, ...]
    outputs: tuple[Value, ...]
    updated: tuple[Node, ...]
    updates: tuple[Value, ...]
    num_seeds: int
    wrt: tuple[Node, ...] = ()
    heads: tuple[Value, ...] = ()
    grads: tuple[Value | None, ...] = ()
    saved: tuple[Value, ...] = ()


def plan_types(plan: Plan, known: Mapping[str, TensorType]) -> Types:
    """Types of every value of the plan from those of its variables (by name); heads have their outputs' types."""
    types = infer_types(Graph([*plan.outputs, *plan.updates, *plan.saved], plan.inputs), known)
    for node in plan.inputs:
        if types.get(Value(node, 0)) is None:
            types.set(node, (known[node.name],))
    for head, output in zip(plan.heads, plan.outputs, strict=bool(plan.heads)):
        types.set(head.node, (types[output],))
    return extend_types(types, [v for v in plan.grads if v is not None])
