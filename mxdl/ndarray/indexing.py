"""``x[key]`` and ``x[key] = value``, with MXNet's rules.

A basic key (integers, slices, None, ...) gives a view that shares memory where the part is contiguous, else a copy.
Integers on every axis give shape (1,).  A key with arrays or lists picks elements as NumPy does, and copies; arrays of
any number type are indices, arrays of bool are masks.
"""
from __future__ import annotations

from typing import Any

import numpy as np
import torch

from ..autograd.state import state
from ..errors import ShapeError
from . import traced_indexing
from .ndarray import NDArray

ARRAYS = (NDArray, np.ndarray, list)


def get_item(self: NDArray, key: Any) -> NDArray:
    """The part of the array that `key` names; see the module."""
    if state.tracer is not None:
        return traced_indexing.get_item(self, key)
    data = self._contiguous()
    if type(key) is int and data.dim() > 1:   # rows and ranges of rows, the usual keys, are views at once
        _check_bounds(key, 0, data.shape[0])
        return NDArray._wrap(data[key], self._ctx)
    if type(key) is slice and key.step is None and data.dim():
        return NDArray._wrap(data[key], self._ctx)
    key = expand(key, self.shape)
    if is_advanced(key):
        return NDArray._wrap(data[torch_key(key, data)], self._ctx)
    part, flips = _basic(data, key)
    if flips:
        part = part.flip(flips)
    elif not part.is_contiguous():
        part = part.contiguous()
    return NDArray._wrap(part, self._ctx)


def set_item(self: NDArray, key: Any, value: Any) -> None:
    """Overwrite the part of the array that `key` names with a number, or with what broadcasts to it."""
    if state.tracer is not None:
        traced_indexing.set_item(self, key, value)
        return
    key = expand(key, self.shape)
    if is_advanced(key):
        index = torch_key(key, self._data)
        target = self._data.detach()[index]
        self._write(_value(value, self, target), "x[key] = value", index)
        return
    starts, flips = _positive(key, self.shape)
    target = self._data.detach()[starts]
    values = _value(value, self, target)
    if flips and values.dim():
        values = values.expand(target.shape).flip(flips)
    self._write(values, "x[key] = value", starts)


def expand(key: Any, shape: tuple[int, ...]) -> tuple:
    """`key` as a tuple without ``...``, with an entry for each axis; lists become arrays.  Raises IndexError."""
    keys = key if isinstance(key, tuple) else (key,)
    if any(k is Ellipsis for k in keys):
        position = next(i for i, k in enumerate(keys) if k is Ellipsis)
        if any(k is Ellipsis for k in keys[position + 1:]):
            raise IndexError("index: '...' stands twice; got it twice; write it once")
        missing = len(shape) - sum(_axes(k) for k in keys)
        keys = (*keys[:position], *[slice(None)] * missing, *keys[position + 1:])
    used = sum(_axes(k) for k in keys)
    if used > len(shape):
        raise IndexError(f"index: too many indices; got {used} for {len(shape)} axes; leave some out")
    return (*(np.asarray(k) if isinstance(k, list) else k for k in keys), *[slice(None)] * (len(shape) - used))


def _axes(key: Any) -> int:
    """How many axes of the array an entry of the key stands for."""
    if key is None or key is Ellipsis:
        return 0
    return np.ndim(key) if is_mask(key) else 1


def is_mask(key: Any) -> bool:
    if isinstance(key, list):
        key = np.asarray(key)
    return isinstance(key, (NDArray, np.ndarray)) and key.dtype == np.bool_


def is_advanced(key: tuple) -> bool:
    return any(isinstance(k, ARRAYS) for k in key)


def _check_bounds(index: int, axis: int, length: int) -> None:
    if not -length <= index < length:
        raise IndexError(f"NDArray: axis {axis} holds {length} entries; got index {index}; give {-length} "
                         f"to {length - 1}")


def _positive(key: tuple, shape: tuple[int, ...]) -> tuple[tuple, list[int]]:
    """A basic key for torch, which knows positive steps only, and the axes of the result to reverse after it.
    Integers on every axis keep the last one as a slice, so that the result has shape (1,)."""
    axis = out = 0
    result: list[Any] = []
    flips: list[int] = []
    scalar = not any(k is None or isinstance(k, slice) for k in key)
    for k in key:
        if k is None:
            result.append(None)
            out += 1
            continue
        length = shape[axis]
        if isinstance(k, slice):
            start, stop, step = k.indices(length)
            if step < 0:
                count = len(range(start, stop, step))
                start, stop, step = start + (count - 1) * step, start + 1, -step
                if not count:
                    start = stop = 0
                flips.append(out)
            result.append(slice(start, max(start, stop), step))
            out += 1
        elif isinstance(k, (int, np.integer)) and not isinstance(k, bool):
            _check_bounds(int(k), axis, length)
            k = int(k) % length
            result.append(slice(k, k + 1) if scalar and axis == len(shape) - 1 else k)
        else:
            raise ValueError(f"index: not an index; got {k!r} of type {type(k).__name__}; use integers, slices, None, "
                             f"'...' or arrays")
        axis += 1
    return tuple(result), flips


def _basic(data: torch.Tensor, key: tuple) -> tuple[torch.Tensor, list[int]]:
    starts, flips = _positive(key, tuple(data.shape))
    return data[starts], flips


def torch_key(key: tuple, data: torch.Tensor) -> tuple:
    """A key with arrays, as torch takes it.  Raises IndexError for an index that is out of bounds."""
    result: list[Any] = []
    axis = 0
    for k in key:
        if isinstance(k, slice) and k.step is not None and k.step < 0:
            k = np.arange(data.shape[axis])[k]
            if any(isinstance(other, ARRAYS) for other in key):
                raise IndexError("index: a negative step beside an array; got both in one key; index in two steps")
        if isinstance(k, ARRAYS):
            result.append(_index_tensor(k, axis, data))
            axis += _axes(k)
        elif k is None:
            result.append(None)
        else:
            starts, _ = _positive((k, slice(None)), (data.shape[axis], 1))
            result.append(starts[0])
            axis += 1
    return tuple(result)


def _index_tensor(key: Any, axis: int, data: torch.Tensor) -> torch.Tensor:
    index = key._data.detach() if isinstance(key, NDArray) else torch.from_numpy(np.ascontiguousarray(key))
    index = index.to(data.device)
    if index.dtype == torch.bool:
        return index
    index = index.long()
    length = data.shape[axis]
    if index.numel():
        low, high = int(index.min()), int(index.max())
        _check_bounds(low, axis, length)
        _check_bounds(high, axis, length)
    return index


def _value(value: Any, array: NDArray, target: torch.Tensor) -> torch.Tensor:
    """What is written, as a tensor that broadcasts to `target`.  Raises ShapeError."""
    if isinstance(value, NDArray):
        tensor = value._source()
    else:
        numbers = np.asarray(value)
        if numbers.dtype == object:
            raise TypeError(f"x[key] = value: the value is neither array nor number; got {type(value).__name__}; "
                            f"make it one with mx.nd.array")
        tensor = torch.as_tensor(np.ascontiguousarray(numbers).reshape(numbers.shape))
    tensor = tensor.to(target.device, target.dtype)
    while tensor.dim() > target.dim() and tensor.shape[0] == 1:
        tensor = tensor[0]
    try:
        fits = np.broadcast_shapes(target.shape, tensor.shape) == target.shape   # torch's loads sympy: 0.5 s, 38 MB
    except ValueError:
        fits = tensor.numel() == 1
        tensor = tensor.reshape(()) if fits else tensor
    if not fits:
        raise ShapeError(f"x[key] = value: the value does not fit; got shape {tuple(tensor.shape)} for a part of shape "
                         f"{tuple(target.shape)}; broadcast or slice it first")
    return tensor


def install() -> None:
    """Give NDArray its indexing."""
    NDArray.__getitem__ = get_item
    NDArray.__setitem__ = set_item
