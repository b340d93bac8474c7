"""Rebuilding a graph node by node: what the simple passes are written with."""
from __future__ import annotations

from collections.abc import Callable, Sequence

from ..graph import Graph, Node, Value

#: what a visitor returns for a node whose inputs are already mapped: the node that stands for it, or one value for
#: each of its outputs
Visitor = Callable[[Node], "Node | Sequence[Value]"]


def rebuild(graph: Graph, visit: Visitor) -> Graph:
    """The graph in which every node is replaced by what `visit` returns.  `visit` sees producers first, in running
    order and with their inputs mapped; a node that nothing changes is shared.  Variables are kept.  O(n log n)."""
    mapped: dict[Node, Node | Sequence[Value]] = {}
    for node in running_order(graph):
        if node.op is None:
            mapped[node] = node
            continue
        inputs = tuple(follow(mapped, value) for value in node.inputs)
        same = all(new is old or new == old for new, old in zip(inputs, node.inputs, strict=True))
        mapped[node] = visit(node if same else node.replaced(inputs))
    return Graph([follow(mapped, value) for value in graph.outputs], graph.inputs)


def running_order(graph: Graph) -> list[Node]:
    """The graph's nodes by serial, which passes keep a topological order (see `renumbered`)."""
    return sorted(graph.nodes, key=lambda node: node.serial or 0)


def renumbered(graph: Graph) -> Graph:
    """`graph` itself where every node was created after its inputs; else (composed symbols) a copy with fresh
    serials in depth-first order, so that the running order is topological."""
    if all((v.node.serial or 0) < (node.serial or 0) for node in graph.nodes for v in node.inputs):
        return graph
    mapped: dict[Node, Node | Sequence[Value]] = {}
    for node in graph.nodes:
        if node.op is not None:
            mapped[node] = Node(node.op, node.name, node.attrs, [follow(mapped, v) for v in node.inputs], node.hidden)
    return Graph([follow(mapped, v) for v in graph.outputs], graph.inputs)


def follow(mapped: dict[Node, Node | Sequence[Value]], value: Value) -> Value:
    """The value that stands for `value`; a node that is not in the map stands for itself."""
    target = mapped.get(value.node, value.node)
    if target is value.node:
        return value
    return Value(target, value.index) if isinstance(target, Node) else target[value.index]


def attrs_key(attrs: dict) -> tuple:
    """The attributes as a hashable key."""
    return tuple(sorted(attrs.items()))
