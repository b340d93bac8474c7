"""sort, argsort and topk in the single-file build: the places in order, and what stands there."""
from __future__ import annotations

import math

import torch

from .axes import swap_axis
from .identity import cast
from .operator import NOT_DIFFERENTIABLE, operator
from .order import argsort, sort, topk
from .reshape import reshape
from .samples import Sample
from .slicing import slice_axis
from .traits import CHEAP, COSTLY, Traits


@operator("_order", traits=Traits(recompute=COSTLY), num_outputs=2, num_visible=1, parity=None,
          gradient=NOT_DIFFERENTIABLE, samples=[Sample((2, 5)), Sample((2, 5), is_ascend=False)])
def order(data, *, is_ascend: bool = True):
    """The places that put the last axis in order, int32[..., N], and working memory.  data: float[..., N]"""
    places = torch.sort(data, dim=-1, descending=not is_ascend, stable=True)[1].int()
    return places, data.new_zeros(data.shape[-1], dtype=torch.int32)


@operator("_at_places", traits=Traits(recompute=CHEAP), parity=None, gradient=NOT_DIFFERENTIABLE,
          samples=[Sample((2, 5), ((2, 3), "int32"), low=0, high=4)])
def at_places(data, places):
    """The elements of the last axis at `places`.  data: T[..., N]   places: int32[..., M]   out: T[..., M]"""
    return data.gather(-1, places.long())


def ordered(inputs, types, axis: int | None, is_ascend: bool, count: int = 0):
    """(values, places) along the last axis, and the function that puts a result's axes back."""
    data, rank = inputs[0], len(types[0].shape)
    if axis is None:
        data, rank, axis = reshape(data, shape=(-1,)), 1, 0
    axis = axis % rank
    line = data if axis == rank - 1 else swap_axis(data, dim1=axis, dim2=rank - 1)
    places = order(line, is_ascend=is_ascend)[0]
    if count >= 1:
        places = slice_axis(places, axis=-1, begin=0, end=count)
    return line, places, lambda x: x if axis == rank - 1 else swap_axis(x, dim1=axis, dim2=rank - 1)


@sort.lower_c
def _(inputs, types, attrs):
    line, places, back = ordered(inputs, types, attrs["axis"], attrs["is_ascend"])
    return [back(at_places(line, places))]


@argsort.lower_c
def _(inputs, types, attrs):
    _, places, back = ordered(inputs, types, attrs["axis"], attrs["is_ascend"])
    return [back(cast(places, dtype=attrs["dtype"]))]


@topk.lower_c
def _(inputs, types, attrs):
    if attrs["ret_typ"] == "mask":
        return None
    line, places, back = ordered(inputs, types, attrs["axis"], attrs["is_ascend"], attrs["k"])
    values, indices = (lambda: back(at_places(line, places))), (lambda: back(cast(places, dtype=attrs["dtype"])))
    return {"both": lambda: [values(), indices()], "value": lambda: [values()],
            "indices": lambda: [indices()]}[attrs["ret_typ"]]()


@order.emit_c
def _(call):
    data, (places, work) = call.inputs[0], call.outputs
    n = data.shape[-1]
    sort_line = call.kernel("sort_order", "keys", 1, "line", work.address, n, int(not call.attrs["is_ascend"]))
    return (f"for (ptrdiff_t i = 0; i < {data.size // n}; ++i) {{ const float *keys = {data.pointer} + i * {n}; "
            f"int *line = {places.address} + i * {n}; for (int k = 0; k < {n}; ++k) line[k] = k; {sort_line} }}")


@at_places.emit_c
def _(call):
    (data, places), out = call.inputs, call.outputs[0]
    n, m = data.shape[-1], places.shape[-1]
    return (f"for (size_t i = 0; i < {math.prod(places.shape[:-1])}; ++i) for (size_t k = 0; k < {m}; ++k) "
            f"{out.address}[i * {m} + k] = {data.address}[i * {n} + (size_t){places.address}[i * {m} + k]];")
