"""Copies of graphs with variables replaced: what composing symbols is."""
from __future__ import annotations

from collections.abc import Iterable, Mapping

from .graph import postorder
from .node import Node, Value


def substituted(outputs: Iterable[Value], replace: Mapping[Node, Value]) -> list[Value]:
    """`outputs` over fresh copies of every node, except that nodes of `replace` give way to its values.
    Linear in the number of nodes."""
    outputs = list(outputs)
    copies: dict[Node, Node] = {}

    def moved(value: Value) -> Value:
        return replace[value.node] if value.node in replace else Value(copies[value.node], value.index)

    for node in postorder(outputs):
        if node not in replace:
            copies[node] = Node(node.op, node.name, dict(node.attrs), [moved(v) for v in node.inputs],
                                dict(node.hidden))
    return [moved(value) for value in outputs]


def bypassed(outputs: Iterable[Value], skip: Iterable[str]) -> list[Value]:
    """`outputs` over copies in which consumers do without the nodes whose operator is named in `skip`: output i of such
    a node is its input i.  The outputs' own nodes stay."""
    outputs, skipped = list(outputs), frozenset(skip)
    copies: dict[Node, Node] = {}

    def moved(value: Value) -> Value:
        while value.node.op is not None and value.node.op.name in skipped:
            value = value.node.inputs[value.index]
        return Value(copies[value.node], value.index)

    for node in postorder(outputs):
        copies[node] = Node(node.op, node.name, node.attrs, [moved(v) for v in node.inputs], node.hidden)
    return [Value(copies[value.node], value.index) for value in outputs]
