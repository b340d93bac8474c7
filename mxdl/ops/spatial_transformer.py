"""Sampling a picture where a grid says: GridGenerator, BilinearSampler, SpatialTransformer.

Letters: N batch, C channels, H x W the data's plane, Y x X the grid's.  Coordinates are (x, y) in [-1, 1], the middles
of the outermost elements at the ends.
"""
from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F

from .operator import operator
from .samples import Sample
from .traits import COSTLY, Traits

_COSTLY = Traits(recompute=COSTLY)


def _plane(height: int, width: int, like: torch.Tensor, ends: bool) -> torch.Tensor:
    """Coordinates of every element: float[2, H, W], in [-1, 1] (`ends`) or in elements."""
    def axis(length: int) -> torch.Tensor:
        steps = torch.arange(length, device=like.device, dtype=like.dtype)
        return steps * (2 / max(length - 1, 1)) - 1 if ends else steps
    y, x = torch.meshgrid(axis(height), axis(width), indexing="ij")
    return torch.stack([x, y])


@operator("GridGenerator", traits=_COSTLY, mxnet_outputs=2, output_names=("output", "grid_dst"),
          samples=[Sample((2, 6), transform_type="affine", target_shape=(3, 4)),
                   Sample((2, 2, 3, 4), transform_type="warp", resizable=False)])
def grid_generator(data, *, transform_type: Literal["affine", "warp"], target_shape: tuple[int, ...] = (0, 0)):
    """A sampling grid: an affine map of the plane's coordinates, or the plane's elements moved by a flow in elements.

    data: float[N, 6] (affine) or float[N, 2, Y, X] (warp);   out: float[N, 2, Y, X], Y x X = target_shape (affine)
    """
    if transform_type == "affine":
        plane = _plane(*target_shape, data, ends=True)
        points = torch.cat([plane, torch.ones_like(plane[:1])]).flatten(1)
        return (data.reshape(-1, 2, 3) @ points).reshape(-1, 2, *target_shape)
    height, width = data.shape[2:]
    spans = torch.tensor([max(width - 1, 1), max(height - 1, 1)], dtype=data.dtype, device=data.device) / 2
    return (data + _plane(height, width, data, ends=False)) / spans[:, None, None] - 1


@operator("BilinearSampler", traits=_COSTLY, ignored=("cudnn_off",), mxnet_outputs=2, output_names=("output", "tmp"),
          samples=[Sample((2, 3, 4, 5), (2, 2, 3, 3), low=-1.2, high=1.2, resizable=False, tolerance=1e-4)])
def bilinear_sampler(data, grid):
    """data interpolated at the grid's points, 0 outside.

    data: float[N, C, H, W];   grid: float[N, 2, Y, X];   out: float[N, C, Y, X]
    """
    return F.grid_sample(data, grid.movedim(1, -1).to(data.dtype), align_corners=True)


@operator("SpatialTransformer", traits=_COSTLY, ignored=("cudnn_off",), mxnet_outputs=3,
          output_names=("output", "grid_dst", "grid_src"),
          samples=[Sample((2, 3, 4, 5), (2, 6), transform_type="affine", sampler_type="bilinear", target_shape=(3, 3),
                          low=-0.6, high=0.6, resizable=False, tolerance=1e-4)])
def spatial_transformer(data, loc, *, target_shape: tuple[int, ...] = (0, 0), transform_type: Literal["affine"],
                        sampler_type: Literal["bilinear"]):
    """data under an affine map of its plane.  data: float[N, C, H, W];  loc: float[N, 6];  out: float[N, C, Y, X]"""
    shape = target_shape if any(target_shape) else tuple(data.shape[2:])
    return bilinear_sampler.kernel(data, grid_generator.kernel(loc, transform_type="affine", target_shape=shape))
