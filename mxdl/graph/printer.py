"""Graphs as text, one line a node:

    %data : float32[2, 3]
    %fc1 = FullyConnected(%data, %fc1_weight, %fc1_bias) {num_hidden=5} : float32[2, 5]
    return %fc1
"""
from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from .graph import Graph
from .node import Node, Value

TypeOf = Callable[[Value], Any]


def graph_text(graph: Graph, types: TypeOf | None = None, aliases: Mapping[Node, str] | None = None) -> str:
    """The graph's nodes in order, then what it returns.

    types: the type of a value, where known (a pass's result; None or an unknown value prints nothing).
    aliases: what to print after a node, for instance where memory planning put it.
    """
    lines = [node_text(node, types) + (f"   # {aliases[node]}" if aliases and node in aliases else "")
             for node in graph.nodes]
    return "\n".join([*lines, "return " + ", ".join(map(repr, graph.outputs))]) + "\n"


def node_text(node: Node, types: TypeOf | None = None) -> str:
    """One node: ``%name = Operator(inputs) {attributes} : type``."""
    text = f"%{node.name}"
    if node.op is not None:
        text += f" = {node.op.name}({', '.join(map(repr, node.inputs))})"
        if node.attrs:
            text += " {" + ", ".join(f"{key}={value!r}" for key, value in sorted(node.attrs.items())) + "}"
    return text + _types_text(node, types)


def _types_text(node: Node, types: TypeOf | None) -> str:
    if types is None:
        return ""
    found = [types(Value(node, i)) for i in range(node.num_outputs)]
    return " : " + ", ".join("?" if t is None else str(t) for t in found) if any(t is not None for t in found) else ""
