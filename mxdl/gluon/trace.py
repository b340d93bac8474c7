"""Tracing: what a block computes, as a graph whose inputs are known to be arguments, parameters or fixed arrays."""
from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import torch

from .. import symbol
from ..attribute import AttrScope
from ..autograd.state import state
from ..device import current_context, parse_context
from ..errors import GraphError
from ..graph import Graph, Node, Value
from ..graph.hidden import ORIGIN
from ..name import NameManager
from ..ndarray import NDArray
from ..ops import Operator
from ..passes.infer_types import output_types
from ..symbol import Symbol
from ..types import DTYPE_NAMES, TORCH_DTYPES, TensorType, dtype_name
from .location import child_name, users_line
from .parameter import Parameter
from .partial_shape import known
from .structure import Format, flatten, regroup

if TYPE_CHECKING:
    from .block import Block


class Trace(NamedTuple):
    """inputs: the variables of the arguments, in order (also those that the graph does not need).
    output: all outputs as one symbol.   output_format: how to put them together.
    sources: for each of `graph.inputs`, the number of the argument, the Parameter, or the fixed array that feeds it.
    """

    graph: Graph
    inputs: list[Symbol]
    output: Symbol
    output_format: Format
    sources: list[int | Parameter | NDArray]


def data_variables(count: int) -> list[Symbol]:
    """Variables named as MXNet names the inputs of a traced block."""
    return [symbol.var("data" if count == 1 else f"data{i}") for i in range(count)]


def trace_symbolically(block: Block, args: Sequence, call: Callable[..., Any]) -> Trace:
    """Run ``call(*symbols)`` once, with variables in the place of the arrays in `args`."""
    flat, fmt = flatten(args)
    inputs = data_variables(len(flat))
    with tracing():
        out = call(*regroup(inputs, fmt))
    outputs, output_format = flatten(out, "output")
    return _finish(block, inputs, symbol.Group(outputs), output_format, {}, {})


def trace_deferred(block: Block, args: Sequence, call: Callable[..., Any]) -> Trace:
    """Run ``call(*arrays)`` once on arrays that have a shape and no data, and note what is applied to them."""
    flat, fmt = flatten(args)
    inputs = data_variables(len(flat))
    tracer = Tracer()
    stand_ins = [tracer.stand_in(v._outputs[0], type_of(x), x.ctx) for v, x in zip(inputs, flat, strict=True)]
    with state.traced_by(tracer), tracing():
        out = call(*regroup(stand_ins, fmt))
    outputs, output_format = flatten(out, "output")
    return _finish(block, inputs, Symbol([tracer.value_of(x) for x in outputs]), output_format, tracer.parameters,
                   tracer.fixed)


def _finish(block: Block, inputs: list[Symbol], output: Symbol, output_format: Format,
            traced: dict[Node, Parameter], fixed: dict[Node, NDArray]) -> Trace:
    graph = output.graph()
    params = block.collect_params()
    position = {v._outputs[0].node: i for i, v in enumerate(inputs)}
    sources: list = []
    for node in graph.inputs:
        source = position.get(node)
        for found in (traced.get(node), fixed.get(node), params[node.name] if node.name in params else None):
            source = found if source is None else source
        if source is None:
            raise GraphError(f"{block.name}: the graph has an input that is neither an argument nor a parameter; got "
                             f"{node.name!r}; its parameters are {', '.join(params)}")
        sources.append(source)
    return Trace(graph, inputs, output, output_format, sources)


def type_of(array: NDArray) -> TensorType:
    tensor = array._data
    return TensorType(tuple(tensor.shape), DTYPE_NAMES[tensor.dtype])


def _types_given(op: Operator, attrs: dict, inputs: Sequence[NDArray]) -> tuple[TensorType, ...]:
    """The types of the inputs as the operator gets them: under a policy, the casts come when the graph is planned."""
    types = tuple(type_of(x) for x in inputs)
    casts = state.policy and state.policy.dtypes(op, attrs, [x._data.dtype for x in inputs])
    return types if not casts else tuple(t if cast is None else TensorType(t.shape, DTYPE_NAMES[cast])
                                         for t, cast in zip(types, casts, strict=True))


class Tracer:
    """Takes the operators that are applied to arrays while a block is traced (`state.tracer`)."""

    def __init__(self) -> None:
        self.parameters: dict[Node, Parameter] = {}
        self.fixed: dict[Node, NDArray] = {}
        self._nodes: set[Node] = set()
        self._stand_ins: dict[Parameter, NDArray] = {}
        self._fixed_values: dict[int, Value] = {}

    def stand_in(self, value: Value, type_: TensorType, ctx: Any) -> NDArray:
        """An array of that type without data, which stands for `value`."""
        self._nodes.add(value.node)
        array = NDArray._wrap(torch.empty(type_.shape, dtype=TORCH_DTYPES[type_.dtype], device="meta"), ctx)
        array._value = value
        return array

    def parameter(self, param: Parameter) -> NDArray:
        """The stand-in for a parameter.  Raises DeferredInitializationError while its shape is not known."""
        if param not in self._stand_ins:
            if param._data is None or not known(param.shape):
                param._raise_uninitialized()
            value = param.var()._outputs[0]
            self.parameters[value.node] = param
            self._stand_ins[param] = self.stand_in(value, TensorType(param.shape, dtype_name(param.dtype)),
                                                   param._data[0].ctx)
        return self._stand_ins[param]

    def value_of(self, array: NDArray) -> Value:
        """What stands for `array` in the graph; an array with data becomes a fixed input."""
        value = array._value
        if value is not None and value.node in self._nodes:
            return value
        if array._data.is_meta:
            raise GraphError("trace: an array of an earlier trace is used; got one without data; do not keep arrays "
                             "of forward() as attributes of a hybridized block")
        if id(array) not in self._fixed_values:
            value = symbol.var(NameManager.current.get(None, "fixed"))._outputs[0]
            self._nodes.add(value.node)
            self.fixed[value.node] = array  # keeps the array alive, so that its id stays its own
            self._fixed_values[id(array)] = value
        return self._fixed_values[id(array)]

    def apply(self, op: Operator, inputs: Sequence[NDArray | None], attrs: dict, out: Any = None) -> Any:
        """Note `op` and return stand-ins for its visible outputs, as `invoke` returns arrays.

        Raises GraphError where `out` is an array with values: the graph has no way to write to it.
        """
        inputs = [x for x in inputs if x is not None]
        values = [self.value_of(x) for x in inputs]
        name = NameManager.current.get(None, op.name.lower().lstrip("_"))
        node = Node(op, name, dict(attrs), values, AttrScope.current.get())
        types = output_types(op, node.attrs, _types_given(op, node.attrs, inputs), node)
        ctx = inputs[0].ctx if inputs else parse_context(attrs["ctx"]) if attrs.get("ctx") else current_context()
        results = [self.stand_in(Value(node, i), types[i], ctx) for i in range(op.num_visible(node.attrs))]
        if out is not None:
            for target, result in zip(out if isinstance(out, (list, tuple)) else [out], results, strict=True):
                if not target._data.is_meta:
                    raise GraphError(f"{op.name}: a hybridized block writes to an array from outside of its forward; "
                                     f"got one of shape {target.shape}; return the new values instead, or make the "
                                     f"array inside with mx.nd.zeros")
                target._data, target._value = result._data, result._value
            return out
        return results[0] if len(results) == 1 else results


class _Thread(threading.local):
    tracing = False


_thread = _Thread()


@contextlib.contextmanager
def tracing() -> Iterator[None]:
    """While a block is traced for a program, its nodes note where they come from."""
    outer, _thread.tracing = _thread.tracing, True
    try:
        yield
    finally:
        _thread.tracing = outer


def scope_of(block: Block) -> contextlib.AbstractContextManager:
    """The scope in which the nodes of `block` get their names and, while tracing, their origin."""
    scope = contextlib.ExitStack()
    scope.enter_context(block.name_scope())
    if _thread.tracing:
        scope.enter_context(Origin(block))
    return scope


class Origin(AttrScope):
    """Nodes made inside carry the block's path and the user's line, which errors at run time tell."""

    def __init__(self, block: Block):
        super().__init__()
        outer = AttrScope.current
        self._block = block
        self._path = f"{outer._path}.{child_name(outer._block, block)}" if isinstance(outer, Origin) else block.name
        self._text = f"{self._path} ({type(block).__name__} {block.name})"

    def get(self, attr: Mapping[str, str] | None = None) -> dict[str, str]:
        return {**super().get(attr), ORIGIN: f"{self._text}{users_line()}"}
