"""Common subexpressions: nodes that compute the same thing become one."""
from __future__ import annotations

from ..graph import Graph, Node
from ..ops.traits import NEVER
from .rewrite import attrs_key, rebuild


def merge(graph: Graph) -> Graph:
    """Merge nodes of equal operator, attributes and inputs.  Random nodes differ in their `seed`, so stay apart, as do
    those that must run once."""
    seen: dict[tuple, Node] = {}

    def visit(node: Node) -> Node:
        if node.op.traits.recompute is NEVER:
            return node
        return seen.setdefault((node.op.name, attrs_key(node.attrs), node.inputs), node)
    return rebuild(graph, visit)
