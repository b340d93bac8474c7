"""Fusion: two operators in a row become the one that does the work of both, where an entry says that there is one."""
from __future__ import annotations

from collections import Counter

from ..graph import Graph, Node, Value
from .rewrite import rebuild


def fuse(graph: Graph) -> Graph:
    """Join every operator with the only reader of its output by the rule that its entry holds (`followed_by`).

    For programs that train: what is gained is kept values, passes over memory and steps of the backward program.  The
    bits are those of the two operators.
    """
    uses = Counter((v.node.serial, v.index) for node in graph.nodes for v in node.inputs)
    uses.update((v.node.serial, v.index) for v in graph.outputs)

    def visit(node: Node) -> Node | list[Value]:
        source = node.inputs[0] if node.inputs else None
        if source is None or source.node.op is None or source.index or node.num_outputs > 1:
            return node
        producer = source.node
        rule = producer.op.followers.get(node.op)
        if rule is None or any(uses[producer.serial, i] != (i == 0) for i in range(producer.num_outputs)):
            return node
        found = rule(producer.op.filled(producer.attrs), node.op.filled(node.attrs))
        if found is None:
            return node
        op, attrs = found
        joined = Node(op, node.name, attrs, (*producer.inputs, *node.inputs[1:]), node.hidden)
        joined.serial = node.serial
        return [Value(joined, 0)]
    return rebuild(graph, visit)
