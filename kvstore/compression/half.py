"""16 bits a value."""
from __future__ import annotations

import torch
from torch import Tensor

from .codec import Plain, register

DTYPES = {"fp16": torch.float16, "bf16": torch.bfloat16}


class Half(Plain):
    """The nearest float16 or bfloat16 of value + residual, little-endian; float16 stops at 65504.  Sums are float32."""

    def __init__(self, dtype: str):
        self.dtype = DTYPES[dtype]
        self._most = torch.finfo(self.dtype).max

    def payload_bytes(self, length: int) -> int:
        return 2 * length

    def encode(self, values: Tensor, residual: Tensor, payload: Tensor) -> None:
        residual.add_(values)
        sent = residual.clamp(-self._most, self._most).to(self.dtype)
        residual.sub_(sent)
        payload.copy_(sent.view(torch.uint8))

    def add(self, payload: Tensor, length: int, start: int, total: Tensor) -> None:
        total.add_(payload[2 * start:2 * (start + total.numel())].view(self.dtype))


@register("fp16")
def _float16() -> Half:
    return Half("fp16")


@register("bf16")
def _bfloat16() -> Half:
    return Half("bf16")
