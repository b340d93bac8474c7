"""2 bits a value: +threshold, -threshold or 0 (Strom 2015; MXNet's rule and layout)."""
from __future__ import annotations

import torch
from torch import Tensor

from ..errors import KVStoreError
from .codec import Plain, number, pack, register

VALUES_A_WORD, WORD_BYTES = 16, 4


@register("2bit")
class TwoBit(Plain):
    """r = residual + value; r >= t sends +t (bits 11), r <= -t sends -t (10), else 0 (00); residual = r - sent.

    Sixteen values a 32-bit word, the first in the highest bits of the first byte.   threshold: t.
    """

    def __init__(self, threshold: float = 0.5):
        self.threshold = number("threshold", threshold, 0)
        if not self.threshold:
            raise KVStoreError("set_gradient_compression: threshold is above 0; got 0")
        codes = torch.arange(256)[:, None] >> torch.tensor([6, 4, 2, 0]) & 3
        self._values = torch.tensor([0, 0, -self.threshold, self.threshold])[codes]     # [256, 4]: those of each byte

    def payload_bytes(self, length: int) -> int:
        return -(-length // VALUES_A_WORD) * WORD_BYTES

    def encode(self, values: Tensor, residual: Tensor, payload: Tensor) -> None:
        residual.add_(values)
        up, down = residual >= self.threshold, residual <= -self.threshold
        residual.sub_(up.float().sub_(down.float()), alpha=self.threshold)
        pack(torch.stack([up | down, up], 1).view(-1), payload)

    def add(self, payload: Tensor, length: int, start: int, total: Tensor) -> None:
        count = total.numel()
        bytes_ = payload[start // 4:start // 4 - (-count // 4)]
        total.add_(self._values[bytes_.long()].view(-1)[:count])
