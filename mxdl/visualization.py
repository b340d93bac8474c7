"""Symbols for the eye: `print_summary` (a table of layers), `plot_network` (graphviz), `dot_text` (without it)."""
from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from .errors import NotBuiltError
from .graph import Node, Value
from .graph.auxiliary import auxiliary_nodes
from .graph.serialize import attribute_texts
from .passes.infer_types import infer_types
from .symbol.symbol import Symbol
from .types import TensorType

_WEIGHT_SUFFIXES = ("_weight", "_bias", "_gamma", "_beta", "_parameters")
_STATE_SUFFIXES = ("_moving_mean", "_moving_var", "_running_mean", "_running_var")
Shapes = Mapping[str, Sequence[int]]


# -- the table ------------------------------------------------------------------------------------------------
class Row(NamedTuple):
    """One layer.   num_params: elements of its trained parameters.   previous: names of the layers before it."""

    layer: str
    shape: str
    num_params: int
    previous: list[str]


def print_summary(symbol: Symbol, shape: Shapes | None = None, line_length: int = 120,
                  positions: Sequence[float] = (.44, .64, .74, 1.)) -> None:
    """Print a table of the layers: name and operator, output shape without the batch axis, parameters, inputs.

    shape: shapes of the inputs by name; without it shapes and counts are blank.   positions: where each column ends,
    as a fraction of `line_length`.   Parameters are the elements of the trained arrays; a parameter that several
    layers share counts once.
    """
    print(summary_text(symbol, shape, line_length, positions))


def summary_text(symbol: Symbol, shape: Shapes | None = None, line_length: int = 120,
                 positions: Sequence[float] = (.44, .64, .74, 1.)) -> str:
    """What `print_summary` prints."""
    ends = [int(line_length * p) if p <= 1 else int(p) for p in positions]
    thin, thick = "_" * line_length, "=" * line_length
    lines = [thin, _columns(["Layer (type)", "Output Shape", "Param #", "Previous Layer"], ends), thick]
    rows = list(summary_rows(symbol, shape))
    for row in rows:
        first, *others = row.previous or [""]
        lines.append(_columns([row.layer, row.shape, str(row.num_params), first], ends))
        lines += [_columns(["", "", "", name], ends) for name in others]
        lines.append(thin)
    lines[-1] = thick
    return "\n".join([*lines, f"Total params: {sum(row.num_params for row in rows)}", thin])


def summary_rows(symbol: Symbol, shape: Shapes | None = None) -> Iterator[Row]:
    """The rows of the table, producers before consumers."""
    types = _types(symbol, shape)
    states = auxiliary_nodes(symbol.graph())
    counted: set[Node] = set()
    for node in symbol.graph().nodes:
        if node.op is None and not _is_data(node, shape):
            continue
        total = 0
        for value in node.inputs:
            if value.node.op is None and value.node not in states and value.node not in counted \
                    and not _is_data(value.node, shape) and not value.node.name.endswith("label"):
                counted.add(value.node)
                total += types[value].size if value in types else 0
        kind = node.op.name if node.op is not None else "null"
        previous = [v.node.name for v in node.inputs if v.node.op is not None or _is_data(v.node, shape)]
        yield Row(f"{node.name}({kind})", _shape_text(types.get(Value(node, 0))), total, previous)


def _columns(fields: Sequence[str], ends: Sequence[int]) -> str:
    line = ""
    for field, end in zip(fields, ends, strict=True):
        line = (line + field)[:end].ljust(end)
    return line


def _types(symbol: Symbol, shape: Shapes | None) -> dict[Value, TensorType]:
    if shape is None:
        return {}
    graph = symbol.graph()
    found = infer_types(graph, {name: (tuple(s), None) for name, s in shape.items()}, partial=True)
    values = (Value(node, i) for node in graph.nodes for i in range(node.num_outputs))
    return {value: kind for value in values if (kind := found.get(value)) is not None}


def _is_data(node: Node, shape: Shapes | None) -> bool:
    """Whether a variable is an input, not a parameter: named in `shape`, or (without it) by its name's ending."""
    if node.op is not None:
        return False
    if shape is not None:
        return node.name in shape
    return not node.name.endswith((*_WEIGHT_SUFFIXES, *_STATE_SUFFIXES, "label"))


def _shape_text(kind: TensorType | None) -> str:
    return "" if kind is None else "x".join(map(str, kind.shape[1:]))


# -- the picture ----------------------------------------------------------------------------------------------
_FILL = ("#8dd3c7", "#fb8072", "#ffffb3", "#bebada", "#80b1d3", "#fdb462", "#b3de69", "#fccde5")
_STYLE = {"shape": "box", "fixedsize": "true", "width": "1.3", "height": "0.8034", "style": "filled"}


class Picture(NamedTuple):
    """nodes: name -> attributes of the drawing (label, shape, fillcolor...).   edges: (consumer, producer, label)."""

    nodes: dict[str, dict[str, str]]
    edges: list[tuple[str, str, str]]


def plot_network(symbol: Symbol, title: str = "plot", save_format: str = "pdf", shape: Shapes | None = None,
                 dtype: Any = None, node_attrs: Mapping[str, str] | None = None, hide_weights: bool = True) -> Any:
    """The network as a `graphviz.Digraph`; edges are labelled with shapes where `shape` is given.

    Raises NotBuiltError where the Python package graphviz is not installed: `dot_text` needs none.
    """
    try:
        from graphviz import Digraph
    except ImportError:
        raise NotBuiltError("plot_network: the Python package graphviz is not installed; got none; "
                            "`pip install 'mxdl[plot]'`, or take the text: mx.viz.dot_text(symbol)") from None
    picture = draw(symbol, shape, node_attrs, hide_weights)
    dot = Digraph(name=title, format=save_format)
    for name, attrs in picture.nodes.items():
        dot.node(name=name, **attrs)
    for consumer, producer, label in picture.edges:
        dot.edge(tail_name=consumer, head_name=producer, dir="back", arrowtail="open", label=label)
    return dot


def dot_text(symbol: Symbol, title: str = "plot", shape: Shapes | None = None,
             node_attrs: Mapping[str, str] | None = None, hide_weights: bool = True) -> str:
    """The same picture in graphviz' language: `dot -Tpdf` draws it."""
    picture = draw(symbol, shape, node_attrs, hide_weights)
    lines = [f"digraph {_quoted(title)} {{"]
    lines += [f"\t{_quoted(name)} [{_attributes(attrs)}]" for name, attrs in picture.nodes.items()]
    lines += [f"\t{_quoted(consumer)} -> {_quoted(producer)} "
              f"[{_attributes({'dir': 'back', 'arrowtail': 'open', 'label': label})}]"
              for consumer, producer, label in picture.edges]
    return "\n".join([*lines, "}"]) + "\n"


def draw(symbol: Symbol, shape: Shapes | None = None, node_attrs: Mapping[str, str] | None = None,
         hide_weights: bool = True) -> Picture:
    """What to draw: parameters are left out with `hide_weights`; two nodes of one name are drawn as one (a warning)."""
    types = _types(symbol, shape)
    picture = Picture({}, [])
    for node in symbol.graph().nodes:
        if hide_weights and _is_weight(node):
            continue
        if node.name in picture.nodes:
            warnings.warn(f"plot_network: two nodes are named {node.name!r}; they are drawn as one", stacklevel=3)
        picture.nodes[node.name] = {"label": _label(node), **_STYLE, "fillcolor": _color(node),
                                    **({"shape": "oval"} if node.op is None else {}), **(node_attrs or {})}
        picture.edges.extend((node.name, v.node.name, _shape_text(types.get(v))) for v in node.inputs
                             if not (hide_weights and _is_weight(v.node)))
    return picture


def _is_weight(node: Node) -> bool:
    return node.op is None and node.name.endswith((*_WEIGHT_SUFFIXES, *_STATE_SUFFIXES))


def _label(node: Node) -> str:
    """The operator and the attributes that say most; the name where there are none."""
    if node.op is None:
        return node.name
    texts = attribute_texts(node)
    kernel = "x".join(_numbers(texts.get("kernel", "")))
    stride = "x".join(_numbers(texts.get("stride", ""))) or "1"
    if "num_filter" in texts:
        return f"{node.op.name}\n{kernel}/{stride}, {texts['num_filter']}"
    if kernel:
        return f"{node.op.name}\n{texts.get('pool_type', 'max')}, {kernel}/{stride}"
    for key in ("num_hidden", "act_type"):
        if key in texts:
            return f"{node.op.name}\n{texts[key]}"
    return node.name


def _numbers(text: str) -> list[str]:
    return [part.strip() for part in text.strip("()[]").split(",") if part.strip()]


def _color(node: Node) -> str:
    """One colour a kind: what a node does shows in its traits and attributes."""
    if node.op is None:
        return _FILL[0]
    texts, op = attribute_texts(node), node.op
    if "num_filter" in texts or "num_hidden" in texts:
        return _FILL[1]
    if "act_type" in texts or op.traits.elementwise:
        return _FILL[2]
    if op.auxiliary:
        return _FILL[3]
    if "kernel" in texts or "pool_type" in texts:
        return _FILL[4]
    if op.traits.view or op.variadic:
        return _FILL[5]
    return _FILL[6] if op.surrogate else _FILL[7]


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'


def _attributes(attrs: Mapping[str, str]) -> str:
    return " ".join(f"{key}={_quoted(value)}" for key, value in attrs.items())
