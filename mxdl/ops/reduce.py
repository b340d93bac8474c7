"""Reductions over axes.  Reducing every axis without keepdims gives shape (1,), as MXNet has no scalars."""
from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch

from ..errors import ShapeError
from ..types import DType, TensorType, torch_dtype
from . import reduce_c as c
from . import registry
from .operator import NOT_DIFFERENTIABLE, Operator, operator
from .reduce_c import Fold, emit_fold, fold_loops, position_loops, running_sums
from .samples import Sample
from .traits import CHEAP, Traits

Axes = tuple[int, ...] | None
REDUCTION = Traits(recompute=CHEAP)


def reduced_axes(where: str, dim: int, axis: Axes, exclude: bool = False) -> tuple[int, ...]:
    """The axes to reduce, none negative: those of `axis`, or all others; no axis means all."""
    if not axis:
        return tuple(range(dim))
    axes = []
    for i in axis:
        if not -dim <= i < dim:
            raise ShapeError(f"{where}: no such axis; got axis={axis} for an array of {dim} axes; "
                             f"give axes from {-dim} to {dim - 1}")
        axes.append(i % dim)
    return tuple(i for i in range(dim) if i not in axes) if exclude else tuple(sorted(set(axes)))


def at_least_one_axis(out: torch.Tensor) -> torch.Tensor:
    return out if out.dim() else out.reshape(1)


def reduction(name: str, function: Callable, formula: str, fold: Fold, *, aliases: Sequence[str] = (),
              low: float = -1.0, samples: Sequence[Sample] = (), tolerance: float | None = None) -> Operator:
    """Register out = function(data, axes, keepdims) with MXNet's axis, keepdims and exclude; `fold` is its C."""
    def kernel(data: torch.Tensor, *, axis: tuple[int, ...] | None = None, keepdims: bool = False,
               exclude: bool = False):
        axes = reduced_axes(name, data.dim(), axis, exclude)
        return at_least_one_axis(function(data, axes, keepdims)) if axes or not data.dim() else data.clone()
    kernel.__doc__ = (f"{formula} over `axis` (default: all), or with `exclude` over all other axes.\n\n"
                      "data: T[...]   out: T[...] without the axes, or with length 1 there where keepdims")
    shape = {"low": low, "tolerance": tolerance}
    standard = [Sample((2, 3, 4), **shape), Sample((2, 3, 4), axis=1, **shape),
                Sample((2, 3, 4), axis=(0, 2), keepdims=True, **shape),
                Sample((2, 3, 4), axis=1, exclude=True, **shape), Sample((2, 3, 4), keepdims=True, **shape)]
    op = registry.add(Operator(name, kernel, aliases=aliases, traits=REDUCTION, samples=[*standard, *samples]))
    op.infer(lambda inputs, attrs: (reduced_type(name, inputs[0], attrs),))
    op.emit_c(emit_fold(fold, lambda call: reduced_axes(name, len(call.inputs[0].shape), call.attrs["axis"],
                                                        call.attrs["exclude"])))
    return op


def reduced_type(name: str, data: TensorType, attrs: Mapping[str, Any]) -> TensorType:
    """The type of a reduction that keeps the dtype."""
    axes = reduced_axes(name, len(data.shape), attrs["axis"], attrs["exclude"])
    if attrs["keepdims"]:
        return TensorType(tuple(1 if i in axes else n for i, n in enumerate(data.shape)), data.dtype)
    return TensorType(tuple(n for i, n in enumerate(data.shape) if i not in axes) or (1,), data.dtype)


INTEGERS = Sample(((2, 3), "int32"), low=-5, high=9, axis=1)


def sum_over(data: torch.Tensor, axes: tuple[int, ...], keepdims: bool) -> torch.Tensor:
    dtype = None if data.is_floating_point() else data.dtype  # torch widens integers
    return torch.sum(data, axes, keepdim=keepdims, dtype=dtype)


def mean_over(data: torch.Tensor, axes: tuple[int, ...], keepdims: bool) -> torch.Tensor:
    if data.is_floating_point():
        return torch.mean(data, axes, keepdim=keepdims)
    count = math.prod(data.shape[i] for i in axes)
    return torch.div(sum_over(data, axes, keepdims), max(count, 1), rounding_mode="trunc")


def prod_over(data: torch.Tensor, axes: tuple[int, ...], keepdims: bool) -> torch.Tensor:
    for i in reversed(axes):
        data = torch.prod(data, i, keepdim=keepdims, dtype=data.dtype)
    return data


def nanprod_over(data: torch.Tensor, axes: tuple[int, ...], keepdims: bool) -> torch.Tensor:
    return prod_over(torch.where(torch.isnan(data), torch.ones_like(data), data), axes, keepdims)


total = reduction("sum", sum_over, "Sum", c.TOTAL, aliases=("sum_axis", "_sparse_sum"), samples=[INTEGERS])
mean = reduction("mean", mean_over, "Mean", c.MEAN, aliases=("_sparse_mean",), samples=[INTEGERS])
prod = reduction("prod", prod_over, "Product", c.PRODUCT, low=0.5, samples=[INTEGERS])
nansum = reduction("nansum", lambda data, axes, keepdims: torch.nansum(data, axes, keepdim=keepdims, dtype=data.dtype),
                   "Sum of what is not nan", c.NAN_TOTAL)
nanprod = reduction("nanprod", nanprod_over, "Product of what is not nan", c.NAN_PRODUCT, low=0.5)
maximum = reduction("max", lambda data, axes, keepdims: torch.amax(data, axes, keepdim=keepdims), "Maximum",
                    c.LARGEST, aliases=("max_axis",), samples=[INTEGERS])
minimum = reduction("min", lambda data, axes, keepdims: torch.amin(data, axes, keepdim=keepdims), "Minimum",
                    c.SMALLEST, aliases=("min_axis",), samples=[INTEGERS])


def broadcast_back(dout: torch.Tensor, shape: Sequence[int], axes: tuple[int, ...]) -> torch.Tensor:
    """A reduction's gradient (or output), stretched over the axes that were reduced."""
    kept = [1 if i in axes else length for i, length in enumerate(shape)]
    return dout.reshape(kept).expand(list(shape))


@operator("_backward_sum", traits=Traits(recompute=CHEAP, view=True, shape_only=(1,)), parity=None)
def sum_gradient(dout, like, *, axis: tuple[int, ...] | None = None, keepdims: bool = False, exclude: bool = False):
    """Gradient of sum: `dout` at every element that was summed.  out: T[like.shape]"""
    return broadcast_back(dout, like.shape, reduced_axes("sum", like.dim(), axis, exclude))


@operator("_backward_mean", traits=Traits(recompute=CHEAP, shape_only=(1,)), parity=None)
def mean_gradient(dout, like, *, axis: tuple[int, ...] | None = None, keepdims: bool = False, exclude: bool = False):
    """Gradient of mean: `dout` divided by how many elements share it.  out: T[like.shape]"""
    axes = reduced_axes("mean", like.dim(), axis, exclude)
    count = math.prod(like.shape[i] for i in axes)
    return broadcast_back(dout / max(count, 1), like.shape, axes)


@mean_gradient.infer
def _(inputs, attrs):
    return inputs[1:2]


@operator("_backward_max", traits=REDUCTION, parity=None)
def extreme_gradient(dout, out, data, *, axis: tuple[int, ...] | None = None, keepdims: bool = False,
                     exclude: bool = False):
    """Gradient of max and min: `dout`, shared evenly by the elements that equal the output.  out: T[data.shape]"""
    axes = reduced_axes("max", data.dim(), axis, exclude)
    hit = (data == broadcast_back(out, data.shape, axes)).to(dout.dtype)
    return hit * (broadcast_back(dout, data.shape, axes) / hit.sum(axes, keepdim=True))


def axes_of(call) -> dict[str, Any]:
    return {name: call.attrs[name] for name in ("axis", "keepdims", "exclude")}


total.gradient(lambda call: [sum_gradient(call.douts[0], call.inputs[0], **axes_of(call))])
mean.gradient(lambda call: [mean_gradient(call.douts[0], call.inputs[0], **axes_of(call))])
for extreme in (maximum, minimum):
    extreme.gradient(lambda call: [extreme_gradient(call.douts[0], call.outputs[0], call.inputs[0], **axes_of(call))])


@operator("_square_sum", traits=REDUCTION, parity="MXNet's takes row_sparse arrays only",
          samples=[Sample((2, 3, 4)), Sample((2, 3), axis=1, keepdims=True)])
def square_sum(data, *, axis: tuple[int, ...] | None = None, keepdims: bool = False, exclude: bool = False):
    """Sum of squares over `axis`.  data, out: T[...]"""
    axes = reduced_axes("_square_sum", data.dim(), axis, exclude)
    return at_least_one_axis(sum_over(data * data, axes, keepdims))


square_sum.emit_c(emit_fold(c.SQUARES, lambda call: reduced_axes(
    call.where, len(call.inputs[0].shape), call.attrs["axis"], call.attrs["exclude"])))


@operator("norm", aliases=("_sparse_norm",), traits=REDUCTION,
          samples=[Sample((2, 3)), Sample((2, 3, 4), ord=1, axis=1), Sample((2, 3, 4), axis=(0, 2), keepdims=True),
                   Sample((2, 3), ord=2, axis=-1)])
def norm(data, *, ord: int = 2, axis: tuple[int, ...] | None = None, out_dtype: DType | None = None,
         keepdims: bool = False):
    """Sum of absolute values (ord=1) or root of the sum of squares (ord=2) over `axis`.  data, out: T[...]"""
    if ord not in (1, 2):
        raise ShapeError(f"norm: only ord 1 and 2; got ord={ord}; compose other norms from abs, power and sum")
    axes = reduced_axes("norm", data.dim(), axis)
    dtype = torch_dtype(out_dtype) if out_dtype else data.dtype
    wide = data if data.is_floating_point() else data.float()
    return at_least_one_axis(torch.linalg.vector_norm(wide, ord, axes, keepdim=keepdims).to(dtype))


@norm.emit_c
def _(call):
    axes = reduced_axes("norm", len(call.inputs[0].shape), call.attrs["axis"])
    return fold_loops(call.inputs[0], call.outputs[0], axes, c.DISTANCE if call.attrs["ord"] == 1 else c.LENGTH)


@operator("_backward_norm", traits=REDUCTION, parity=None)
def norm_gradient(dout, out, data, *, ord: int = 2, axis: tuple[int, ...] | None = None):
    """Gradient of norm: dout * sign(data), or dout * data / out (0 where out is 0).  out: T[data.shape]"""
    axes = reduced_axes("norm", data.dim(), axis)
    dout = broadcast_back(dout, data.shape, axes).to(data.dtype)
    if ord == 1:
        return dout * torch.sign(data)
    length = broadcast_back(out, data.shape, axes).to(data.dtype)
    return torch.where(length == 0, 0.0, dout * data / length)


@norm.gradient
def _(call):
    return [norm_gradient(call.douts[0], call.outputs[0], call.inputs[0], ord=call.attrs["ord"],
                          axis=call.attrs["axis"])]


@operator("moments", traits=REDUCTION, num_outputs=2,
          samples=[Sample((2, 3, 4), axes=(0, 2)), Sample((2, 3), axes=(1,), keepdims=True)])
def moments(data, *, axes: tuple[int, ...] | None = None, keepdims: bool = False):
    """(mean, variance) over `axes` (default: all).  data: float[...]   outs: float[...]"""
    over = reduced_axes("moments", data.dim(), axes)
    var, mean = torch.var_mean(data, over, correction=0, keepdim=keepdims)
    return at_least_one_axis(mean), at_least_one_axis(var)


@moments.lower_c
def _(inputs, types, attrs):
    axes = reduced_axes("moments", len(types[0].shape), attrs["axes"])
    average = mean(inputs[0], axis=axes, keepdims=True)
    squares = registry.get("square")(registry.get("broadcast_sub")(inputs[0], average))
    keepdims = attrs["keepdims"]
    return [average if keepdims else mean(inputs[0], axis=axes), mean(squares, axis=axes, keepdims=keepdims)]


def position(name: str, function: Callable, what: str) -> None:
    """Register argmax or argmin: the first position of the extreme, in the dtype of data."""
    def kernel(data: torch.Tensor, *, axis: int | None = None, keepdims: bool = False):
        if axis is None:
            out = function(data.reshape(-1), 0, False).to(data.dtype)
            return out.reshape([1] * data.dim() if keepdims else [1])
        reduced_axes(name, data.dim(), (axis,))
        return at_least_one_axis(function(data, axis, keepdims).to(data.dtype))
    kernel.__doc__ = f"Index of the {what} along `axis` (default: of all elements), in data's dtype.  data, out: T[...]"
    op = Operator(name, kernel, traits=REDUCTION, gradient=NOT_DIFFERENTIABLE,
                  samples=[Sample((2, 3, 4), axis=1), Sample((2, 3, 4), axis=2, keepdims=True), Sample((2, 3)),
                           Sample((2, 3), keepdims=True), Sample(((2, 3), "int32"), low=-5, high=9, axis=0)])
    registry.add(op)

    @op.emit_c
    def _(call):
        data, axis = call.inputs[0], call.attrs["axis"]
        return position_loops(data, call.outputs[0], range(len(data.shape)) if axis is None
                              else [axis % len(data.shape)], ">" if name == "argmax" else "<")


position("argmax", torch.argmax, "maximum")
position("argmin", torch.argmin, "minimum")


@operator("argmax_channel", traits=REDUCTION, samples=[Sample((2, 3)), Sample((2, 3, 4))],
          gradient=NOT_DIFFERENTIABLE)
def argmax_channel(data):
    """Index of the maximum along axis 1.  data: T[N, C, ...]   out: T[N, ...]"""
    return torch.argmax(data, 1).to(data.dtype)


@argmax_channel.emit_c
def _(call):
    return position_loops(call.inputs[0], call.outputs[0], [1], ">")


@operator("_np_cumsum", aliases=("cumsum",), traits=REDUCTION,
          samples=[Sample((2, 3), axis=1), Sample((2, 3)), Sample(((2, 3), "int32"), axis=0, low=-5, high=9)])
def cumsum(a, *, axis: int | None = None, dtype: DType | None = None):
    """Running sum along `axis` (default: of all elements in order).  a, out: T[...]"""
    out_dtype = torch_dtype(dtype) if dtype else a.dtype
    return torch.cumsum(a.reshape(-1) if axis is None else a, axis or 0, dtype=out_dtype)


@cumsum.emit_c
def _(call):
    data, axis = call.inputs[0], call.attrs["axis"]
    return running_sums(data, call.outputs[0], *((1, data.size, 1) if axis is None else (
        math.prod(data.shape[:axis % len(data.shape)]), data.shape[axis],
        math.prod(data.shape[axis % len(data.shape) + 1:]))))
