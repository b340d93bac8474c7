"""Resizing images as OpenCV does: no smoothing before shrinking, pixels taken as squares around their centres."""
from __future__ import annotations

import functools
import math

import torch
from torch import Tensor
from torch.nn import functional

NEAREST, BILINEAR, BICUBIC, AREA, LANCZOS = range(5)
_TORCH_MODES = {NEAREST: "nearest", BILINEAR: "bilinear", BICUBIC: "bicubic"}


def resize_images(images: Tensor, height: int, width: int, method: int) -> Tensor:
    """images: T[..., H, W, C];  out: T[..., height, width, C], whole numbers rounded and held within their range."""
    if tuple(images.shape[-3:-1]) == (height, width):
        return images.clone()
    # torch has a fast bilinear kernel for bytes on CPUs, which rounds by itself
    direct = images.dtype in (torch.float32, torch.float64) or (
        images.dtype == torch.uint8 and method == BILINEAR and images.device.type == "cpu")
    wide = images if direct else images.float()
    if images.is_meta:
        return images.new_empty((*images.shape[:-3], height, width, images.shape[-1]))
    if method in _TORCH_MODES:
        planes = wide.reshape(-1, *images.shape[-3:]).permute(0, 3, 1, 2)
        align = {} if method == NEAREST else {"align_corners": False}
        resized = functional.interpolate(planes, (height, width), mode=_TORCH_MODES[method], **align)
        resized = resized.permute(0, 2, 3, 1).reshape(*images.shape[:-3], height, width, images.shape[-1])
    else:
        pairs = list(zip(images.shape[-3:-1], (height, width), strict=True))
        shrinks = all(new <= old for old, new in pairs)
        down, across = (weights(old, new, method, shrinks).to(wide) for old, new in pairs)
        resized = torch.einsum("yh,...hwc,xw->...yxc", down, wide, across)
    if resized.is_floating_point() and not images.is_floating_point():
        resized = resized.round()
    return to_pixels(resized, images.dtype)


def to_pixels(values: Tensor, dtype: torch.dtype) -> Tensor:
    """Values as `dtype`; whole numbers are held within their range, then cut to whole."""
    if dtype.is_floating_point:
        return values.to(dtype)
    bounds = torch.iinfo(dtype)
    return values.clamp(bounds.min, bounds.max).to(dtype)


@functools.lru_cache(maxsize=256)
def weights(old: int, new: int, method: int, shrinks: bool = True) -> Tensor:
    """The weight of each old pixel in each new one along an axis.  out: float[new, old], rows sum to 1

    shrinks: the image gets smaller, or stays, along both axes.
    """
    scale = old / new
    if method == AREA and shrinks:
        return _area(old, new, scale)
    table = torch.zeros(new, old, dtype=torch.float64)
    for pixel in range(new):
        centre = (pixel + 0.5) * scale - 0.5
        if method == AREA:      # OpenCV enlarges with it by a bilinear form of its own
            first = math.floor(pixel * scale)
            share = max(pixel + 1 - (first + 1) / scale, 0.0) % 1
            taps = {first: 1 - share, first + 1: share}
        else:
            taps = {tap: _lanczos(centre - tap) for tap in range(math.floor(centre) - 3, math.floor(centre) + 5)}
        for tap, weight in taps.items():
            table[pixel, min(max(tap, 0), old - 1)] += weight
    return table / table.sum(dim=1, keepdim=True)


def _area(old: int, new: int, scale: float) -> Tensor:
    """Shares of the area of a new pixel that old ones cover."""
    edges = torch.arange(new + 1, dtype=torch.float64) * scale
    pixels = torch.arange(old, dtype=torch.float64)
    covered = torch.minimum(edges[1:, None], pixels + 1) - torch.maximum(edges[:-1, None], pixels)
    return covered.clamp(min=0) / scale


def _lanczos(distance: float, lobes: int = 4) -> float:
    if abs(distance) >= lobes:
        return 0.0
    return 1.0 if distance == 0 else lobes * math.sin(math.pi * distance) * math.sin(math.pi * distance / lobes) / (
        math.pi * distance) ** 2
