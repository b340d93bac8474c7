"""Operators that exchange, reverse or regroup axes."""
from __future__ import annotations

import torch

from ..errors import ShapeError
from .operator import operator
from .samples import Sample
from .strided import emit_reversed, emit_view
from .traits import CHEAP, Traits

VIEW = Traits(recompute=CHEAP, view=True)
COPY = Traits(recompute=CHEAP)


@operator("transpose", traits=VIEW, samples=[Sample((2, 3, 4)), Sample((2, 3, 4), axes=(1, 2, 0))])
def transpose(data, *, axes: tuple[int, ...] = ()):
    """data with its axes in the order `axes`; reversed where none is given.  data, out: T[...]"""
    if not axes:
        return data.permute(*range(data.dim() - 1, -1, -1)) if data.dim() != 2 else data.t()
    if len(axes) != data.dim():
        raise ShapeError(f"transpose: axes must name each axis once; got axes={axes} for data{list(data.shape)}; "
                         f"give {data.dim()} axes")
    return data.permute(axes)


@transpose.gradient
def _(call):
    axes = call.attrs["axes"]
    inverse = tuple(sorted(range(len(axes)), key=lambda i: axes[i] % len(axes)))
    return [transpose(call.douts[0], axes=inverse)]


@operator("SwapAxis", aliases=("swapaxes", "_npi_swapaxes"), traits=VIEW,
          samples=[Sample((2, 3, 4), dim1=0, dim2=2), Sample((2, 3, 4), dim1=-1, dim2=1)])
def swap_axis(data, *, dim1: int = 0, dim2: int = 0):
    """data with two axes exchanged.  data, out: T[...]"""
    return data.transpose(dim1, dim2)


@operator("reverse", aliases=("flip",), traits=COPY,
          samples=[Sample((2, 3, 4), axis=1), Sample((2, 3, 4), axis=(0, 2))])
def reverse(data, *, axis: tuple[int, ...]):
    """data with the order of elements reversed along `axis`.  data, out: T[...]"""
    return torch.flip(data, axis)


@swap_axis.gradient
def _(call):
    return [swap_axis(call.douts[0], dim1=call.attrs["dim1"], dim2=call.attrs["dim2"])]


@reverse.gradient
def _(call):
    return [reverse(call.douts[0], axis=call.attrs["axis"])]


def _check_image(name: str, data: torch.Tensor, block: int, fits: bool) -> None:
    if data.dim() != 4 or block < 1 or not fits:
        raise ShapeError(f"{name}: blocks of {block} do not fit; got data{list(data.shape)}; give data[N, C, H, W] "
                         "that divides")


@operator("depth_to_space", traits=COPY, samples=[Sample((1, 8, 2, 3), block_size=2)])
def depth_to_space(data, *, block_size: int):
    """Channels as blocks of pixels.  data: T[N, b*b*C, H, W]   out: T[N, C, H*b, W*b]   b: block_size"""
    b = block_size
    _check_image("depth_to_space", data, b, data.dim() == 4 and data.shape[1] % (b * b) == 0)
    n, c, h, w = data.shape
    return pixels_of_channels(data, block_size=b).reshape(n, c // (b * b), h * b, w * b)


def pixels_of_channels(data, *, block_size: int):
    """The view [N, C, H, b, W, b] of depth_to_space's data."""
    b = block_size
    n, c, h, w = data.shape
    return data.reshape(n, b, b, c // (b * b), h, w).permute(0, 3, 4, 1, 5, 2)


@operator("space_to_depth", traits=COPY, samples=[Sample((1, 2, 4, 6), block_size=2)])
def space_to_depth(data, *, block_size: int):
    """Blocks of pixels as channels.  data: T[N, C, H*b, W*b]   out: T[N, b*b*C, H, W]   b: block_size"""
    b = block_size
    _check_image("space_to_depth", data, b, data.dim() == 4 and data.shape[2] % b == 0 and data.shape[3] % b == 0)
    n, c, h, w = data.shape
    return channels_of_pixels(data, block_size=b).reshape(n, c * b * b, h // b, w // b)


def channels_of_pixels(data, *, block_size: int):
    """The view [N, b, b, C, H, W] of space_to_depth's data."""
    b = block_size
    n, c, h, w = data.shape
    return data.reshape(n, c, h // b, b, w // b, b).permute(0, 3, 5, 1, 2, 4)


@depth_to_space.gradient
def _(call):
    return [space_to_depth(call.douts[0], block_size=call.attrs["block_size"])]


@space_to_depth.gradient
def _(call):
    return [depth_to_space(call.douts[0], block_size=call.attrs["block_size"])]


@operator("diag", traits=COPY,
          samples=[Sample((3, 4)), Sample((3, 4), k=1), Sample((3,), k=-1), Sample((2, 3, 4)),
                   Sample((2, 3, 4), axis1=-1, axis2=0)])
def diag(data, *, k: int = 0, axis1: int = 0, axis2: int = 1):
    """Diagonal number k of axes axis1 and axis2, as the last axis; or the matrix with a vector on that diagonal.
    data, out: T[...]"""
    if data.dim() == 1:
        return torch.diag(data, k)
    return torch.diagonal(data, k, axis1, axis2).contiguous()


for op in (transpose, swap_axis):
    op.emit_c(emit_view(op))


depth_to_space.emit_c(emit_view(pixels_of_channels))
space_to_depth.emit_c(emit_view(channels_of_pixels))


@reverse.emit_c
def _(call):
    return emit_reversed(call, call.attrs["axis"])


@diag.emit_c
def _(call):
    if len(call.inputs[0].shape) == 1:
        raise call.refuse("diag of a vector has no C kernel")
    return emit_view(lambda data, k, axis1, axis2: torch.diagonal(data, k, axis1, axis2))(call)
