"""What every graph must satisfy; the tests run it after each pass."""
from __future__ import annotations

from ..errors import GraphError
from .graph import Graph
from .node import Node


def verify(graph: Graph) -> None:
    """Raise GraphError unless inputs come before consumers, every value exists and every node has the right arity.
    Linear time."""
    seen: set[Node] = set()
    for node in graph.nodes:
        for value in node.inputs:
            if value.node not in seen:
                raise GraphError(f"verify: {node} reads {value} before it is computed; the graph has a cycle")
            _check_index(value.node, value.index, str(node))
        if node.op is not None:
            _check_arity(node)
        seen.add(node)
    for value in graph.outputs:
        _check_index(value.node, value.index, "an output")
    for node in graph.inputs:
        if node.op is not None:
            raise GraphError(f"verify: input {node} is not a variable; inputs of a graph are variables")


def _check_index(node: Node, index: int, reader: str) -> None:
    if not 0 <= index < node.num_outputs:
        raise GraphError(f"verify: {reader} reads output {index} of {node}, which has {node.num_outputs}")


def _check_arity(node: Node) -> None:
    if node.op.variadic is None:
        names = node.op.input_names(node.attrs)
        required = [n for n in names if n not in node.op.optional]
        if not len(required) <= len(node.inputs) <= len(names):
            raise GraphError(f"verify: {node} has the wrong number of inputs; got {len(node.inputs)}, "
                             f"expected {', '.join(names)}")
