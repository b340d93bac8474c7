"""Which parameters are stored with their channels last, which is how planes are computed."""
from __future__ import annotations

from ..graph import Graph, Node


def channels_last_parameters(graph: Graph) -> tuple[Node, ...]:
    """The variables that operators on planes (trait `layout`) read beside their data: filters.

    Their kernels want channels-last memory and copy what is stored otherwise, in every call; so whoever owns the
    arrays stores those of four axes so, once.  Values and shapes stay: it is a matter of strides.
    """
    found: dict[Node, None] = {}
    for node in graph.nodes:
        if node.op is not None and node.op.traits.layout == "spatial":
            found.update((value.node, None) for value in node.inputs[1:] if value.node.op is None)
    return tuple(found)
