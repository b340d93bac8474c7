"""Operators that the single file computes by others, made for it: recurrent layers on packed parameters."""
from __future__ import annotations

from ..graph import Graph, Node
from ..passes.infer_types import Types
from ..passes.rewrite import rebuild, renumbered


def lower(graph: Graph, types: Types) -> Graph:
    """A predict graph with every operator that has a `.lower_c` rule replaced by what the rule gives.  What becomes of
    parameters alone is computed at export, as everything static is."""
    originals = {node.serial: node for node in graph.nodes if node.op is not None and node.op.lower_c_rule is not None}
    if not originals:
        return graph

    def visit(node: Node):
        if node.serial not in originals:
            return node
        inputs = [types[value] for value in originals[node.serial].inputs]
        values = node.op.lower_c_rule(node.inputs, inputs, node.op.filled(node.attrs))
        if values is None:
            return node
        for value in values:
            value.node.hidden.update(node.hidden)
        return values
    return renumbered(rebuild(graph, visit))
