"""Reverse-mode differentiation as explicit nodes (as nnvm's Gradient pass): backward operators in the same graph."""
from __future__ import annotations

from collections.abc import Collection, Sequence

from ..errors import GraphError
from ..graph import Graph, Node, Value, apply
from ..ops import get
from ..ops.generic_gradient import is_differentiable, vjp_operator
from ..ops.operator import GradientCall
from .rewrite import running_order


def gradient(graph: Graph, heads: Sequence[Value | None], wrt: Collection[Node]) -> dict[Node, Value]:
    """Gradients of sum_i <outputs[i], heads[i]> for the variables `wrt`.

    heads: one value (the gradient of that output) or None (nothing flows) for each of the graph's outputs.
    Returns a value for each variable that a gradient reaches; one that is missing has a zero gradient.
    """
    needing = _needing(graph, set(wrt))
    douts: dict[Value, Value] = {}
    for output, head in zip(graph.outputs, heads, strict=True):
        if head is not None and output.node in needing:
            _add(douts, output, head)
    for node in reversed(running_order(graph)):
        if node.op is not None and node in needing:
            _step_back(node, needing, douts)
    return {node: douts[Value(node, 0)] for node in wrt if Value(node, 0) in douts}


def _needing(graph: Graph, wrt: set[Node]) -> set[Node]:
    """Nodes through which a gradient to a variable in `wrt` flows."""
    needing = set(wrt)
    for node in graph.nodes:
        if node.op is not None and is_differentiable(node.op) and any(v.node in needing for v in node.inputs):
            needing.add(node)
    return needing


def _step_back(node: Node, needing: set[Node], douts: dict[Value, Value]) -> None:
    outputs = tuple(Value(node, i) for i in range(node.num_outputs))
    given = tuple(douts.get(v) for v in outputs)
    if all(d is None for d in given):
        return
    needs = tuple(v.node in needing for v in node.inputs)
    dinputs = node_gradient(node, outputs, given, needs)
    for value, need, dinput in zip(node.inputs, needs, dinputs, strict=True):
        if need and dinput is not None:
            _add(douts, value, dinput)


def node_gradient(node: Node, outputs: tuple, douts: tuple, needs: tuple[bool, ...]) -> Sequence[Value | None]:
    """Gradients of one node's inputs, by its own rule or by the generic vector-Jacobian product."""
    if node.op.gradient_rule is not None:
        call = GradientCall(node.inputs, outputs, douts, needs, node.op.filled(node.attrs))
        dinputs = node.op.gradient_rule(call)
        if len(dinputs) != len(node.inputs):
            raise GraphError(f"gradient of {node.op.name}: the rule must return one entry an input; "
                             f"got {len(dinputs)} for {len(node.inputs)} inputs; mend the rule beside the operator")
        return dinputs
    attrs = {**node.attrs, "needs": needs, "given": tuple(d is not None for d in douts)}
    grads = apply(vjp_operator(node.op), [*node.inputs, *(d for d in douts if d is not None)], attrs)
    rest = iter(grads if type(grads) is tuple else (grads,))
    return [next(rest) if need else None for need in needs]


def _add(douts: dict[Value, Value], value: Value, dout: Value) -> None:
    """Add to the gradient of `value`, at once: a parameter that is used often has one running sum, not many parts."""
    before = douts.get(value)
    douts[value] = dout if before is None else apply(get("elemwise_add"), [before, dout], {})
