"""Order of elements: sort, argsort, topk, histogram.  Equal elements keep their order."""
from __future__ import annotations

from typing import Literal

import torch

from ..errors import ShapeError
from ..types import DType, torch_dtype
from .operator import NOT_DIFFERENTIABLE, operator
from .samples import Sample
from .traits import CHEAP, Traits

COPY = Traits(recompute=CHEAP)


@operator("sort", aliases=("_npi_sort",), traits=COPY, mxnet_outputs=2,
          samples=[Sample((2, 5), axis=-1), Sample((3, 4), axis=0, is_ascend=False),
                   Sample((2, 3), axis=None, parity="MXNet has no gradient where axis is None"),
                   Sample(((2, 5), "int32"), low=-5, high=9)])
def sort(data, *, axis: int | None = -1, is_ascend: bool = True):
    """data in order along `axis`; of all elements as one axis where it is None.  data, out: T[...]"""
    line = data.reshape(-1) if axis is None else data
    return torch.sort(line, dim=-1 if axis is None else axis, descending=not is_ascend, stable=True)[0]


@operator("argsort", aliases=("_npi_argsort",), traits=COPY, gradient=NOT_DIFFERENTIABLE,
          samples=[Sample((2, 5)), Sample((3, 4), axis=0, is_ascend=False, dtype="int32"), Sample((2, 3), axis=None)])
def argsort(data, *, axis: int | None = -1, is_ascend: bool = True, dtype: DType = "float32"):
    """The positions that put data in order along `axis`.  data: T[...]   out: dtype[...]"""
    line = data.reshape(-1) if axis is None else data
    order = torch.sort(line, dim=-1 if axis is None else axis, descending=not is_ascend, stable=True)[1]
    return order.to(torch_dtype(dtype))


@operator("topk", aliases=("_npx_topk",), traits=COPY, num_outputs=lambda attrs: 2 if attrs["ret_typ"] == "both" else 1,
          mxnet_outputs=lambda attrs: 2 if attrs["ret_typ"] in ("both", "value") else 1,
          samples=[Sample((2, 5), k=2, differentiable=()), Sample((2, 5), k=2, ret_typ="value"),
                   Sample((2, 5), k=3, ret_typ="mask", differentiable=()),
                   Sample((3, 4), k=2, axis=0, ret_typ="both", is_ascend=True, dtype="int32"),
                   Sample((2, 5), k=0, ret_typ="value"), Sample((2, 3), k=2, axis=None, ret_typ="both"),
                   Sample((2, 3), k=2, axis=None, ret_typ="mask", differentiable=())])
def topk(data, *, axis: int | None = -1, k: int = 1,
         ret_typ: Literal["both", "indices", "mask", "value"] = "indices", is_ascend: bool = False,
         dtype: DType = "float32"):
    """The k largest elements along `axis` (is_ascend: the smallest), the first the most extreme; all where k < 1.

    ret_typ: "value", "indices" (in dtype), "both", or "mask": ones at their places.
    data: T[..., N, ...]   out: T[..., k, ...], dtype[..., k, ...], both, or T[..., N, ...]
    """
    line = data.reshape(-1) if axis is None else data
    along = -1 if axis is None else axis
    if k > line.shape[along]:
        raise ShapeError(f"topk: k is more than there are; got k={k}, axis={axis} for data{list(data.shape)}; "
                         f"give at most {line.shape[along]}")
    values, order = torch.sort(line, dim=along, descending=not is_ascend, stable=True)
    if k >= 1:
        values, order = values.narrow(along, 0, k), order.narrow(along, 0, k)
    if ret_typ == "mask":
        return torch.zeros_like(line).scatter(along, order, 1).reshape(data.shape)
    if ret_typ == "both":
        return values.contiguous(), order.to(torch_dtype(dtype))
    return values.contiguous() if ret_typ == "value" else order.to(torch_dtype(dtype))


@operator("_histogram", aliases=("_npi_histogram",), traits=COPY, num_outputs=2, gradient=NOT_DIFFERENTIABLE,
          samples=[Sample((10,), (4,), low=0.0, high=1.0, differentiable=()),
                   Sample((10,), bin_cnt=3, range=(-1.0, 1.0), differentiable=())])
def histogram(data, bins=None, *, bin_cnt: int | None = None, range: tuple[float, ...] | None = None):
    """(how many elements lie in each bin, the edges): bins between the edges `bins`, or bin_cnt even ones in range.
    data: float[...]   bins: float[B + 1]   outs: int64[B], float[B + 1]"""
    if bins is None:
        if not bin_cnt or range is None:
            raise ShapeError(f"histogram: no bins; got bin_cnt={bin_cnt}, range={range}; give both, or the edges")
        bins = torch.linspace(range[0], range[1], bin_cnt + 1, dtype=data.dtype, device=data.device)
    flat = data.reshape(-1)
    place = torch.searchsorted(bins.contiguous(), flat, right=True) - 1
    place = torch.where(flat == bins[-1], bins.shape[0] - 2, place)
    inside = (flat >= bins[0]) & (flat <= bins[-1])
    counts = torch.zeros(bins.shape[0] - 1, dtype=torch.int64, device=data.device)
    return counts.index_add(0, place.clamp(0, bins.shape[0] - 2), inside.long()), bins.clone()


@histogram.inputs
def _(attrs):
    return ("data", "bins") if attrs["bin_cnt"] is None else ("data",)
