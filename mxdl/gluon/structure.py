"""Nested lists, tuples and None of arrays, made flat and put together again."""
from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from ..ndarray import NDArray
from ..symbol import Symbol

#: 0 for an array or a one-output symbol, n for a symbol of n outputs, None for None, (list or tuple, formats...)
Format = int | None | tuple

_LEAF: Format = 0


def flatten(value: Any, where: str = "input") -> tuple[list, Format]:
    """The arrays or symbols of `value` in order, and its format, which tells how to put it together again.

    Raises ValueError for anything else in it.
    """
    if isinstance(value, NDArray):
        return [value], _LEAF
    if isinstance(value, Symbol):
        n = len(value)
        return ([value], _LEAF) if n == 1 else ([value[i] for i in range(n)], n)
    if value is None:
        return [], None
    if not isinstance(value, (list, tuple)):
        raise ValueError(f"HybridBlock: {where} is made of NDArrays or Symbols, None, and nested lists of them; got "
                         f"{value!r} of type {type(value).__name__}; pass what does not change at construction")
    flat: list = []
    formats: list = []
    for item in value:
        items, fmt = flatten(item, where)
        flat += items
        formats.append(fmt)
    return flat, (tuple if isinstance(value, tuple) else list, *formats)


def regroup(flat: Sequence, fmt: Format) -> Any:
    """The nested value whose parts in order are `flat`: the inverse of `flatten`."""
    return _take(iter(flat), fmt)


def _take(rest: Iterator, fmt: Format) -> Any:
    if fmt is None:
        return None
    if fmt == _LEAF:
        return next(rest)
    if isinstance(fmt, int):
        return [next(rest) for _ in range(fmt)]
    return fmt[0](_take(rest, inner) for inner in fmt[1:])


def first_array(args: Sequence) -> NDArray | Symbol:
    """The first array or symbol in nested `args`.  Raises ValueError where there is none."""
    for arg in args:
        if isinstance(arg, (NDArray, Symbol)):
            return arg
        if isinstance(arg, (list, tuple)):
            try:
                return first_array(arg)
            except ValueError:
                continue
    raise ValueError(f"HybridBlock: called without any NDArray or Symbol; got arguments of types "
                     f"{[type(arg).__name__ for arg in args]}; convert the data with mx.nd.array")
