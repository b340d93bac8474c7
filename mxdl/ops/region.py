"""Regions of feature maps brought to one size: ROIPooling and ROIAlign.

Letters: B pictures, C channels, H x W the map, R regions, P x Q the output's plane.
A region is a row (picture, left, top, right, bottom) in the picture's units; spatial_scale takes them to the map's.
"""
from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F

from .operator import operator
from .samples import Sample
from .traits import COSTLY, Traits

_COSTLY = Traits(recompute=COSTLY)
_REGIONS = np.array([[0, 0, 0, 5, 6], [1, 2.2, 1.3, 7.9, 5], [0, 3, 2, 3, 2], [1, 4, 4, 11, 10], [0, 1.5, 0.5, 3.6, 4]],
                    "float32")


@operator("ROIPooling", aliases=("_npx_roi_pooling",), traits=_COSTLY, num_outputs=2, num_visible=1,
          output_names=("output", "maxidx"),
          samples=[Sample((2, 3, 7, 8), _REGIONS, pooled_size=(3, 2), spatial_scale=1.0, differentiable=(0,),
                          resizable=False),
                   Sample((2, 3, 4, 5), _REGIONS, pooled_size=(2, 2), spatial_scale=0.5, differentiable=(0,),
                          resizable=False)])
def roi_pooling(data, rois, *, pooled_size: tuple[int, ...], spatial_scale: float):
    """The maximum in each of P x Q parts of each region; 0 where a part lies outside the map.

    data: float[B, C, H, W];   rois: float[R, 5];   out: float[R, C, P, Q]
    Hidden second output: the places of the maxima in the flat data, int64[R, C, P, Q], -1 for none.
    """
    shape = (rois.shape[0], data.shape[1], *pooled_size)
    if data.is_meta:
        return data.new_empty(shape), data.new_empty(shape, dtype=torch.int64)
    with torch.no_grad():
        places = torch.full(shape, -1, dtype=torch.int64, device=data.device)
        for i, (picture, *corners) in enumerate(_on_map(rois, spatial_scale)):
            if picture >= 0:
                places[i] = _places_of_maxima(data, picture, corners, pooled_size)
    out = data.reshape(-1)[places.clamp(min=0)]
    return torch.where(places >= 0, out, 0), places


@roi_pooling.gradient
def _(call):
    return [roi_pooling_backward(call.douts[0], call.inputs[0], call.outputs[1]), None]


@operator("_backward_ROIPooling", traits=Traits(recompute=COSTLY, shape_only=(1,)), parity=None)
def roi_pooling_backward(dout, data, places):
    """Gradient of ROIPooling by its data: each gradient added where its maximum was."""
    grad = dout.new_zeros(data.numel())
    grad.index_add_(0, places.clamp(min=0).flatten(), torch.where(places >= 0, dout, 0).flatten())
    return grad.reshape(data.shape)


def _on_map(rois: torch.Tensor, scale: float) -> list[list[int]]:
    """(picture, left, top, right, bottom) in whole elements of the map, halves rounded away from 0."""
    scaled = rois.detach().double().cpu()
    scaled[:, 1:] *= scale
    rounded = torch.sign(scaled) * torch.floor(scaled.abs() + 0.5)
    rounded[:, 0] = torch.floor(scaled[:, 0])
    return rounded.long().tolist()


def _places_of_maxima(data: torch.Tensor, picture: int, corners: list[int], size: tuple[int, ...]) -> torch.Tensor:
    """int64[C, P, Q]: places in the flat data, -1 where a part lies outside."""
    left, top, right, bottom = corners
    channels, height, width = data.shape[1:]
    rows, columns = max(bottom - top + 1, 1), max(right - left + 1, 1)
    y, x = max(top, 0), max(left, 0)
    below, beside = min(top + rows, height), min(left + columns, width)
    if y >= below or x >= beside:
        return torch.full((channels, *size), -1, dtype=torch.int64, device=data.device)
    inside = data[picture, :, y:below, x:beside].float()
    margins = (x - left, left + columns - beside, y - top, top + rows - below)
    crop = F.pad(inside, margins, value=-torch.inf) if any(margins) else inside
    best, at = F.adaptive_max_pool2d(crop, size, return_indices=True)
    place = (top + at // columns) * width + left + at % columns
    place += ((picture * channels + torch.arange(channels, device=data.device)) * height * width)[:, None, None]
    return torch.where(torch.isneginf(best), -1, place)


@operator("_contrib_ROIAlign", traits=_COSTLY,
          samples=[Sample((2, 3, 7, 8), _REGIONS, pooled_size=(3, 2), spatial_scale=1.0, sample_ratio=2,
                          differentiable=(0,), resizable=False, tolerance=1e-4),
                   Sample((2, 3, 7, 8), _REGIONS, pooled_size=(2, 2), spatial_scale=0.7, differentiable=(0,),
                          resizable=False, tolerance=1e-4),
                   Sample((2, 3, 7, 8), _REGIONS[[0, 1, 4]], pooled_size=(2, 3), spatial_scale=0.7, aligned=True,
                          differentiable=(0,), resizable=False, tolerance=1e-4),
                   Sample((2, 8, 7, 8), _REGIONS, pooled_size=(2, 2), spatial_scale=0.5, sample_ratio=2,
                          position_sensitive=True, differentiable=(0,), resizable=False, tolerance=1e-4)])
def roi_align(data, rois, *, pooled_size: tuple[int, ...], spatial_scale: float, sample_ratio: int = -1,
              position_sensitive: bool = False, aligned: bool = False):
    """The mean of bilinear samples in each of P x Q parts of each region; samples outside the map count as 0.

    data: float[B, C, H, W];   rois: float[R, 5];   out: float[R, C, P, Q]
    sample_ratio: samples along each side of a part, -1 for one an element.   aligned: elements' middles are at halves.
    position_sensitive: C = D P Q, and part (p, q) of output channel d is taken from channel (d P + p) Q + q.
    """
    height, width = pooled_size
    if data.is_meta:
        channels = data.shape[1] // (height * width) if position_sensitive else data.shape[1]
        return data.new_empty((rois.shape[0], channels, height, width))
    wide = data.float() if data.dtype in (torch.float16, torch.bfloat16) else data
    regions = rois.detach().to(wide.dtype)
    corners = regions[:, 1:] * spatial_scale - (0.5 if aligned else 0.0)
    sides = corners[:, 2:] - corners[:, :2]
    parts = (sides if aligned else sides.clamp(min=1)) / sides.new_tensor([width, height])
    samples = torch.full_like(parts, sample_ratio) if sample_ratio > 0 else torch.ceil(parts).clamp(min=1)
    groups: dict[tuple, list[int]] = {}
    for i, key in enumerate(zip(regions[:, 0].long().tolist(), *samples.long().T.tolist(), strict=True)):
        groups.setdefault(key, []).append(i)
    pieces, order = [], []
    for (picture, along_x, along_y), members in groups.items():
        x = _sample_points(corners[members, 0], parts[members, 0], width, along_x)
        y = _sample_points(corners[members, 1], parts[members, 1], height, along_y)
        means = F.avg_pool2d(_bilinear(wide[picture], y, x), (along_y, along_x))
        pieces.append(means)
        order += members
    out = torch.cat(pieces)[torch.tensor(order, device=data.device).argsort()] if pieces else \
        wide.new_zeros((0, data.shape[1], height, width))
    if position_sensitive:
        blocks = out.reshape(len(out), -1, height, width, height, width)
        out = torch.diagonal(torch.diagonal(blocks, 0, 2, 4), 0, 2, 3)
    return out.to(data.dtype)


def _sample_points(start: torch.Tensor, part: torch.Tensor, parts: int, samples: int) -> torch.Tensor:
    """Where the samples lie along one axis: float[R, parts samples]"""
    places = (torch.arange(parts * samples, device=start.device, dtype=start.dtype) + 0.5) / samples
    return start[:, None] + places * part[:, None]


def _bilinear(plane: torch.Tensor, y: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    """Interpolated values at all pairs (y, x), 0 more than one element outside.

    plane: float[C, H, W];   y: float[R, I];   x: float[R, J];   out: float[R, C, I, J]
    """
    channels, height, width = plane.shape
    (regions, rows), columns = y.shape, x.shape[1]
    inside = ((y >= -1) & (y <= height))[:, :, None] & ((x >= -1) & (x <= width))[:, None, :]
    scale_y, scale_x = 2 / max(height - 1, 1), 2 / max(width - 1, 1)
    grid = torch.stack([(x * scale_x - 1)[:, None, :].expand(-1, rows, -1),
                        (y * scale_y - 1)[:, :, None].expand(-1, -1, columns)], -1)
    values = F.grid_sample(plane[None], grid.reshape(1, regions * rows, columns, 2), padding_mode="border",
                           align_corners=True)
    return values.reshape(channels, regions, rows, columns).transpose(0, 1) * inside[:, None]
