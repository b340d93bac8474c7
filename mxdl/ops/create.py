"""Arrays from nothing but attributes, and arrays of constants in the shape of another.

ctx: where the array is made ("gpu(0)"); the CPU by default.
"""
from __future__ import annotations

import math

import torch

from ..device import parse_context
from ..errors import AttributeValueError
from ..types import DType, torch_dtype
from .operator import NOT_DIFFERENTIABLE, operator
from .samples import Sample
from .traits import CHEAP, Traits

CREATION = Traits(recompute=CHEAP)
LIKE = Traits(recompute=CHEAP, elementwise=True, shape_only=(0,))


def place(ctx: str) -> torch.device:
    """torch's device for MXNet's text of a context."""
    if not ctx:
        return torch.device("cpu")
    return parse_context(ctx).torch_device


@operator("_zeros", traits=CREATION, gradient=NOT_DIFFERENTIABLE,
          samples=[Sample(shape=(2, 3)), Sample(shape=(2,), dtype="int32")])
def zeros(*, shape: tuple[int, ...] = (), ctx: str = "", dtype: DType = "float32"):
    """An array of zeros.  out: dtype[shape]"""
    return torch.zeros(shape, dtype=torch_dtype(dtype), device=place(ctx))


@operator("_ones", traits=CREATION, gradient=NOT_DIFFERENTIABLE,
          samples=[Sample(shape=(2, 3)), Sample(shape=(2,), dtype="int32")])
def ones(*, shape: tuple[int, ...] = (), ctx: str = "", dtype: DType = "float32"):
    """An array of ones.  out: dtype[shape]"""
    return torch.ones(shape, dtype=torch_dtype(dtype), device=place(ctx))


@operator("_full", aliases=("_npi_full",), traits=CREATION, gradient=NOT_DIFFERENTIABLE,
          samples=[Sample(shape=(2, 3), value=1.5), Sample(shape=(2,), value=3.7, dtype="int32")])
def full(*, shape: tuple[int, ...] = (), ctx: str = "", dtype: DType = "float32", value: float):
    """An array of one value.  out: dtype[shape]"""
    kind = torch_dtype(dtype)
    return torch.full(shape, value if kind.is_floating_point else int(value), dtype=kind, device=place(ctx))


@operator("_zeros_without_dtype", traits=CREATION, gradient=NOT_DIFFERENTIABLE,
          samples=[Sample(shape=(2, 3), dtype=0)])
def zeros_without_dtype(*, shape: tuple[int, ...] = (), ctx: str = "", dtype: int = -1):
    """An array of zeros; dtype is one of MXNet's type flags, -1 for float32.  out: dtype[shape]"""
    return torch.zeros(shape, dtype=torch_dtype(max(dtype, 0)), device=place(ctx))


@operator("_arange", traits=CREATION, gradient=NOT_DIFFERENTIABLE,
          samples=[Sample(start=0, stop=5), Sample(start=5), Sample(start=1, stop=3, step=0.5, repeat=2),
                   Sample(start=5, stop=0, step=-2, dtype="int32")])
def arange(*, start: float, stop: float | None = None, step: float = 1.0, repeat: int = 1, infer_range: bool = False,
           ctx: str = "", dtype: DType = "float32"):
    """start, start + step, ... before stop, each `repeat` times; 0, 1, ... before start where stop is not given.
    out: dtype[repeat * ceil((stop - start) / step)]"""
    if infer_range and stop is None:
        raise AttributeValueError("_arange: the length is to be inferred from the operator that uses it; "
                                  "got infer_range=True without stop; give stop, or use contrib.arange_like")
    if stop is None:
        start, stop = 0.0, start
    steps = torch.arange(max(math.ceil((stop - start) / step), 0), dtype=torch.float64, device=place(ctx))
    values = (steps * step + start).to(torch_dtype(dtype))
    return values if repeat == 1 else values.repeat_interleave(repeat)


@operator("_linspace", aliases=("_npi_linspace",), traits=CREATION, gradient=NOT_DIFFERENTIABLE,
          samples=[Sample(start=0, stop=10, num=5), Sample(start=0, stop=10, num=5, endpoint=False)])
def linspace(*, start: float, stop: float, num: int, endpoint: bool = True, ctx: str = "", dtype: DType = "float32"):
    """`num` numbers evenly spaced from start to stop, stop included where `endpoint`.  out: dtype[num]"""
    gaps = max(num - 1 if endpoint else num, 1)
    steps = torch.arange(num, dtype=torch.float64, device=place(ctx))
    return (steps * ((stop - start) / gaps) + start).to(torch_dtype(dtype))


@operator("_eye", traits=CREATION, gradient=NOT_DIFFERENTIABLE,
          samples=[Sample(N=3), Sample(N=2, M=3, k=1), Sample(N=3, M=2, k=-1, dtype="int32")])
def eye(*, N: int, M: int = 0, k: int = 0, ctx: str = "", dtype: DType = "float32"):
    """Ones on diagonal number k, zeros elsewhere.  out: dtype[N, M]; M is N where it is 0"""
    square = torch.zeros((N, M or N), dtype=torch_dtype(dtype), device=place(ctx))
    torch.diagonal(square, k).fill_(1)
    return square


@operator("zeros_like", aliases=("_sparse_zeros_like",), traits=LIKE, ignored=("dtype",), gradient=NOT_DIFFERENTIABLE,
          samples=[Sample((2, 3)), Sample(((2, 3), "int32"))])
def zeros_like(data):
    """Zeros in the shape and dtype of data.  data, out: T[...]"""
    return torch.zeros_like(data)


@operator("ones_like", traits=LIKE, ignored=("dtype",), gradient=NOT_DIFFERENTIABLE,
          samples=[Sample((2, 3)), Sample(((2, 3), "int32"))])
def ones_like(data):
    """Ones in the shape and dtype of data.  data, out: T[...]"""
    return torch.ones_like(data)


@operator("_contrib_arange_like", aliases=("_npx_arange_like",), traits=Traits(recompute=CHEAP, shape_only=(0,)),
          gradient=NOT_DIFFERENTIABLE,
          samples=[Sample((2, 3, 4), axis=1), Sample((2, 3)), Sample((2, 3), axis=-1, start=2, step=3),
                   Sample((2, 3), axis=1, repeat=2)])
def arange_like(data, *, start: float = 0.0, step: float = 1.0, repeat: int = 1, ctx: str = "",
                axis: int | None = None):
    """start, start + step, ..., each `repeat` times: as many as data has along `axis`, or one for each element.
    data: T[...]   out: T[length of axis] or T[...]"""
    count = data.numel() if axis is None else data.shape[axis]
    steps = torch.arange(count, dtype=torch.float64, device=data.device)
    values = (torch.div(steps, repeat, rounding_mode="floor") * step + start).to(data.dtype)
    return values.reshape(data.shape) if axis is None else values


@operator("_contrib_index_array", traits=Traits(recompute=CHEAP, shape_only=(0,)), gradient=NOT_DIFFERENTIABLE,
          samples=[Sample((2, 3)), Sample((2, 3), axes=(1,)), Sample((2, 3, 4), axes=(-1, 0))])
def index_array(data, *, axes: tuple[int, ...] | None = None):
    """The position of each element, along all axes or those in `axes`.  data: T[...]   out: int64[..., len(axes)]"""
    grid = torch.meshgrid(*(torch.arange(n, device=data.device) for n in data.shape), indexing="ij")
    return torch.stack([grid[i] for i in (range(data.dim()) if axes is None else axes)], -1)
