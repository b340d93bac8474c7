"""Arrays from values and shapes."""
from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from ..device import Context, current_context
from ..types import dtype_name, torch_dtype
from .ndarray import NDArray


def array(source_array: Any, ctx: Context | None = None, dtype: Any = None) -> NDArray:
    """A copy of anything that NumPy reads.  dtype: default the source's for an NDArray, float32 for the rest."""
    context = ctx if ctx is not None else source_array._ctx if isinstance(source_array, NDArray) else current_context()
    if isinstance(source_array, NDArray):
        wanted = source_array._data.dtype if dtype is None else torch_dtype(dtype)
        return NDArray._wrap(source_array._data.detach().to(context.torch_device, wanted, copy=True), context)
    values = np.asarray(source_array)
    wanted = torch_dtype("float32" if dtype is None else dtype)
    if wanted == torch.bfloat16:
        values = values.astype(np.float32)
    tensor = torch.from_numpy(np.ascontiguousarray(values)).reshape(values.shape)
    return NDArray._wrap(tensor.to(context.torch_device, wanted, copy=True), context)


def _shape(shape: Any) -> tuple[int, ...]:
    return tuple(int(n) for n in shape) if isinstance(shape, (Sequence, np.ndarray)) else (int(shape),)


def empty(shape: Any, ctx: Context | None = None, dtype: Any = None) -> NDArray:
    """An array whose values are whatever the memory holds."""
    context = ctx or current_context()
    return NDArray._wrap(torch.empty(_shape(shape), dtype=torch_dtype(dtype or "float32"),
                                     device=context.torch_device), context)


def full(shape: Any, val: float, ctx: Context | None = None, dtype: Any = None, out: NDArray | None = None) -> NDArray:
    """An array of one value."""
    from . import invoke_by_name
    context = ctx or current_context()
    with context:
        return invoke_by_name("_full", shape=_shape(shape), value=float(val), dtype=dtype_name(dtype or "float32"),
                              ctx=str(context), out=out)


def zeros(shape: Any, ctx: Context | None = None, dtype: Any = None, out: NDArray | None = None, **_: Any) -> NDArray:
    """An array of zeros."""
    return _filled("_zeros", shape, ctx, dtype, out)


def ones(shape: Any, ctx: Context | None = None, dtype: Any = None, out: NDArray | None = None, **_: Any) -> NDArray:
    """An array of ones."""
    return _filled("_ones", shape, ctx, dtype, out)


def _filled(name: str, shape: Any, ctx: Context | None, dtype: Any, out: NDArray | None) -> NDArray:
    from . import invoke_by_name
    context = ctx or current_context()
    with context:
        return invoke_by_name(name, shape=_shape(shape), dtype=dtype_name(dtype or "float32"), ctx=str(context),
                              out=out)
