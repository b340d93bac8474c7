"""Dtypes without shapes: what `Symbol.infer_type` tells before any shape is known.

With shapes, `infer_types` is exact; here an operator's outputs have the dtype of its `dtype` attribute, else of its
first input of known dtype, and its variables without dtype take that of their siblings.
"""
from __future__ import annotations

from collections.abc import Mapping

from ..graph import Graph, Node
from ..types import TORCH_DTYPES, dtype_name


def infer_dtypes(graph: Graph, given: Mapping[str, str]) -> dict[Node, str]:
    """The dtype of each node's outputs where it can be told; `given` by variable name."""
    found: dict[Node, str] = {}
    for node in graph.nodes:
        if node.op is None:
            declared = given.get(node.name) or _declared(node)
            if declared is not None:
                found[node] = declared
    while True:
        before = len(found)
        for node in graph.nodes:
            if node.op is not None:
                _through(node, found)
        if len(found) == before:
            return found


def _through(node: Node, found: dict[Node, str]) -> None:
    """From known inputs to the node and to its unknown variables."""
    op = node.op
    if op is None:
        return
    first = next((found[v.node] for v in node.inputs if v.node in found), None)
    attribute = op.filled(node.attrs).get("dtype")
    if first is not None:
        # Indices tell nothing of what they index.
        tells = op.traits.elementwise or TORCH_DTYPES[first].is_floating_point
        sibling = first if tells else dtype_name(attribute or "float32")
        for value in node.inputs:
            if value.node.op is None:
                found.setdefault(value.node, sibling)
    if attribute is not None:
        found.setdefault(node, dtype_name(attribute))
    elif first is not None:
        found.setdefault(node, first)


def _declared(node: Node) -> str | None:
    text = node.hidden.get("__dtype__")
    if text is None or text == "-1":
        return None
    return dtype_name(int(text) if text.isdigit() else text)
