"""Arrays from values and shapes."""
from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from ..device import Context, current_context
from ..errors import NotBuiltError
from ..types import dtype_name, torch_dtype
from .invoke import invoke_by_name
from .ndarray import NDArray


def array(source_array: Any, ctx: Context | None = None, dtype: Any = None) -> NDArray:
    """A copy of anything that NumPy reads.

    dtype: default float32, whatever the source's is; an NDArray keeps its own.
    """
    context = ctx if ctx is not None else current_context()
    if isinstance(source_array, NDArray):
        wanted = source_array._data.dtype if dtype is None else torch_dtype(dtype)
        return NDArray._wrap(source_array._data.detach().to(context.torch_device, wanted, copy=True), context)
    values = np.asarray(_nested(source_array))
    if values.dtype.kind not in "fiub":
        raise TypeError(f"array: the source is not an array of numbers; got {type(source_array).__name__}; give "
                        f"numbers, nested lists of equal lengths, or a NumPy array")
    wanted = torch_dtype("float32" if dtype is None else dtype)
    if wanted == torch.bfloat16:
        values = values.astype(np.float32)
    if not values.dtype.isnative:
        values = values.astype(values.dtype.newbyteorder("="))
    # torch.tensor copies; ascontiguousarray would make shape () into (1,)
    tensor = torch.tensor(values if values.ndim == 0 else np.ascontiguousarray(values))
    return NDArray._wrap(tensor.to(context.torch_device, wanted), context)


def _nested(source: Any) -> Any:
    """Lists of NDArrays as lists of NumPy arrays."""
    if isinstance(source, (list, tuple)) and any(isinstance(x, (NDArray, list, tuple)) for x in source):
        return [x.asnumpy() if isinstance(x, NDArray) else _nested(x) for x in source]
    return source


def as_shape(shape: Any) -> tuple[int, ...]:
    return tuple(int(n) for n in shape) if isinstance(shape, (Sequence, np.ndarray)) else (int(shape),)


def _only_dense(where: str, stype: str | None) -> None:
    if stype not in (None, "default"):
        raise NotBuiltError(f"{where}: sparse storage is not built; got stype={stype!r}; leave it out")


def empty(shape: Any, ctx: Context | None = None, dtype: Any = None, stype: str | None = None) -> NDArray:
    """An array whose values are whatever the memory holds."""
    _only_dense("empty", stype)
    context = ctx or current_context()
    return NDArray._wrap(torch.empty(as_shape(shape), dtype=torch_dtype(dtype or "float32"),
                                     device=context.torch_device), context)


def zeros(shape: Any, ctx: Context | None = None, dtype: Any = None, stype: str | None = None,
          out: NDArray | None = None) -> NDArray:
    """An array of zeros."""
    _only_dense("zeros", stype)
    return _made("_zeros", ctx, dtype, out, shape=as_shape(shape))


def ones(shape: Any, ctx: Context | None = None, dtype: Any = None, out: NDArray | None = None) -> NDArray:
    """An array of ones."""
    return _made("_ones", ctx, dtype, out, shape=as_shape(shape))


def full(shape: Any, val: float, ctx: Context | None = None, dtype: Any = None, out: NDArray | None = None) -> NDArray:
    """An array of one value."""
    return _made("_full", ctx, dtype, out, shape=as_shape(shape), value=float(val))


def arange(start: float, stop: float | None = None, step: float = 1.0, repeat: int = 1,
           infer_range: bool | None = None, ctx: Context | None = None, dtype: Any = None) -> NDArray:
    """start, start + step, ... below stop, each `repeat` times; one argument is the stop."""
    return _made("_arange", ctx, dtype, None, start=start, stop=stop, step=step, repeat=repeat,
                 infer_range=bool(infer_range))


def linspace(start: float, stop: float, num: int, endpoint: bool = True, ctx: Context | None = None,
             dtype: Any = None) -> NDArray:
    """`num` equally spaced numbers from `start` to `stop`."""
    return _made("_linspace", ctx, dtype, None, start=start, stop=stop, num=num, endpoint=endpoint)


def eye(N: int, M: int = 0, k: int = 0, ctx: Context | None = None, dtype: Any = None,
        out: NDArray | None = None) -> NDArray:
    """Ones on diagonal `k` of an N x M matrix (M = 0: square)."""
    return _made("_eye", ctx, dtype, out, N=N, M=M, k=k)


def _made(name: str, ctx: Context | None, dtype: Any, out: NDArray | None, **attrs: Any) -> NDArray:
    return invoke_by_name(name, out=out, ctx=str(ctx or current_context()), dtype=dtype_name(dtype or "float32"),
                          **attrs)


def from_numpy(ndarray: np.ndarray, zero_copy: bool = True) -> NDArray:
    """An array that shares the NumPy array's memory (which becomes read-only), or with zero_copy=False a copy."""
    if not zero_copy:
        return array(ndarray, dtype=ndarray.dtype)
    if not ndarray.flags["C_CONTIGUOUS"]:
        raise ValueError("from_numpy: only arrays in C order share memory; got another order; pass zero_copy=False")
    tensor = torch.from_numpy(ndarray)
    ndarray.flags["WRITEABLE"] = False
    return NDArray.from_torch(tensor)
