"""Where arrays from nothing are made: on the device that the graph runs on, unless the node says another."""
from __future__ import annotations

from ..graph import Graph, Node
from .rewrite import rebuild, renumbered


def creates(node: Node) -> bool:
    """Whether the node makes an array from attributes alone, and leaves the device open."""
    return node.op is not None and not node.inputs and "ctx" in node.op.attributes and not node.attrs.get("ctx")


def placed(graph: Graph, ctx: str) -> Graph:
    """The graph with `ctx` ("gpu(0)") on every node that leaves the device open."""
    return rebuild(renumbered(graph),
                   lambda node: node.replaced(attrs={**node.attrs, "ctx": ctx}) if creates(node) else node)
