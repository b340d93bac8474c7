"""Windows that slide over spatial axes: where pooling's attributes put them, in the terms of torch's functions."""
from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch

from ..errors import AttributeValueError
from .convolution import per_axis


class Windows(NamedTuple):
    """How torch's pooling functions are to be called.

    margins: (left, right) padding an axis that must be made beforehand, where torch's own `pad` cannot express it.
    counts: elements of each window along each axis, [without padding, with padding], for such means.
    flat: one spatial axis, given to torch as a plane of height 1.
    """

    kernel: list[int]
    stride: list[int]
    pad: list[int]
    ceil: bool
    margins: list[tuple[int, int]]
    counts: list[tuple[list[int], list[int]]]
    flat: bool

    def to_planes(self, tensor: torch.Tensor) -> torch.Tensor:
        return tensor.unsqueeze(2) if self.flat else tensor

    def from_planes(self, tensor: torch.Tensor) -> torch.Tensor:
        return tensor.squeeze(2) if self.flat else tensor

    def sizes(self, like: torch.Tensor, include_pad: bool) -> torch.Tensor:
        """Elements in each window, to divide sums by.  float[Y...]"""
        total = like.new_ones(())
        for counts in self.counts:
            total = total[..., None] * torch.tensor(counts[include_pad], dtype=like.dtype, device=like.device)
        return total[None] if self.flat else total


def windows_of(spatial: Sequence[int], kernel: Sequence[int], stride: Sequence[int], pad: Sequence[int],
               convention: str, global_pool: bool) -> Windows:
    """The windows of Pooling's attributes over data of these spatial lengths.  Raises AttributeValueError."""
    rank = len(spatial)
    flat = rank == 1
    lead, zero = ([1], [0]) if flat else ([], [])
    if global_pool:
        return Windows(lead + list(spatial), [1] * (rank + flat), [0] * (rank + flat), False, [], [], flat)
    if len(kernel) != rank:
        raise AttributeValueError(f"Pooling: kernel has not one length for each spatial axis; got "
                                  f"kernel={tuple(kernel)} for {rank} axes; give {rank} lengths or global_pool=True")
    kernel, stride, pad = list(kernel), per_axis(stride, rank, 1), per_axis(pad, rank, 0)
    axes = list(zip(spatial, kernel, stride, pad, strict=True))
    outs = [out_length(x, k, s, p, convention) for x, k, s, p in axes]
    torch_can = all(2 * p <= k and (rank < 3 or k <= x) and (convention != "full" or (out - 1) * s < x + p)
                    for (x, k, s, p), out in zip(axes, outs, strict=True))
    if convention != "same" and torch_can:
        return Windows(lead + kernel, lead + stride, zero + pad, convention == "full", [], [], flat)
    margins, counts = [], []
    for (x, k, s, p), out in zip(axes, outs, strict=True):
        reach = (out - 1) * s + k
        left = max(reach - x, 0) // 2 if convention == "same" else p
        starts = [o * s - left for o in range(out)]
        margins.append((left, max(reach - x - left, 0)))
        counts.append(([max(min(start + k, x) - max(start, 0), 1) for start in starts],
                       [max(min(start + k, x + left) - start, 1) for start in starts]))
    return Windows(lead + kernel, lead + stride, [0] * (rank + flat), False, margins, counts, flat)


def out_length(x: int, k: int, s: int, p: int, convention: str) -> int:
    if convention == "same":
        return math.ceil(x / s)
    if x + 2 * p < k:
        raise AttributeValueError(f"Pooling: the kernel is longer than the padded data; got kernel {k} for {x} + 2 * "
                                  f"{p}; give a shorter kernel or more pad")
    return 1 + (math.ceil((x + 2 * p - k) / s) if convention == "full" else (x + 2 * p - k) // s)
