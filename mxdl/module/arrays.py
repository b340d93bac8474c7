"""Dictionaries of arrays with arithmetic, and batches cut over devices."""
from __future__ import annotations

from collections.abc import Sequence
from numbers import Number
from typing import Any

import torch

from ..device import Context
from ..errors import ShapeError
from ..io import DataDesc
from ..ndarray.ndarray import NDArray


class Arrays(dict):
    """Arrays by name, on which arithmetic works name by name: ``params -= 0.2 * grads`` changes them in place."""

    def __mul__(self, factor: Number) -> Arrays:
        return Arrays({name: array * factor for name, array in self.items()})

    __rmul__ = __mul__

    def __isub__(self, other: dict) -> Arrays:
        for name, array in other.items():
            self[name]._data.detach().sub_(array._data.detach())
        return self

    def __iadd__(self, other: dict) -> Arrays:
        for name, array in other.items():
            self[name]._data.detach().add_(array._data.detach())
        return self


def descriptions(shapes: Sequence[Any]) -> list[DataDesc]:
    """DataDescs from DataDescs and (name, shape) pairs."""
    return [desc if isinstance(desc, DataDesc) else DataDesc(*desc) for desc in shapes]


def shape_of(desc: Any) -> tuple[str, tuple[int, ...]]:
    """(name, shape) of a DataDesc or a (name, shape) pair."""
    return desc[0], tuple(desc[1])


def batch_axis(desc: DataDesc) -> int:
    """The axis of the batch: where N stands in the layout; -1 where the layout has none."""
    return DataDesc.get_batch_axis(desc.layout)


def described(what: str, names: Sequence[str], arrays: Sequence[Any]) -> list[tuple[str, tuple[int, ...]]]:
    """(name, shape) pairs for the arrays of a batch that does not describe itself.  Raises ShapeError."""
    if len(names) != len(arrays):
        raise ShapeError(f"Module: the batch has another number of {what}; got {len(arrays)}, need {', '.join(names)}")
    return [(name, tuple(array.shape)) for name, array in zip(names, arrays, strict=True)]


def batch_slices(batch_size: int, count: int) -> list[slice]:
    """`count` near-equal parts of a batch.  Raises ShapeError where a part would be empty."""
    if batch_size < count:
        raise ShapeError(f"Module: a batch of {batch_size} cannot be cut over {count} devices; got too many devices; "
                         f"give fewer, or larger batches")
    ends = [round(batch_size * (i + 1) / count) for i in range(count)]
    return [slice(start, end) for start, end in zip([0, *ends], ends, strict=False)]


def part(array: Any, axis: int, cut: slice) -> Any:
    """The part of a batch array that one device gets."""
    if axis < 0 or array.shape[axis] == cut.stop - cut.start:
        return array
    if isinstance(array, NDArray):
        return NDArray._wrap(array._data.narrow(axis, cut.start, cut.stop - cut.start), array._ctx)
    return array[(slice(None),) * axis + (cut,)]


def merged(arrays: Sequence[NDArray], axis: int = 0) -> NDArray:
    """The parts of all devices as one array, on the first one's."""
    if len(arrays) == 1:
        return arrays[0]
    first: Context = arrays[0]._ctx
    return NDArray._wrap(torch.cat([a._data.to(arrays[0]._data.device) for a in arrays], axis), first)


def average(arrays: Sequence[NDArray]) -> NDArray:
    """The mean over devices, as a new array on the first one's."""
    total = arrays[0]._data.detach().clone()
    for array in arrays[1:]:
        total += array._data.detach().to(total.device)
    return NDArray._wrap(total / len(arrays) if total.is_floating_point() else total // len(arrays), arrays[0]._ctx)
