"""Shapes and dtypes of a symbol, as users ask for them."""
from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ..errors import ShapeError, suggest
from ..graph import Graph, Value
from ..graph.auxiliary import auxiliary_nodes
from ..passes.infer_dtypes import infer_dtypes
from ..passes.infer_types import Types, infer_types
from ..types import dtype_name, numpy_dtype

if TYPE_CHECKING:
    from .symbol import Symbol

#: stand-ins for unknown lengths: large enough for any kernel to fit, without common factors
_TRIED_LENGTHS = (1009, 1013)


def infer_shape(symbol: Symbol, args: Sequence[Any], kwargs: Mapping[str, Any], partial: bool) -> tuple:
    """See `Symbol.infer_shape`."""
    given = {name: tuple(shape) for name, shape in _named(symbol, args, kwargs, "infer_shape").items()}
    graph = symbol.graph()
    if partial and any(0 in shape for shape in given.values()):
        return _by_role(symbol, _tried_twice(graph, given))
    types = _types(graph, given)
    unknown = [node.name for node in graph.inputs if types.get(Value(node, 0)) is None]
    if unknown and not partial:
        warnings.warn(f"infer_shape: the shapes given do not tell all; unknown: {', '.join(unknown)}", stacklevel=3)
        return None, None, None

    def shape_of(value: Value) -> tuple[int, ...]:
        found = types.get(value)
        return given.get(value.node.name, ()) if found is None else found.shape

    return _by_role(symbol, shape_of)


def _types(graph: Graph, given: Mapping[str, tuple[int, ...]]) -> Types:
    return infer_types(graph, {name: (shape, None) for name, shape in given.items()}, partial=True)


def _tried_twice(graph: Graph, given: Mapping[str, tuple[int, ...]]) -> Callable[[Value], tuple[int, ...]]:
    """The shape of a value where some given lengths are 0, unknown: what comes out for two different lengths in their
    place is known where the two agree."""
    tries = []
    for length in _TRIED_LENGTHS:
        filled = {name: tuple(n or length for n in shape) for name, shape in given.items()}
        tries.append(_types(graph, filled))

    def shape_of(value: Value) -> tuple[int, ...]:
        first, second = (types.get(value) for types in tries)
        if first is None or second is None or len(first.shape) != len(second.shape):
            return given.get(value.node.name, ())
        return tuple(a if a == b else 0 for a, b in zip(first.shape, second.shape, strict=True))

    return shape_of


def infer_type(symbol: Symbol, args: Sequence[Any], kwargs: Mapping[str, Any], partial: bool) -> tuple:
    """See `Symbol.infer_type`."""
    given = {name: dtype_name(dtype) for name, dtype in _named(symbol, args, kwargs, "infer_type").items()}
    dtypes = infer_dtypes(symbol.graph(), given)
    unknown = [node.name for node in symbol.graph().inputs if node not in dtypes]
    if unknown and not partial:
        warnings.warn(f"infer_type: the dtypes given do not tell all; unknown: {', '.join(unknown)}", stacklevel=3)
        return None, None, None

    def dtype_of(value: Value) -> Any:
        return numpy_dtype(dtypes[value.node]) if value.node in dtypes else None

    return _by_role(symbol, dtype_of)


def _by_role(symbol: Symbol, answer: Any) -> tuple[list, list, list]:
    graph: Graph = symbol.graph()
    states = auxiliary_nodes(graph)
    arguments = [answer(Value(n, 0)) for n in graph.inputs if n not in states]
    return arguments, [answer(v) for v in symbol._outputs], [answer(Value(n, 0)) for n in graph.inputs if n in states]


def _named(symbol: Symbol, args: Sequence[Any], kwargs: Mapping[str, Any], where: str) -> dict[str, Any]:
    """What was given, by variable name; Nones are what was not given."""
    if args and kwargs:
        raise ShapeError(f"{where}: by position or by name, not both; got {args} and {dict(kwargs)}")
    names = symbol.list_arguments()
    if len(args) > len(names):
        raise ShapeError(f"{where}: too many; got {len(args)} for the arguments {', '.join(names)}")
    given = dict(zip(names, args, strict=False)) if args else dict(kwargs)
    known = symbol.list_inputs()
    for name in given:
        if name not in known:
            raise ShapeError(f"{where}: no such argument; got {name!r}; it has {', '.join(known)}"
                             f"{suggest(name, known)}")
    return {name: value for name, value in given.items() if value is not None}
