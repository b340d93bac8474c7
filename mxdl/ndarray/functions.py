"""Functions of ``mx.nd`` that are not one operator."""
from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..device import wait_for_gpus
from ..ops import get
from .create import array
from .invoke import invoke, invoke_by_name
from .ndarray import NDArray


def waitall() -> None:
    """Return when every array has its values (only GPUs compute in the background)."""
    wait_for_gpus()


def concatenate(arrays: Sequence[NDArray], axis: int = 0, always_copy: bool = True) -> NDArray:
    """The arrays joined along `axis`.  always_copy: False gives a single array back as it is."""
    if len(arrays) == 1 and not always_copy:
        return arrays[0]
    return invoke_by_name("Concat", *arrays, dim=axis)


def moveaxis(tensor: NDArray, source: int | Sequence[int], destination: int | Sequence[int]) -> NDArray:
    """`tensor` with the axes `source` moved to the places `destination`; the others keep their order."""
    sources, destinations = _axes(source, tensor.ndim), _axes(destination, tensor.ndim)
    if len(sources) != len(destinations):
        raise ValueError(f"moveaxis: source and destination differ in number; got {source} and {destination}; "
                         f"give as many of both")
    order = [axis for axis in range(tensor.ndim) if axis not in sources]
    for place, axis in sorted(zip(destinations, sources, strict=True)):
        order.insert(place, axis)
    return tensor._apply("transpose", axes=tuple(order))


def _axes(axes: int | Sequence[int], ndim: int) -> list[int]:
    numbers = [axes] if isinstance(axes, int) else list(axes)
    for axis in numbers:
        if not -ndim <= axis < ndim:
            raise ValueError(f"moveaxis: axis {axis} is out of bounds; got an array with {ndim} axes; give "
                             f"{-ndim} to {ndim - 1}")
    return [axis % ndim for axis in numbers]


def split_v2(ary: NDArray, indices_or_sections: int | Sequence[int], axis: int = 0,
             squeeze_axis: bool = False) -> Any:
    """`ary` cut along `axis` into that many equal parts, or before each index: one array or a list."""
    length = ary.shape[axis]
    if isinstance(indices_or_sections, int):
        if length % indices_or_sections:
            raise ValueError(f"split_v2: axis {axis} does not divide; got length {length} in {indices_or_sections} "
                             f"parts; give a divisor, or indices")
        size = length // indices_or_sections
        bounds = list(range(0, length + 1, size))
    else:
        bounds = [0, *indices_or_sections, length]
    parts = []
    for begin, end in zip(bounds[:-1], bounds[1:], strict=True):
        part = ary._apply("slice_axis", axis=axis, begin=begin, end=end)
        parts.append(part._apply("squeeze", axis=(axis,)) if squeeze_axis and end - begin == 1 else part)
    return parts[0] if len(parts) == 1 else parts


def onehot_encode(indices: NDArray, out: NDArray) -> NDArray:
    """Write the one-hot rows of `indices` into `out` (float[len(indices), classes])."""
    return invoke(get("one_hot"), [indices], get("one_hot").parse({"depth": out.shape[1]}), out)


def histogram(a: NDArray, bins: Any = 10, range: tuple[float, float] | None = None) -> tuple[NDArray, NDArray]:
    """(counts, bin edges) of all elements.  bins: a number of bins, or the edges as an array."""
    counts, edges = np.histogram(a.asnumpy(), bins.asnumpy() if isinstance(bins, NDArray) else bins, range)
    return array(counts, a.ctx, "int64"), bins if isinstance(bins, NDArray) else array(edges, a.ctx)
