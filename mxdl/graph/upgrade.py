"""Symbol files of every MXNet version, brought to the form of 1.9.1 before a graph is made of them.

What changed over the versions: before 1.0 a node's attributes stood under `param` and `attr`; hidden attributes were
written without underscores, some on the operator instead of its parameter (`weight_lr_mult`); before 0.9.0 auxiliary
states were not stored; before 0.9.4 they had no initializer; before 0.9.5 argmax over everything was axis -1.
"""
from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ..errors import FileFormatError
from ..ops import registry
from .hidden import HIDDEN_KEYS, hidden_key

_OLDEST = 800  # the version of files that do not say theirs
_CURRENT = 10901
_REDUCED_EVERYTHING_BY_MINUS_ONE = ("argmax", "argmin")


def upgrade(content: Any, where: str) -> dict[str, Any]:
    """A new top object: every node with op, name, attrs, inputs [node, output], subgraphs.  Raises FileFormatError."""
    try:
        version = content.get("attrs", {}).get("mxnet_version", ["int", _OLDEST])[1]
        return _upgraded(content, version)
    except (AttributeError, KeyError, IndexError, TypeError, ValueError) as error:
        raise FileFormatError(f"{where}: not a symbol: {type(error).__name__} {error}; it needs nodes (each with op, "
                              f"name, inputs) and heads; give a -symbol.json file") from None


def _upgraded(content: Mapping[str, Any], version: int) -> dict[str, Any]:
    top: dict[str, Any] = {"nodes": [_normal(entry, version) for entry in content["nodes"]],
                           "heads": [_edge(head) for head in content["heads"]],
                           "node_row_ptr": [int(n) for n in content.get("node_row_ptr", ())]}
    if version < _CURRENT:
        for entry in top["nodes"]:
            entry["attrs"] = {hidden_key(key): text for key, text in entry["attrs"].items()}
    if version < 900:
        _add_missing_inputs(top)
    if version < _CURRENT:
        _move_parameter_attributes(top["nodes"])
    if version < 904:
        _add_initializers(top["nodes"])
    if version < 905:
        _drop_minus_one_axis(top["nodes"])
    return top


def _normal(entry: Mapping[str, Any], version: int) -> dict[str, Any]:
    attrs = {**entry.get("param", {}), **entry.get("attr", {}), **entry.get("attrs", {})}
    return {"op": str(entry["op"]), "name": str(entry["name"]), "attrs": {str(k): str(v) for k, v in attrs.items()},
            "inputs": [_edge(edge) for edge in entry["inputs"]],
            "subgraphs": [_upgraded(graph, version) for graph in entry.get("subgraphs", ())]}


def _edge(edge: Any) -> list[int]:
    return [int(edge[0]), int(edge[1])]


def _named_inputs(entry: Mapping[str, Any]) -> Iterator[tuple[int, str]]:
    """(position, name) of the inputs that the entry's operator has; nothing where mxdl does not know it."""
    op = registry.find(entry["op"])
    if op is not None:
        typed = op.parse({k: v for k, v in entry["attrs"].items() if k in op.attributes})
        yield from enumerate(op.input_names(typed, len(entry["inputs"])))


def _variable(nodes: list[dict], entry: Mapping[str, Any], position: int) -> dict | None:
    """The variable that is input number `position`, or None."""
    if position >= len(entry["inputs"]):
        return None
    source = nodes[entry["inputs"][position][0]]
    return source if source["op"] == "null" else None


def _is_parameters(key: str) -> bool:
    return not key.startswith("__") and key.endswith(tuple(f"_{hidden}" for hidden in HIDDEN_KEYS))


def _move_parameter_attributes(nodes: list[dict]) -> None:
    """An operator's ``weight_lr_mult`` becomes ``__lr_mult__`` of its input `weight`."""
    for entry in nodes:
        keys = [key for key in entry["attrs"] if _is_parameters(key)] if entry["op"] != "null" else []
        for key in keys:
            hidden = next(h for h in HIDDEN_KEYS if key.endswith(f"_{h}"))
            for position, name in _named_inputs(entry):
                variable = _variable(nodes, entry, position)
                if key == f"{name}_{hidden}" and variable is not None:
                    variable["attrs"][hidden_key(hidden)] = entry["attrs"].pop(key)
                    break


def _add_missing_inputs(top: dict[str, Any]) -> None:
    """Inputs that the file leaves out become variables NAME_input, placed before their operator."""
    moved: list[int] = []  # moved[old id] = new id
    nodes: list[dict] = []
    for entry in top["nodes"]:
        given = len(entry["inputs"])
        entry["inputs"] = [[moved[i], k] for i, k in entry["inputs"]]
        for position, name in list(_named_inputs(entry)):
            if position >= given:
                entry["inputs"].append([len(nodes), 0])
                own = {key: text for key, text in entry["attrs"].items() if not _is_parameters(key)}
                nodes.append({"op": "null", "name": f"{entry['name']}_{name}", "attrs": own, "inputs": [],
                              "subgraphs": []})
        moved.append(len(nodes))
        nodes.append(entry)
    top["nodes"], top["node_row_ptr"] = nodes, []
    top["heads"] = [[moved[i], k] for i, k in top["heads"]]


def _add_initializers(nodes: list[dict]) -> None:
    for entry in nodes:
        op = registry.find(entry["op"])
        for position, name in _named_inputs(entry):
            variable = _variable(nodes, entry, position)
            if op is not None and name in op.initializers and variable is not None:
                variable["attrs"].setdefault("__init__", op.initializers[name])


def _drop_minus_one_axis(nodes: list[dict]) -> None:
    for entry in nodes:
        if entry["op"] in _REDUCED_EVERYTHING_BY_MINUS_ONE and entry["attrs"].get("axis") == "-1":
            del entry["attrs"]["axis"]
