"""Operators that give the same elements another shape."""
from __future__ import annotations

import math

import torch

from ..errors import ShapeError
from .operator import NOT_DIFFERENTIABLE, operator
from .samples import Sample
from .strided import emit_view
from .traits import CHEAP, Traits

VIEW = Traits(recompute=CHEAP, view=True, reshape=True, inplace=((0, 0),))
LIKE = Traits(recompute=CHEAP, view=True, inplace=((0, 0),), shape_only=(1,))
SHAPE = Traits(recompute=CHEAP, shape_only=(0,))
KEEP, INFER, KEEP_REST, MERGE, SPLIT = 0, -1, -2, -3, -4


@operator("Reshape", aliases=("reshape",), traits=VIEW,
          samples=[Sample((2, 3, 4), shape=(0, -1)), Sample((2, 3, 4), shape=(-3, -2)),
                   Sample((2, 3, 4), shape=(0, 0, -4, -1, 2)), Sample((2, 3, 4), shape=(-1, 0), reverse=True),
                   Sample((2, 3, 4), shape=(6, 4)), Sample((2, 3, 4), target_shape=(0, 12)),
                   Sample((2, 3, 4), target_shape=(0, 0), keep_highest=True)])
def reshape(data, *, shape: tuple[int, ...] = (), reverse: bool = False, target_shape: tuple[int, ...] = (),
            keep_highest: bool = False):
    """data in another shape, elements in the same order.  data, out: T[...]

    shape: lengths, and codes that walk along data's axes: 0 keeps an axis, -1 infers a length from the
    others (once), -2 keeps all axes that are left, -3 merges two axes, -4 splits an axis into the two lengths that
    follow (one may be -1).   reverse: walk from the last axis to the first.
    target_shape, keep_highest: the form of old files; 0 infers, and keep_highest keeps the first axis.
    """
    if shape:
        if min(shape) > 0:  # the usual call needs no reading of codes
            try:
                return data.reshape(shape)
            except RuntimeError:
                pass  # said again below, in mxdl's words
        return data.reshape(resolve(tuple(data.shape), shape, reverse))
    if target_shape:
        codes = [INFER if n == 0 else n for n in target_shape]
        if keep_highest:
            codes[0] = KEEP
        return data.reshape(resolve(tuple(data.shape), tuple(codes), False))
    raise ShapeError(f"Reshape: no shape; got shape={shape} for data{list(data.shape)}; give shape=(...)")


@reshape.invert
def _(out, inputs, attrs):
    """The one length that is not known, from the number of elements."""
    [data] = inputs
    if data is None or list(data).count(0) != 1 or 0 in out:
        return [None]
    rest = math.prod(length for length in data if length)
    return [tuple(length or math.prod(out) // rest for length in data)]


def resolve(old: tuple[int, ...], codes: tuple[int, ...], reverse: bool) -> tuple[int, ...]:
    """The lengths that `codes` mean for an array of shape `old`.  Raises ShapeError."""
    if reverse:
        return resolve(old[::-1], codes[::-1], False)[::-1]

    def refuse(what: str) -> ShapeError:
        return ShapeError(f"Reshape: {what}; got shape={codes} for data{list(old)}; give lengths with "
                          f"{math.prod(old)} elements")
    new: list[int] = []
    axis, i = 0, 0

    def take(count: int = 1) -> tuple[int, ...]:
        nonlocal axis
        if axis + count > len(old):
            raise refuse(f"code {codes[i]} needs an axis that data does not have")
        axis += count
        return old[axis - count:axis]

    while i < len(codes):
        code = codes[i]
        if code == KEEP:
            new += take()
        elif code == KEEP_REST:
            new += take(len(old) - axis)
        elif code == MERGE:
            new.append(math.prod(take(2)))
        elif code == SPLIT:
            if i + 2 >= len(codes):
                raise refuse("-4 needs two lengths after it")
            length, = take()
            new += split_axis(length, codes[i + 1], codes[i + 2], refuse)
            i += 2
        elif code == INFER or code > 0:
            new.append(code)
            axis += 1
        else:
            raise refuse(f"unknown code {code}")
        i += 1
    return infer_length(math.prod(old), new, refuse)


def split_axis(length: int, left: int, right: int, refuse) -> list[int]:
    if left == INFER and right > 0:
        left = length // right
    elif right == INFER and left > 0:
        right = length // left
    if left * right != length:
        raise refuse(f"-4 cannot split length {length} into {left} and {right}")
    return [left, right]


def infer_length(size: int, new: list[int], refuse) -> tuple[int, ...]:
    unknown = new.count(INFER)
    if unknown > 1:
        raise refuse("-1 stands twice")
    if unknown:
        known = math.prod(n for n in new if n != INFER)
        new[new.index(INFER)] = size // known if known else 0
    if math.prod(new) != size:
        raise refuse(f"{tuple(new)} does not have data's number of elements")
    return tuple(new)


@operator("reshape_like", aliases=("_npx_reshape_like",), traits=LIKE,
          samples=[Sample((2, 3, 4), (6, 4)),
                   Sample((30, 7), (15, 2, 4), lhs_begin=0, lhs_end=1, rhs_begin=0, rhs_end=2),
                   Sample((30, 7), (15, 2, 4), lhs_end=-1, rhs_begin=0, rhs_end=2)])
def reshape_like(lhs, rhs, *, lhs_begin: int | None = None, lhs_end: int | None = None,
                 rhs_begin: int | None = None, rhs_end: int | None = None):
    """lhs in the shape of rhs; or only axes [lhs_begin, lhs_end) of lhs in the lengths of [rhs_begin, rhs_end) of rhs.
    lhs, out: T[...]"""
    middle = tuple(rhs.shape[slice(rhs_begin, rhs_end)])
    start, stop, _ = slice(lhs_begin, lhs_end).indices(lhs.dim())
    shape = (*lhs.shape[:start], *middle, *lhs.shape[stop:])
    if math.prod(shape) != lhs.numel():
        raise ShapeError(f"reshape_like: sizes differ; got lhs{list(lhs.shape)} as {list(shape)} from "
                         f"rhs{list(rhs.shape)}; choose axes of equal size")
    return lhs.reshape(shape)


reshape_like.emit_c(emit_view(reshape_like))


def like_input(call):
    """The gradient of a reshape: dout in the shape of the input."""
    return [reshape_like(call.douts[0], call.inputs[0])]


@reshape_like.gradient
def _(call):
    return [*like_input(call), None]


@operator("Flatten", aliases=("flatten", "_npx_batch_flatten"), traits=VIEW,
          samples=[Sample((2, 3, 4)), Sample((3,))])
def flatten(data):
    """All axes but the first as one.  data: T[N, ...]   out: T[N, size of the rest]"""
    return data.reshape(data.shape[0], math.prod(data.shape[1:]))


@operator("expand_dims", aliases=("_npi_expand_dims",), traits=VIEW,
          samples=[Sample((2, 3), axis=1), Sample((2, 3), axis=-1)])
def expand_dims(data, *, axis: int):
    """A new axis of length 1 at position `axis`.  data: T[...]   out: T[..., 1, ...]"""
    if not -data.dim() - 1 <= axis <= data.dim():
        raise ShapeError(f"expand_dims: no such position; got axis={axis} for data{list(data.shape)}; "
                         f"give {-data.dim() - 1} to {data.dim()}")
    return data.unsqueeze(axis)


@operator("squeeze", traits=VIEW,
          samples=[Sample((1, 3, 1)), Sample((1, 3, 1), axis=0), Sample((1, 3, 1), axis=(0, -1)), Sample((1, 1))])
def squeeze(data, *, axis: tuple[int, ...] | None = None):
    """data without its axes of length 1, or without those in `axis`; shape (1,) when none is left.  out: T[...]"""
    dim = data.dim()
    axes = {i for i in range(dim) if data.shape[i] == 1} if axis is None else {i % dim for i in axis if -dim <= i < dim}
    if axis is not None and (len(axes) != len(set(axis)) or any(data.shape[i] != 1 for i in axes)):
        raise ShapeError(f"squeeze: not axes of length 1; got axis={axis} for data{list(data.shape)}; "
                         "name axes of length 1")
    return data.reshape([n for i, n in enumerate(data.shape) if i not in axes] or [1])


for op in (reshape, flatten, expand_dims, squeeze):
    op.gradient(like_input)


@operator("shape_array", aliases=("_npx_shape_array",), traits=SHAPE, gradient=NOT_DIFFERENTIABLE,
          samples=[Sample((2, 3))])
def shape_array(data):
    """The lengths of data's axes.  out: int64[number of axes]"""
    return torch.tensor(tuple(data.shape), dtype=torch.int64, device=data.device)


@operator("size_array", traits=SHAPE, gradient=NOT_DIFFERENTIABLE, samples=[Sample((2, 3))])
def size_array(data):
    """The number of elements.  out: int64[1]"""
    return torch.tensor([data.numel()], dtype=torch.int64, device=data.device)
