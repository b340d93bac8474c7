"""``x[key]`` while a block is traced: the key becomes operators, and the lengths of other axes stay open."""
from __future__ import annotations

from typing import Any

import numpy as np

from ..errors import GraphError
from ..ops import get
from .invoke import invoke
from .ndarray import NDArray


def get_item(array: NDArray, key: Any) -> NDArray:
    """The operators slice, squeeze and expand_dims for a basic key; take for one array."""
    from .indexing import expand, is_advanced
    keys = expand(key, array.shape)
    if is_advanced(keys):
        return _take(array, keys)
    begin: list[int | None] = []
    end: list[int | None] = []
    step: list[int | None] = []
    squeezed: list[int] = []
    expanded: list[int] = []
    out = 0
    for k in keys:
        if k is None:
            expanded.append(out)
            out += 1
            continue
        axis = len(begin)
        if isinstance(k, slice):
            begin.append(k.start)
            end.append(k.stop)
            step.append(k.step)
            out += 1
            continue
        begin.append(int(k))
        end.append(None if int(k) == -1 else int(k) + 1)
        step.append(None)
        squeezed.append(axis)
    if len(squeezed) == len(begin) and not expanded:
        squeezed.pop()   # integers on every axis give shape (1,)
    result = array
    if any(v is not None for v in (*begin, *end, *step)):
        result = result._apply("slice", begin=tuple(begin), end=tuple(end), step=tuple(step))
    if squeezed:
        result = result._apply("squeeze", axis=tuple(squeezed))
    for axis in expanded:
        result = result._apply("expand_dims", axis=axis)
    return result


def _take(array: NDArray, keys: tuple) -> NDArray:
    """One array of indices among full slices: take along its axis."""
    arrays = [axis for axis, k in enumerate(keys) if not isinstance(k, slice) or k != slice(None)]
    if len(arrays) != 1:
        raise GraphError(f"index: a traced block takes one array of indices; got a key of {len(arrays)} parts; use "
                         f"gather_nd, or take for each axis")
    axis = arrays[0]
    index = keys[axis]
    if not isinstance(index, NDArray):
        from .create import array as make
        index = make(np.asarray(index), dtype="int64")
    return invoke(get("take"), [array, index], {"axis": axis, "mode": "clip"})


def set_item(array: NDArray, key: Any, value: Any) -> None:
    """The operators _slice_assign and _slice_assign_scalar for slices; what the array stands for changes."""
    from .indexing import expand, is_advanced
    keys = expand(key, array.shape)
    if is_advanced(keys) or any(k is None for k in keys):
        raise GraphError("x[key] = value: a traced block assigns to slices and integers only; got another key; use "
                         "where() or scatter_nd()")
    bounds: dict[str, tuple] = {
        "begin": tuple(k.start if isinstance(k, slice) else k for k in keys),
        "end": tuple(k.stop if isinstance(k, slice) else None if k == -1 else k + 1 for k in keys),
        "step": tuple(k.step if isinstance(k, slice) else None for k in keys)}
    if isinstance(value, NDArray):
        for axis, k in enumerate(keys):
            if not isinstance(k, slice) and value.ndim < array.ndim:
                value = value._apply("expand_dims", axis=axis)
        result = invoke(get("_slice_assign"), [array, value], bounds)
    else:
        result = array._apply("_slice_assign_scalar", scalar=float(value), **bounds)
    array._data, array._value = result._data, result._value
