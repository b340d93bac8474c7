"""Parts of an array along its axes: slice, slice_axis, slice_like, Crop; and writing into a part."""
from __future__ import annotations

from collections.abc import Sequence

import torch

from ..errors import ShapeError
from .operator import operator
from .samples import Sample
from .strided import emit_view
from .traits import CHEAP, Traits

VIEW = Traits(recompute=CHEAP, view=True)
COPY = Traits(recompute=CHEAP)
Bounds = tuple[int | None, ...]


def region(name: str, shape: Sequence[int], begin: Bounds, end: Bounds, step: Bounds) -> tuple[tuple, list[int]]:
    """The part [begin, end) by `step` as (slices with positive steps, axes to reverse after taking them)."""
    if len(begin) != len(end) or len(begin) > len(shape):
        raise ShapeError(f"{name}: begin and end name the same axes, at most all; got begin={begin}, end={end} for an "
                         f"array of shape {tuple(shape)}; give one entry an axis, None for its whole length")
    slices, reversed_axes = [], []
    for axis, (b, e) in enumerate(zip(begin, end, strict=True)):
        s = step[axis] if axis < len(step) and step[axis] is not None else 1
        if s == 0:
            raise ShapeError(f"{name}: a step is not 0; got step={step}; use None for 1")
        indices = range(*slice(b, e, s).indices(shape[axis]))
        if s > 0:
            slices.append(slice(indices.start, indices.start + len(indices) * s, s))
        else:
            reversed_axes.append(axis)
            slices.append(slice(indices[-1], indices[0] + 1, -s) if len(indices) else slice(0, 0))
    return tuple(slices), reversed_axes


@operator("slice", aliases=("crop", "_npi_slice", "_npx_slice", "_sparse_slice"), traits=VIEW,
          samples=[Sample((3, 4, 5), begin=(0, 1), end=(2, 3)), Sample((3, 4), begin=(None, -2), end=(None, None)),
                   Sample((3, 4), begin=(None, None), end=(None, None), step=(-1, -2)),
                   Sample((3, 4), begin=(0,), end=(10,), step=(2,))])
def slice_(data, *, begin: tuple[int | None, ...], end: tuple[int | None, ...], step: tuple[int | None, ...] = ()):
    """data[begin[0]:end[0]:step[0], begin[1]:end[1]:step[1], ...], as Python slices.  data, out: T[...]"""
    slices, reversed_axes = region("slice", data.shape, begin, end, step)
    out = data[slices]
    return torch.flip(out, reversed_axes) if reversed_axes else out


@operator("_backward_slice", traits=Traits(recompute=CHEAP, shape_only=(1,)), parity=None)
def slice_gradient(dout, like, *, begin: tuple[int | None, ...], end: tuple[int | None, ...],
                   step: tuple[int | None, ...] = ()):
    """`dout` at the part that was taken, zeros elsewhere.  out: T[like.shape]"""
    slices, reversed_axes = region("slice", like.shape, begin, end, step)
    out = torch.zeros(like.shape, dtype=dout.dtype, device=dout.device)
    out[slices] = torch.flip(dout, reversed_axes) if reversed_axes else dout
    return out


def part_of(call) -> dict:
    return {name: call.attrs[name] for name in ("begin", "end", "step")}


@slice_.gradient
def _(call):
    return [slice_gradient(call.douts[0], call.inputs[0], **part_of(call))]


@operator("_slice_assign", aliases=("_crop_assign", "_npi_slice_assign"), traits=COPY,
          samples=[Sample((3, 4), (2, 2), begin=(0, 1), end=(2, 3)),
                   Sample((3, 4), (3, 2), begin=(None, None), end=(None, None), step=(None, -2))])
def slice_assign(lhs, rhs, *, begin: tuple[int | None, ...], end: tuple[int | None, ...],
                 step: tuple[int | None, ...] = ()):
    """lhs with rhs written over the part [begin, end) by step.  lhs, rhs, out: T[...]"""
    slices, reversed_axes = region("_slice_assign", lhs.shape, begin, end, step)
    out = lhs.clone()
    out[slices] = torch.flip(rhs, reversed_axes) if reversed_axes else rhs
    return out


@operator("_slice_assign_scalar", aliases=("_crop_assign_scalar", "_npi_slice_assign_scalar"), traits=COPY,
          samples=[Sample((3, 4), scalar=9.0, begin=(0, 1), end=(2, 3))])
def slice_assign_scalar(data, *, scalar: float = 0.0, begin: tuple[int | None, ...], end: tuple[int | None, ...],
                        step: tuple[int | None, ...] = ()):
    """data with a number written over the part [begin, end) by step.  data, out: T[...]"""
    slices, _ = region("_slice_assign_scalar", data.shape, begin, end, step)
    out = data.clone()
    out[slices] = scalar
    return out


@slice_assign.gradient
def _(call):
    dout = call.douts[0]
    return [slice_assign_scalar(dout, scalar=0.0, **part_of(call)) if call.needs[0] else None,
            slice_(dout, **part_of(call)) if call.needs[1] else None]


@slice_assign_scalar.gradient
def _(call):
    return [slice_assign_scalar(call.douts[0], scalar=0.0, **part_of(call))]


def interval(name: str, data: torch.Tensor, axis: int, begin: int, end: int | None) -> tuple[int, int]:
    """(start, length) of [begin, end) along `axis`; negative bounds count from the end, and an empty
    axis has one part.  Raises ShapeError."""
    if not -data.dim() <= axis < data.dim():
        raise ShapeError(f"{name}: no such axis; got axis={axis} for data{list(data.shape)}; "
                         f"give {-data.dim()} to {data.dim() - 1}")
    length = data.shape[axis]
    start = begin + length if begin < 0 else begin
    stop = length if end is None else end + length if end < 0 else end
    if length == 0:
        return 0, 0
    if not 0 <= start <= stop <= length:
        raise ShapeError(f"{name}: not a part of axis {axis}; got begin={begin}, end={end} for data{list(data.shape)}; "
                         f"give 0 <= begin <= end <= {length}")
    return start, stop - start


@operator("slice_axis", traits=VIEW,
          samples=[Sample((3, 4), axis=1, begin=1, end=None), Sample((3, 4), axis=-1, begin=-3, end=-1),
                   Sample((3, 4), axis=0, begin=0, end=2)])
def slice_axis(data, *, axis: int, begin: int, end: int | None):
    """The part [begin, end) of data along `axis`.  data, out: T[...]"""
    return data.narrow(axis, *interval("slice_axis", data, axis, begin, end))


@operator("_backward_slice_axis", traits=Traits(recompute=CHEAP, shape_only=(1,)), parity=None)
def slice_axis_gradient(dout, like, *, axis: int, begin: int, end: int | None):
    """`dout` at [begin, end) along `axis`, zeros elsewhere.  out: T[like.shape]"""
    start, length = interval("slice_axis", like, axis, begin, end)
    return torch.ops.aten.slice_backward(dout, like.shape, axis, start, start + length, 1)


@slice_axis.gradient
def _(call):
    return [slice_axis_gradient(call.douts[0], call.inputs[0],
                                **{name: call.attrs[name] for name in ("axis", "begin", "end")})]


def leading_part(name: str, data: torch.Tensor, like: torch.Tensor, axes: Sequence[int]) -> tuple[slice, ...]:
    """Slices that cut data's `axes` (default: all) to the lengths that `like` has there."""
    if not axes and data.dim() != like.dim():
        raise ShapeError(f"{name}: other number of axes; got data{list(data.shape)}, shape_like{list(like.shape)}; "
                         "give axes=(...)")
    slices = [slice(None)] * data.dim()
    for axis in axes or range(data.dim()):
        if like.shape[axis] > data.shape[axis]:
            raise ShapeError(f"{name}: longer than data along axis {axis}; got data{list(data.shape)}, "
                             f"shape_like{list(like.shape)}; name the axes to cut in axes=(...)")
        slices[axis] = slice(0, like.shape[axis])
    return tuple(slices)


@operator("slice_like", traits=Traits(recompute=CHEAP, view=True, shape_only=(1,)),
          samples=[Sample((3, 4), (2, 3)), Sample((3, 4, 5), (2, 3, 7), axes=(0, 1)), Sample((3, 4), (7, 2),
          axes=(-1,))])
def slice_like(data, shape_like, *, axes: tuple[int, ...] = ()):
    """data cut to the shape of shape_like, along all axes or those in `axes`.  data, out: T[...]"""
    return data[leading_part("slice_like", data, shape_like, axes)]


@operator("_backward_slice_like", traits=Traits(recompute=CHEAP, shape_only=(1, 2)), parity=None)
def slice_like_gradient(dout, data, shape_like, *, axes: tuple[int, ...] = ()):
    """`dout` at the part that slice_like took, zeros elsewhere.  out: T[data.shape]"""
    out = torch.zeros(data.shape, dtype=dout.dtype, device=dout.device)
    out[leading_part("slice_like", data, shape_like, axes)] = dout
    return out


@slice_like.gradient
def _(call):
    return [slice_like_gradient(call.douts[0], *call.inputs, axes=call.attrs["axes"]), None]


@operator("Crop", traits=VIEW,
          samples=[Sample((1, 2, 4, 5), h_w=(2, 3), offset=(1, 1)), Sample((1, 2, 5, 5), h_w=(2, 2), center_crop=True),
                   Sample((1, 1, 4, 4), (1, 1, 3, 2), offset=(1, 2))])
def crop(*data, offset: tuple[int, ...] = (0, 0), h_w: tuple[int, ...] = (0, 0), center_crop: bool = False):
    """A window of an image: as large as the second input, or h_w; at `offset`, or in the middle.
    data: T[N, C, H, W] (and T[N', C', h, w])   out: T[N, C, h, w]"""
    image = data[0]
    height, width = data[1].shape[2:] if len(data) > 1 else h_w
    top, left = ((image.shape[2] - height) // 2, (image.shape[3] - width) // 2) if center_crop else offset
    if min(top, left) < 0 or top + height > image.shape[2] or left + width > image.shape[3]:
        raise ShapeError(f"Crop: the window leaves the image; got data{list(image.shape)}, "
                         f"window {height} x {width} at {(top, left)}; make it smaller")
    return image[:, :, top:top + height, left:left + width]


for op in (slice_, slice_axis, slice_like, crop):
    op.emit_c(emit_view(op))
