"""Remove nodes whose output is their first input, by the trait `identity`."""
from __future__ import annotations

from ..graph import Graph, Node, Value
from .rewrite import rebuild


def simplify(graph: Graph) -> Graph:
    """Drop identities (dropout in predict mode, copies): consumers read the input directly.

    Hidden further outputs (dropout's mask) must not be read.  Identities with a gradient of their own (BlockGrad)
    do not carry the trait, so this may run before the gradient pass.
    """
    read = {(v.node.serial, v.index) for node in graph.nodes for v in node.inputs}
    read |= {(v.node.serial, v.index) for v in graph.outputs}

    def visit(node: Node):
        identity = node.op.traits.identity
        if identity is None or not identity(node.op.filled(node.attrs)):
            return node
        hidden = range(1, node.num_outputs)
        if any((node.serial, i) in read for i in hidden):
            return node
        return (node.inputs[0], *(Value(node, i) for i in hidden))
    return rebuild(graph, visit)
