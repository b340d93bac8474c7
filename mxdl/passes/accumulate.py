"""Aggregation in place: a part of a gradient is added into the running sum by the product that computes it."""
from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from ..graph import Graph, Node, Value
from ..ops.accumulating import accumulating
from .rewrite import follow, running_order


def accumulate(graph: Graph) -> Graph:
    """Replace sum(total, product(inputs)) by one node that adds the product into `total`, where the product has such
    a kernel, nothing else reads it and `total` is there before it.  For a recurrent weight this saves an array of the
    weight's size, and a pass over it, at every time step."""
    totals = _totals(graph)
    mapped: dict[Node, Node | Sequence[Value]] = {}
    for node in running_order(graph):
        inputs = tuple(follow(mapped, value) for value in node.inputs)
        if node in totals:
            inputs = (follow(mapped, totals[node]), *inputs)
            mapped[node] = new = Node(accumulating(node.op), node.name, node.attrs, inputs, node.hidden)
            new.serial = node.serial
        elif node.op is not None and node.op.traits.sum and (part := _part(node, totals)) is not None:
            mapped[node] = (follow(mapped, part),)
        elif inputs != node.inputs:
            mapped[node] = node.replaced(inputs)
    return Graph([follow(mapped, value) for value in graph.outputs], graph.inputs)


def _totals(graph: Graph) -> dict[Node, Value]:
    """For each product that can take it, the sum to which its output is added next."""
    reads = Counter(value for node in graph.nodes for value in node.inputs)
    reads.update(graph.outputs)
    totals: dict[Node, Value] = {}
    for node in running_order(graph):
        if node.op is None or not node.op.traits.sum:
            continue
        for total, part in (node.inputs, node.inputs[::-1]):
            if reads[part] == 1 and _takes(part, total) and part.node not in totals:
                totals[part.node] = total
                break
    return totals


def _takes(part: Value, total: Value) -> bool:
    node = part.node
    return node.op is not None and total.node.op is not None and part.index == node.op.accumulated_output(node.attrs) \
        and (total.node.serial or 0) < (node.serial or 0)


def _part(node: Node, totals: dict[Node, Value]) -> Value | None:
    """Of a sum's inputs, the one that is added to the other where it is computed."""
    for total, part in (node.inputs, node.inputs[::-1]):
        if totals.get(part.node) == total and part.index == part.node.op.accumulated_output(part.node.attrs):
            return part
    return None
