"""Auxiliary states: the variables that some operator writes to (running statistics)."""
from __future__ import annotations

from .graph import Graph
from .node import Node


def auxiliary_nodes(graph: Graph) -> set[Node]:
    """The variables that are auxiliary inputs of some node."""
    found = set()
    for node in graph.nodes:
        if node.op is not None and node.op.auxiliary:
            names = node.op.input_names(node.attrs, len(node.inputs))
            found |= {v.node for v, name in zip(node.inputs, names, strict=True)
                      if name in node.op.auxiliary and v.node.op is None}
    return found
