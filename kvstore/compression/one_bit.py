"""1 bit a value: +1 or -1, with error feedback (Seide 2014; the rule of MXNet 2)."""
from __future__ import annotations

import torch
from torch import Tensor

from .codec import Plain, number, pack, register


def signs_of_bytes(scale: float = 1.0) -> Tensor:
    """The eight values of each byte, +scale for a 1 and -scale for a 0, the highest bit first.  out: float32[256, 8]"""
    bits = torch.arange(256)[:, None] >> torch.arange(7, -1, -1) & 1
    return (2.0 * bits - 1.0) * scale


def add_signs(signs: Tensor, payload: Tensor, start: int, total: Tensor) -> None:
    """total += the values whose bits begin at `start`.  signs: as of `signs_of_bytes`"""
    count = total.numel()
    bytes_ = payload[start // 8:start // 8 - (-count // 8)]
    total.add_(signs[bytes_.long()].view(-1)[:count])


@register("1bit")
class OneBit(Plain):
    """r = residual + value; r > threshold sends +scale (bit 1), else -scale (bit 0); residual = r - sent."""

    def __init__(self, threshold: float = 0.5, scale: float = 1.0):
        self.threshold = number("threshold", threshold, -1e30)
        self.scale = number("scale", scale, 1e-30)
        self._signs = signs_of_bytes(self.scale)

    def payload_bytes(self, length: int) -> int:
        return -(-length // 8)

    def encode(self, values: Tensor, residual: Tensor, payload: Tensor) -> None:
        residual.add_(values)
        up = residual > self.threshold
        residual.sub_(up.float().mul_(2).sub_(1), alpha=self.scale)
        pack(up, payload)

    def add(self, payload: Tensor, length: int, start: int, total: Tensor) -> None:
        add_signs(self._signs, payload, start, total)
