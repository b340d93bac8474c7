"""signSGD with majority vote: every worker sends one bit a value, the result is the sign that most of them sent
(Bernstein et al. 2018 and 2019)."""
from __future__ import annotations

import torch
from torch import Tensor

from ..errors import KVStoreError
from .codec import number, pack, register
from .one_bit import add_signs, signs_of_bytes

TIES = ("positive", "zero")
PLACES = ("worker", "server")


@register("signsgd")
class Sign:
    """Votes: bit 1 for v >= 0 (so that 0 votes +1), bit 0 for v < 0; the result is +1, -1 or, on a tie, `tie`.

    tie: "positive" (+1, as in the paper of 2019) or "zero" (0, as in that of 2018).
    momentum: b.   momentum_at: "worker": v = b v + (1 - b) gradient, and its sign is sent; "server": the gradient's
    sign is sent, m = b m + (1 - b) vote, and the result is the sign of m.
    Nothing is fed back: what a sign leaves out is lost, as in the papers.
    """

    def __init__(self, momentum: float = 0.0, momentum_at: str = "worker", tie: str = "positive"):
        self.momentum = number("momentum", momentum, 0, 1)
        for name, value, known in (("momentum_at", momentum_at, PLACES), ("tie", tie, TIES)):
            if value not in known:
                raise KVStoreError(f"set_gradient_compression: {name} is one of {', '.join(known)}; got {value!r}")
        self.momentum_at, self.tie = momentum_at, tie
        self._signs = signs_of_bytes()

    def payload_bytes(self, length: int) -> int:
        return -(-length // 8)

    def encode(self, values: Tensor, residual: Tensor, payload: Tensor) -> None:
        if self.momentum_at == "worker":
            values = residual.lerp_(values, 1 - self.momentum)      # the velocity is kept in place of a residual
        pack(values >= 0, payload)

    def add(self, payload: Tensor, length: int, start: int, total: Tensor) -> None:
        add_signs(self._signs, payload, start, total)

    def finish(self, total: Tensor) -> None:
        total.copy_(self._sign(total))

    def settle(self, result: Tensor, state: dict[str, Tensor]) -> None:
        if self.momentum_at == "server" and self.momentum:
            if "velocity" not in state:
                state["velocity"] = torch.zeros_like(result)
            result.copy_(self._sign(state["velocity"].lerp_(result, 1 - self.momentum)))

    def is_one_bit(self, workers: int) -> bool:
        return self.tie == "positive" or workers % 2 == 1

    def encode_result(self, result: Tensor, payload: Tensor) -> None:
        pack(result > 0, payload)

    def _sign(self, total: Tensor) -> Tensor:
        return total.sign() if self.tie == "zero" else (total >= 0).to(total.dtype).mul_(2).sub_(1)
