"""Windows of a plane laid out as columns and added back; convolutions whose windows are bent by learned offsets.

Letters: N batch, C channels, O output channels (num_filter), G groups, D deformable groups, H x W the data's plane,
Y x X the output's, K = K_y K_x the elements of a window.
"""
from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F

from .convolution import per_axis
from .operator import operator
from .samples import Sample
from .traits import CHEAP, COSTLY, Traits


@operator("im2col", traits=Traits(recompute=CHEAP),
          samples=[Sample((2, 3, 5, 4), kernel=(3, 2), stride=(2, 1), pad=(1, 0), resizable=False),
                   Sample((1, 2, 5, 5), kernel=(2, 2), dilate=(2, 1), resizable=False)])
def im2col(data, *, kernel: tuple[int, ...], stride: tuple[int, ...] = (), dilate: tuple[int, ...] = (),
           pad: tuple[int, ...] = ()):
    """The windows that a convolution multiplies.  data: float[N, C, H, W];   out: float[N, C K, Y X]"""
    return F.unfold(data, kernel, per_axis(dilate, 2, 1), per_axis(pad, 2, 0), per_axis(stride, 2, 1))


@operator("col2im", traits=Traits(recompute=CHEAP),
          samples=[Sample((2, 18, 9), output_size=(5, 4), kernel=(3, 2), stride=(2, 1), pad=(1, 0), resizable=False),
                   Sample((1, 8, 16), output_size=(5, 5), kernel=(2, 2), resizable=False)])
def col2im(data, *, output_size: tuple[int, ...], kernel: tuple[int, ...], stride: tuple[int, ...] = (),
           dilate: tuple[int, ...] = (), pad: tuple[int, ...] = ()):
    """The windows added into the plane they came from.  data: float[N, C K, Y X];   out: float[N, C, *output_size]"""
    return F.fold(data, output_size, kernel, per_axis(dilate, 2, 1), per_axis(pad, 2, 0), per_axis(stride, 2, 1))


@operator("_contrib_DeformableConvolution", traits=Traits(recompute=COSTLY), ignored=("workspace", "layout"),
          samples=[Sample((2, 4, 5, 6), (2, 18, 5, 6), (3, 4, 3, 3), (3,), kernel=(3, 3), num_filter=3, pad=(1, 1),
                          resizable=False, tolerance=1e-4),
                   Sample((1, 4, 6, 6), (1, 16, 4, 2), (4, 2, 2, 2), kernel=(2, 2), num_filter=4, num_group=2,
                          num_deformable_group=2, dilate=(2, 1), stride=(1, 3), no_bias=True, resizable=False,
                          tolerance=1e-4)])
def deformable_convolution(data, offset, weight, bias=None, *, kernel: tuple[int, ...], stride: tuple[int, ...] = (),
                           dilate: tuple[int, ...] = (), pad: tuple[int, ...] = (), num_filter: int,
                           num_group: int = 1, num_deformable_group: int = 1, no_bias: bool = False):
    """Convolution whose windows' elements are moved by offsets (y, x), in elements; 0 outside the plane.

    data: float[N, C, H, W];   offset: float[N, 2 D K, Y, X];   weight: float[O, C / G, K_y, K_x];   bias: float[O]
    out: float[N, O, Y, X]
    """
    y, x = _moved(offset, num_deformable_group, kernel, stride, dilate, pad)
    columns = _sampled(data, y, x, keep_edges=True)
    return _product(columns, weight, None if no_bias else bias, num_group, offset.shape[2:])


@operator("_contrib_ModulatedDeformableConvolution", traits=Traits(recompute=COSTLY),
          ignored=("workspace", "layout", "im2col_step"),
          samples=[Sample((2, 4, 5, 6), (2, 18, 5, 6), (2, 9, 5, 6), (3, 4, 3, 3), (3,), kernel=(3, 3), num_filter=3,
                          pad=(1, 1), resizable=False, tolerance=1e-4)])
def modulated_deformable_convolution(data, offset, mask, weight, bias=None, *, kernel: tuple[int, ...],
                                     stride: tuple[int, ...] = (), dilate: tuple[int, ...] = (),
                                     pad: tuple[int, ...] = (), num_filter: int, num_group: int = 1,
                                     num_deformable_group: int = 1, no_bias: bool = False):
    """DeformableConvolution with a factor for each moved element.  mask: float[N, D K, Y, X]; the others as there."""
    y, x = _moved(offset, num_deformable_group, kernel, stride, dilate, pad)
    columns = _sampled(data, y, x, keep_edges=False) * mask.reshape(*y.shape[:2], 1, -1, *mask.shape[2:])
    return _product(columns, weight, None if no_bias else bias, num_group, offset.shape[2:])


@deformable_convolution.inputs
def _(attrs):
    return ("data", "offset", "weight") if attrs["no_bias"] else ("data", "offset", "weight", "bias")


@modulated_deformable_convolution.inputs
def _(attrs):
    return ("data", "offset", "mask", "weight") + (() if attrs["no_bias"] else ("bias",))


@deformable_convolution.complete
def _complete(shapes, *, kernel, num_filter, num_group, **_):
    return {"weight": (num_filter, shapes["data"][1] // num_group, *kernel), "bias": (num_filter,)}


modulated_deformable_convolution.complete(_complete)


def _moved(offset: torch.Tensor, groups: int, kernel: Sequence[int], stride: Sequence[int], dilate: Sequence[int],
           pad: Sequence[int]) -> tuple[torch.Tensor, torch.Tensor]:
    """Where each element of each window is taken from: y and x, float[N, D, K, Y, X], in elements."""
    batch, _, rows, columns = offset.shape
    moves = offset.reshape(batch, groups, kernel[0] * kernel[1], 2, rows, columns)
    stride, dilate, pad = per_axis(stride, 2, 1), per_axis(dilate, 2, 1), per_axis(pad, 2, 0)

    def start(axis: int, length: int) -> torch.Tensor:
        steps = [torch.arange(n, device=offset.device, dtype=offset.dtype) for n in (kernel[axis], length)]
        return steps[0][:, None] * dilate[axis] + steps[1] * stride[axis] - pad[axis]
    y = start(0, rows)[:, None, :, None].expand(-1, kernel[1], -1, -1).reshape(-1, rows, 1)
    x = start(1, columns)[None, :, None, :].expand(kernel[0], -1, -1, -1).reshape(-1, 1, columns)
    return moves[:, :, :, 0] + y, moves[:, :, :, 1] + x


def _sampled(data: torch.Tensor, y: torch.Tensor, x: torch.Tensor, keep_edges: bool) -> torch.Tensor:
    """data at (y, x) by bilinear interpolation: float[N, D, C / D, K, Y, X].

    keep_edges: between the last element and the end of the plane the last element counts, before the first nothing
    does; else both ends fade to 0 over one element.
    """
    batch, groups, window, rows, columns = y.shape
    height, width = data.shape[2:]
    planes = data.reshape(batch * groups, -1, height, width)
    grid = torch.stack([(2 * x + 1) / width - 1, (2 * y + 1) / height - 1], -1)
    values = F.grid_sample(planes, grid.reshape(batch * groups, window * rows, columns, 2),
                           padding_mode="border" if keep_edges else "zeros", align_corners=False)
    values = values.reshape(batch, groups, -1, window, rows, columns)
    if keep_edges:
        values = values * ((y >= 0) & (y < height) & (x >= 0) & (x < width))[:, :, None]
    return values


def _product(columns: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None, num_group: int,
             plane: Sequence[int]) -> torch.Tensor:
    """The convolution's matrix product.  columns: [N, D, C / D, K, Y, X];   out: float[N, O, Y, X]"""
    batch, filters = columns.shape[0], weight.shape[0]
    rows = weight.reshape(num_group, filters // num_group, -1)
    out = (rows @ columns.reshape(batch, num_group, rows.shape[2], -1)).reshape(batch, filters, *plane)
    return out if bias is None else out + bias[:, None, None]
