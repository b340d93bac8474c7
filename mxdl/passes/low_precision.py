"""Automatic mixed precision in a graph: casts before the operators that want another dtype than they would get."""
from __future__ import annotations

from collections.abc import Callable, Container, Mapping, Sequence

import torch

from ..graph import Graph, Node, Value
from ..graph.hidden import ORIGIN
from ..graph.substitute import bypassed
from ..ops import get
from ..ops.precision import FLOAT32, WIDEST, Policy
from ..types import DTYPE_NAMES, TORCH_DTYPES, TensorType, torch_dtype
from .infer_types import output_types
from .rewrite import rebuild, renumbered

#: operators that this pass writes, and a file may hold
CASTS = ("amp_cast", "amp_multicast")

#: dtypes of a node's outputs from those of its inputs
Rule = Callable[[Node], Sequence[torch.dtype]]


def with_casts(graph: Graph, policy: Policy, types: Mapping[str, TensorType]) -> Graph:
    """`graph` with the casts of `policy` for inputs of exactly these types (by name): what a program is made from."""
    known: dict[Value, TensorType] = {Value(node, 0): types[node.name] for node in graph.inputs}

    def outputs(node: Node) -> list[torch.dtype]:
        found = output_types(node.op, node.attrs, tuple(known[v] for v in node.inputs), node)
        known.update((Value(node, i), t) for i, t in enumerate(found))
        return [TORCH_DTYPES[t.dtype] for t in found]
    given = {node.name: TORCH_DTYPES[types[node.name].dtype] for node in graph.inputs}
    return rebuild(renumbered(graph), _Conversion(policy, given, outputs).visit)


def with_casts_by_dtype(graph: Graph, policy: Policy, dtypes: Mapping[str, str],
                        excluded: Container[str] = ()) -> Graph:
    """The same where no shapes are known: what converts a symbol.  Its outputs are float32, as MXNet's are.

    dtypes: of variables by name.   excluded: nodes, by name, that stay in float32.   Data of other dtype or none is
    made float32 where that is wanted; other variables without a dtype are float32.
    """
    given = {node.name: TORCH_DTYPES[dtypes.get(node.name, "float32")] for node in graph.inputs}
    of: dict[Value, torch.dtype] = {Value(node, 0): given[node.name] for node in graph.inputs}

    def outputs(node: Node) -> list[torch.dtype]:
        attribute = node.op.filled(node.attrs).get("dtype")
        first = of[node.inputs[0]] if node.inputs else torch.float32
        found = [first if attribute is None else torch_dtype(attribute)] * node.num_outputs
        of.update((Value(node, i), t) for i, t in enumerate(found))
        return found
    data = {node.inputs[0] for node in graph.nodes if node.inputs and node.inputs[0].node.op is None}
    unknown = frozenset(value for value in data if value.node.name not in dtypes)
    converted = _Conversion(policy, given, outputs, excluded, unknown)
    graph = rebuild(renumbered(graph), converted.visit)
    return Graph([converted.in_float32(v) for v in graph.outputs], graph.inputs)


def has_casts(graph: Graph) -> bool:
    """Whether mixed precision is written into `graph`."""
    return any(node.op is not None and node.op.name in CASTS for node in graph.nodes)


def without_casts(graph: Graph) -> Graph:
    """`graph` as it was before `with_casts_by_dtype`, over copies of its nodes; its inputs in the same order."""
    outputs = []
    for value in graph.outputs:
        while value.node.op is not None and value.node.op.name in CASTS:
            value = value.node.inputs[value.index]
        outputs.append(value)
    bare = Graph(bypassed(outputs, CASTS))
    by_name = {node.name: node for node in bare.inputs}
    return Graph(bare.outputs, [by_name[node.name] for node in graph.inputs if node.name in by_name])


class _Conversion:
    """One walk over a graph, producers first.

    given: dtypes of variables.   outputs: tells those of a new node.   excluded: names of nodes that stay in float32.
    unknown: values that are cast to float32 where it is wanted, since nobody knows what they will be.
    """

    def __init__(self, policy: Policy, given: Mapping[str, torch.dtype], outputs: Rule, excluded: Container[str] = (),
                 unknown: Container[Value] = ()):
        self._policy, self._given, self._outputs = policy, given, outputs
        self._excluded, self._unknown = excluded, unknown
        self._dtypes: dict[Value, torch.dtype] = {}
        self._casts: dict[tuple[Value, torch.dtype], Value] = {}   # made once, however many read it

    def visit(self, node: Node) -> Node:
        wanted = FLOAT32 if node.name in self._excluded else self._policy.precision(node.op, node.attrs)
        dtypes = [self._dtype(v) for v in node.inputs]
        found = self._policy.dtypes(node.op, node.attrs, dtypes, wanted)
        if wanted in (FLOAT32, WIDEST) and any(v in self._unknown for v in node.inputs):
            found = [torch.float32 if v in self._unknown else dtype
                     for v, dtype in zip(node.inputs, found or [None] * len(dtypes), strict=True)]
        inputs = node.inputs if found is None else [
            v if dtype is None else self._in_dtype(v, dtype, node.hidden)
            for v, dtype in zip(node.inputs, found, strict=True)]
        attrs = dict(self._policy.scaled(node.op, node.attrs))
        return self._noted(Node(node.op, node.name, attrs, inputs, node.hidden))   # runs after its casts

    def in_float32(self, value: Value) -> Value:
        """An output of the graph, in float32 where it is a half."""
        is_half = value.node.op is not None and self._dtype(value) in (torch.float16, torch.bfloat16)
        return self._in_dtype(value, torch.float32, value.node.hidden) if is_half else value

    def _dtype(self, value: Value) -> torch.dtype:
        return self._given[value.node.name] if value.node.op is None else self._dtypes[value]

    def _noted(self, node: Node) -> Node:
        for i, dtype in enumerate(self._outputs(node)):
            self._dtypes[Value(node, i)] = dtype
        return node

    def _in_dtype(self, value: Value, dtype: torch.dtype, hidden: Mapping[str, str]) -> Value:
        if (value, dtype) not in self._casts:
            name = DTYPE_NAMES[dtype]
            origin = {key: hidden[key] for key in (ORIGIN,) if key in hidden}
            self._casts[value, dtype] = Value(self._noted(Node(
                get("amp_cast"), f"{_name_of(value)}_amp_cast_{name}", {"dtype": name}, [value], origin)), 0)
        return self._casts[value, dtype]


def _name_of(value: Value) -> str:
    """As MXNet names what a cast reads: a variable by its name, an output by its full name."""
    node = value.node
    if node.op is None:
        return node.name
    names = node.op.output_names(node.attrs)
    return f"{node.name}_{names[value.index] if value.index < len(names) else value.index}"
