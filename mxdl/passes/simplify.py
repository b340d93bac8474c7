"""Remove nodes whose output is their first input, by the trait `identity`."""
from __future__ import annotations

from ..graph import Graph, Node
from .rewrite import rebuild


def simplify(graph: Graph) -> Graph:
    """Drop identities (dropout in predict mode, copies): consumers read the input directly."""
    def visit(node: Node):
        identity = node.op.traits.identity
        if identity is not None and node.num_outputs == 1 and identity(node.op.filled(node.attrs)):
            return (node.inputs[0],)
        return node
    return rebuild(graph, visit)
