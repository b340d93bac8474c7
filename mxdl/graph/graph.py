"""A graph: the values that are wanted, and the variables that they are computed from."""
from __future__ import annotations

from collections.abc import Iterable, Sequence

from .node import Node, Value


class Graph:
    """outputs: the values wanted, in order.   inputs: variable nodes, in the order that programs take them
    (default: the order in which a depth-first walk from the outputs meets them, which is MXNet's)."""

    __slots__ = ("_nodes", "inputs", "outputs")

    def __init__(self, outputs: Iterable[Value], inputs: Sequence[Node] | None = None):
        self.outputs = tuple(outputs)
        self._nodes: list[Node] | None = None
        self.inputs = tuple(n for n in self.nodes if n.op is None) if inputs is None else tuple(inputs)

    @property
    def nodes(self) -> list[Node]:
        """Every node that the outputs need, producers before consumers."""
        if self._nodes is None:
            self._nodes = postorder(self.outputs)
        return self._nodes


def postorder(outputs: Iterable[Value]) -> list[Node]:
    """Depth-first post-order from `outputs`, inputs left to right; iterative, so depth is no limit."""
    order: list[Node] = []
    seen: set[Node] = set()
    for head in outputs:
        if head.node in seen:
            continue
        seen.add(head.node)
        stack = [(head.node, iter(head.node.inputs))]
        while stack:
            node, inputs = stack[-1]
            for value in inputs:
                if value.node not in seen:
                    seen.add(value.node)
                    stack.append((value.node, iter(value.node.inputs)))
                    break
            else:
                stack.pop()
                order.append(node)
    return order
