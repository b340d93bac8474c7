"""Graphs as MXNet's symbol JSON, both ways.

    {"nodes": [{"op": "null" or name, "name", "attrs": {text: text}, "inputs": [[node, output, version]...]}...],
     "arg_nodes": [...], "node_row_ptr": [...], "heads": [[node, output, version]...], "attrs": {"mxnet_version"...}}

The strings that a file or a user gave for operator attributes are kept in `Node.hidden` under the attribute's name
("2" is not "2.0", and `workspace` means nothing here), so that what was read is written again unchanged.
"""
from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from ..errors import AttributeValueError, FileFormatError, OperatorError
from ..ops import Operator, custom, registry
from ..ops.attributes import attribute_text
from ..ops.not_built import NotBuiltOperator, not_built_reason
from .auxiliary import auxiliary_nodes
from .graph import Graph
from .hidden import ORIGIN
from .json_text import block, numbers, quoted, string_map
from .node import Node, Value
from .upgrade import upgrade

#: What mxdl writes as the version of MXNet whose format this is: 1.9.1.
FORMAT_VERSION = 10901


def attribute_texts(node: Node) -> dict[str, str]:
    """Every attribute of a node as the file holds it: the text that was given where it still says what `attrs` says."""
    texts = {key: text for key, text in node.hidden.items() if key != ORIGIN}
    if node.op is not None:
        for name, value in node.attrs.items():
            if name not in texts or not _says(node.op, name, texts[name], value):
                texts[name] = attribute_text(value)
    return texts


def _says(op: Operator, name: str, text: str, value: Any) -> bool:
    try:
        return op.attributes[name].parse(text, op.name) == value
    except (AttributeValueError, KeyError):
        return False


def to_json(graph: Graph) -> str:
    """The graph as the text of a ``-symbol.json`` file."""
    version = f'"attrs": {{"mxnet_version": ["int", {FORMAT_VERSION}]}}'
    return block("{", [*_graph_fields(graph, 2), version], "}", 0)


def _graph_fields(graph: Graph, indent: int) -> list[str]:
    position = {node: i for i, node in enumerate(graph.nodes)}
    versions: dict[Node, int] = {}
    rows, nodes = [0], []
    for node in graph.nodes:
        nodes.append(_node_text(node, position, versions, indent + 2))
        rows.append(rows[-1] + (1 if node.op is None else node.op.mxnet_outputs(node.attrs)))
    heads = [[position[v.node], v.index, versions.get(v.node, 0)] for v in graph.outputs]
    return ['"nodes": ' + block("[", nodes, "]", indent),
            '"arg_nodes": ' + numbers([position[n] for n in graph.nodes if n.is_variable], indent),
            '"node_row_ptr": ' + numbers(rows, indent),
            '"heads": ' + numbers(heads, indent)]


def _node_text(node: Node, position: Mapping[Node, int], versions: dict[Node, int], indent: int) -> str:
    fields = ['"op": ' + quoted("null" if node.op is None else node.op.name), '"name": ' + quoted(node.name)]
    texts = attribute_texts(node)
    if texts:
        fields.append('"attrs": ' + string_map(texts, indent + 2))
    fields.append('"inputs": ' + numbers(_edges(node, position, versions), indent + 2))
    if isinstance(node.op, NotBuiltOperator) and node.op.subgraphs:
        texts_of_subgraphs = [block("{", _graph_fields(g, indent + 6), "}", indent + 4) for g in node.op.subgraphs]
        fields.append('"subgraphs": ' + block("[", texts_of_subgraphs, "]", indent + 2))
    return block("{", fields, "}", indent)


def _edges(node: Node, position: Mapping[Node, int], versions: dict[Node, int]) -> list[list[int]]:
    """[node id, output, version] an input.  The version counts how often a variable was written to: reading an
    auxiliary state is writing its next version."""
    op = node.op
    written = op.input_names(node.attrs, len(node.inputs)) if op is not None and op.auxiliary else []
    edges = []
    for i, value in enumerate(node.inputs):
        if i < len(written) and op is not None and written[i] in op.auxiliary:
            versions[value.node] = versions.get(value.node, 0) + 1
        edges.append([position[value.node], value.index, versions.get(value.node, 0)])
    return edges


def from_json(text: str, where: str = "symbol JSON") -> Graph:
    """The graph in the text of a ``-symbol.json`` file, of any version of MXNet.

    Raises FileFormatError (with `where` in it) for what is no such text, OperatorError for operators that mxdl does
    not know: every one of them named.
    """
    try:
        content = json.loads(text, strict=False)
    except json.JSONDecodeError as error:
        raise FileFormatError(f"{where}: not JSON at byte {error.pos} ({error.msg}); got {len(text)} characters; "
                              f"the file is truncated or is no symbol file") from None
    return _graph_of(upgrade(content, where), where)


def _graph_of(content: Mapping[str, Any], where: str) -> Graph:
    entries = content["nodes"]
    _refuse_unknown_operators(entries, where)
    counts = _output_counts(content)
    nodes: list[Node] = []
    for entry, num_outputs in zip(entries, counts, strict=True):
        inputs = [_value(nodes, edge, f"{where}: node {entry['name']!r}") for edge in entry["inputs"]]
        nodes.append(_node(entry, inputs, num_outputs, where))
    return Graph(_value(nodes, head, f"{where}: heads") for head in content["heads"])


def _value(nodes: Sequence[Node], edge: Sequence[int], where: str) -> Value:
    if not 0 <= edge[0] < len(nodes):
        raise FileFormatError(f"{where}: an edge leads to node {edge[0]}; got {len(nodes)} nodes before it; "
                              f"producers stand before consumers in a symbol file")
    return Value(nodes[edge[0]], edge[1])


def _node(entry: Mapping[str, Any], inputs: Sequence[Value], num_outputs: int, where: str) -> Node:
    name, texts = entry["name"], entry["attrs"]
    if entry["op"] == "null":
        return Node(None, name, hidden=texts)
    if entry["op"] == custom.NAME:
        users = custom.operator_of({k: v for k, v in texts.items() if not k.startswith("__")})
        return Node(users, name, {}, inputs, texts)
    op = registry.find(entry["op"])
    if op is None:
        subgraphs = [_graph_of(g, f"{where}: subgraph of {name!r}") for g in entry["subgraphs"]]
        placeholder = NotBuiltOperator(entry["op"], name, num_outputs, subgraphs, *_inner_inputs(subgraphs, inputs))
        return Node(placeholder, name, {}, inputs, texts)
    try:
        attrs = op.parse({k: v for k, v in texts.items() if k in op.attributes or not k.startswith("__")})
    except OperatorError as error:
        raise FileFormatError(f"{where}: node {name!r}: {error}") from None
    return Node(op, name, attrs, inputs, texts)


def _inner_inputs(subgraphs: Sequence[Graph], inputs: Sequence[Value]) -> tuple[list[str], list[str]]:
    """Names of a fused operator's inputs, which are those of the graph inside it, and of the states among them."""
    if len(subgraphs) != 1 or len(subgraphs[0].inputs) > len(inputs):
        return [], []
    return [n.name for n in subgraphs[0].inputs], [n.name for n in auxiliary_nodes(subgraphs[0])]


def _output_counts(content: Mapping[str, Any]) -> list[int]:
    """How many outputs each node has, as far as the file tells: by `node_row_ptr`, else by what is used of it."""
    entries, rows = content["nodes"], content["node_row_ptr"]
    if len(rows) == len(entries) + 1:
        return [after - before for before, after in zip(rows, rows[1:], strict=False)]
    counts = [1] * len(entries)
    for edge in [*content["heads"], *(edge for entry in entries for edge in entry["inputs"])]:
        if 0 <= edge[0] < len(counts):
            counts[edge[0]] = max(counts[edge[0]], edge[1] + 1)
    return counts


def _refuse_unknown_operators(entries: Sequence[Mapping[str, Any]], where: str) -> None:
    unknown: dict[str, list[str]] = {}
    for entry in entries:
        op = entry["op"]
        if op not in ("null", custom.NAME) and registry.find(op) is None and not_built_reason(op) is None:
            unknown.setdefault(op, []).append(entry["name"])
    if unknown:
        named = ", ".join(f"{op} (node {names[0]!r}{f' and {len(names) - 1} more' if names[1:] else ''})"
                          for op, names in unknown.items())
        raise OperatorError(f"{where}: operators that mxdl does not have; got {named}; register them with "
                            f"mxdl.ops.operator before loading")
