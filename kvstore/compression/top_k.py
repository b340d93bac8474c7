"""The largest few values (Aji and Heafield 2017)."""
from __future__ import annotations

import torch
from torch import Tensor

from ..errors import KVStoreError
from .codec import Plain, number, register

ENTRY_BYTES = 8


@register("topk")
class TopK(Plain):
    """The `ratio` largest of value + residual by size, of each piece of up to 2^18 values; at least one.

    k places (int32, from the piece's beginning), then k values (float32), both little-endian.
    """

    def __init__(self, ratio: float = 0.01):
        self.ratio = number("ratio", ratio, 0, 1)
        if not self.ratio:
            raise KVStoreError("set_gradient_compression: ratio is above 0; got 0")

    def _count(self, length: int) -> int:
        return max(1, round(self.ratio * length))

    def payload_bytes(self, length: int) -> int:
        return ENTRY_BYTES * self._count(length)

    def encode(self, values: Tensor, residual: Tensor, payload: Tensor) -> None:
        residual.add_(values)
        places = residual.abs().topk(self._count(len(values)), sorted=False).indices.sort().values
        entries = payload.view(torch.int32).view(2, -1)
        entries[0].copy_(places)
        entries[1].view(torch.float32).copy_(residual[places])
        residual[places] = 0

    def add(self, payload: Tensor, length: int, start: int, total: Tensor) -> None:
        places, values = payload.view(torch.int32).view(2, -1)
        places = places.long() - start
        here = (places >= 0) & (places < total.numel())
        total.index_add_(0, places[here], values.view(torch.float32)[here])
