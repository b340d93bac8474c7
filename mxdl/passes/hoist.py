"""What a program need not compute in every call: values that follow from its parameters alone."""
from __future__ import annotations

from collections.abc import Sequence

from ..graph import Graph, Node, Value


def parameters_folded(graph: Graph) -> set[Node]:
    """Variables that operators with a folding rule read beside their data: weights, biases, statistics."""
    return {value.node for node in graph.nodes
            if node.op is not None and (node.op.affine_rule is not None or node.op.absorb_rule is not None)
            for value in node.inputs[1:] if value.node.op is None}


def hoist(outputs: Sequence[Value], constant: set[Node]) -> list[Value]:
    """Values computed from the variables `constant` and from nothing else that the rest of the graph reads."""
    fixed = set(constant)
    hoisted: dict[Value, None] = {}
    for node in Graph(outputs).nodes:
        if node.op is None or node in fixed:
            continue
        if node.inputs and not node.op.needs_seed and all(v.node in fixed for v in node.inputs):
            fixed.add(node)
        else:
            hoisted.update((v, None) for v in node.inputs if v.node in fixed and v.node.op is not None)
    hoisted.update((v, None) for v in outputs if v.node in fixed and v.node.op is not None)
    return list(hoisted)
