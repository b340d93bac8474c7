"""MXNet's own control flow, as its files hold it, in plain operators.

`_foreach` becomes its body once for each slice; `_while_loop` its body `max_iterations` times, those after the
condition fails without effect; `_cond` both branches, of which one is selected.  That is what `contrib.foreach`,
`while_loop` and `cond` become when a block is traced, too.
"""
from __future__ import annotations

import ast
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from ..errors import NotBuiltError, ShapeError
from ..graph import Graph, Node, Value, apply
from ..ops import get
from ..ops.not_built import NotBuiltOperator
from ..types import TensorType
from .infer_types import Types, describe, infer_types
from .rewrite import follow, rebuild, renumbered, running_order


def has_control_flow(graph: Graph) -> bool:
    return any(_is_control(node) for node in graph.nodes)


def unroll(graph: Graph, known: Mapping[str, TensorType]) -> Graph:
    """`graph` without control flow.  known: types of its variables.

    Raises ShapeError where a condition has not one element, or branches differ in type.
    """
    while True:
        ordered = renumbered(graph)
        node = next((n for n in running_order(ordered) if _is_control(n)), None)
        if node is None:
            return graph
        values = _Expansion(node, known).values()
        if len(values) != node.num_outputs:
            raise NotBuiltError(f"{describe(node)}: the file tells of {node.num_outputs} outputs; got {len(values)} in "
                                f"the graph inside it; write the file again with MXNet")
        graph = renumbered(rebuild(ordered, partial(_replaced, old=node, values=values)))


def _replaced(node: Node, old: Node, values: Sequence[Value]) -> Node | Sequence[Value]:
    return values if node is old else node


def _is_control(node: Node) -> bool:
    return isinstance(node.op, NotBuiltOperator) and node.op.name in _EXPAND


class _Expansion:
    """What one control flow node becomes."""

    def __init__(self, node: Node, known: Mapping[str, TensorType]):
        self.node, self._known = node, known
        self.attrs: dict[str, Any] = {key: ast.literal_eval(text) for key, text in node.hidden.items()
                                      if key.endswith("_locs") or key in ("num_out_data", "max_iterations")}
        self.graphs: Sequence[Graph] = node.op.subgraphs

    def values(self) -> list[Value]:
        return _EXPAND[self.node.op.name](self)

    def inputs(self, places: str) -> list[Value]:
        return [self.node.inputs[place] for place in self.attrs[places]]

    def types(self, values: Sequence[Value]) -> Types:
        graph = Graph(values)
        return infer_types(graph, {n.name: self._known[n.name] for n in graph.inputs if n.name in self._known})

    def apply(self, op: str, *inputs: Value, **attrs: Any) -> Value:
        return apply(get(op), inputs, attrs, f"{self.node.name}_{op.lower().strip('_')}")

    def inlined(self, graph: Graph, given: Sequence[Value], step: str) -> list[Value]:
        """The outputs of a graph inside the node, on other inputs."""
        mapped: dict[Node, Node | Sequence[Value]] = {n: [v] for n, v in zip(graph.inputs, given, strict=True)}
        for node in graph.nodes:
            if node.op is not None:
                inputs = [follow(mapped, value) for value in node.inputs]
                mapped[node] = Node(node.op, f"{node.name}_{step}", node.attrs, inputs, node.hidden)
        return [follow(mapped, value) for value in graph.outputs]

    def selected(self, taken: Value, yes: Value, no: Value, types: Types) -> Value:
        """`yes` where the one element of `taken` is not 0, else `no`."""
        kind, other = types[yes], types[no]
        if kind != other:
            raise ShapeError(f"{describe(self.node)}: both ways must give the same type; got {kind} and {other}; "
                             f"reshape or cast one")
        one = self.apply("Reshape", taken, shape=(1,) * max(len(kind.shape), 1))
        return self.apply("where", self.apply("broadcast_to", one, shape=kind.shape), yes, no)

    def holds(self, condition: Value) -> Value:
        """float32[1], 1 where the condition is not 0."""
        kind = self.types([condition])[condition]
        if kind.size != 1:
            raise ShapeError(f"{describe(self.node)}: the condition is an array of one element; got {kind}; reduce it "
                             f"with sum, max or min")
        one = self.apply("Reshape", self.apply("Cast", condition, dtype="float32"), shape=(1,))
        return self.apply("_not_equal_scalar", one, scalar=0.0)


def _foreach(loop: _Expansion) -> list[Value]:
    body, attrs, given = loop.graphs[0], loop.attrs, loop.node.inputs
    of_data, of_states = len(attrs["in_data_locs"]), len(attrs["in_state_locs"])
    data, states = given[:of_data], list(given[of_data:of_data + of_states])
    types = loop.types(data)
    outputs: list[list[Value]] = []
    for i in range(types[data[0]].shape[0]):
        inside: dict[int, Value] = dict(zip(attrs["remain_locs"], given[of_data + of_states:], strict=True))
        inside |= zip(attrs["in_state_locs"], states, strict=True)
        for place, array in zip(attrs["in_data_locs"], data, strict=True):
            part = loop.apply("slice_axis", array, axis=0, begin=i, end=i + 1)
            inside[place] = loop.apply("squeeze", part, axis=(0,)) if len(types[array].shape) > 1 else part
        found = loop.inlined(body, [inside[place] for place in range(len(inside))], str(i))
        outputs.append(found[:attrs["num_out_data"]])
        states = found[attrs["num_out_data"]:]
    return [*(loop.apply("stack", *column, axis=0) for column in zip(*outputs, strict=True)), *states]


def _while_loop(loop: _Expansion) -> list[Value]:
    (condition, body), attrs, given = loop.graphs, loop.attrs, loop.node.inputs
    places = [attrs["func_input_locs"][at] for at in attrs["func_var_locs"]]      # of the loop's variables
    first = [given[place] for place in places]
    now, variables, outputs, alive = list(given), first, [], None
    for i in range(attrs["max_iterations"]):
        for place, value in zip(places, variables, strict=True):
            now[place] = value
        goes = loop.holds(loop.inlined(condition, [now[p] for p in attrs["cond_input_locs"]], f"cond{i}")[0])
        alive = goes if alive is None else loop.apply("elemwise_mul", alive, goes)
        inside = [now[p] for p in attrs["func_input_locs"]]
        found = loop.inlined(body, inside, str(i))
        out, new = found[:attrs["num_out_data"]], found[attrs["num_out_data"]:]
        zeros = [loop.apply("zeros_like", value) for value in out]
        types = loop.types([*out, *new, *zeros, *variables])
        outputs.append([loop.selected(alive, *pair, types) for pair in zip(out, zeros, strict=True)])
        variables = [loop.selected(alive, *pair, types) for pair in zip(new, variables, strict=True)]
    return [*(loop.apply("stack", *column, axis=0) for column in zip(*outputs, strict=True)), *variables]


def _cond(branch: _Expansion) -> list[Value]:
    condition, yes, no = (branch.inlined(graph, branch.inputs(f"{name}_input_locs"), name)
                          for graph, name in zip(branch.graphs, ("cond", "then", "else"), strict=True))
    taken, types = branch.holds(condition[0]), branch.types([*yes, *no])
    return [branch.selected(taken, *pair, types) for pair in zip(yes, no, strict=True)]


_EXPAND: dict[str, Callable[[_Expansion], list[Value]]] = {"_foreach": _foreach, "_while_loop": _while_loop,
                                                           "_cond": _cond}
