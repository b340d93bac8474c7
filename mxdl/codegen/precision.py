"""Parameters stored in fewer bits: halves, or bytes with a scale for each channel; float32 again at create.

The kernels stay those of float32, so what is lost is the rounding of the parameters and nothing else; `loss` says how
much that moves the outputs.
"""
from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import torch

from ..errors import OperatorError
from ..executor.program import Program
from ..graph import Value

PRECISIONS = ("float32", "float16", "bfloat16", "int8")
FEWEST = 1024   # elements; smaller parameters (biases, norms) stay as they are
HALVES = {"float16": torch.float16, "bfloat16": torch.bfloat16}


class Reduced(NamedTuple):
    """stored: float16, bfloat16 or int8.   scale: float32, broadcasts to it; None for halves."""

    stored: torch.Tensor
    scale: torch.Tensor | None = None

    @property
    def parts(self) -> list[torch.Tensor]:
        return [self.stored] if self.scale is None else [self.stored, self.scale]

    def restored(self) -> torch.Tensor:
        """float32, bit for bit what the C file makes of it."""
        return self.stored.float() if self.scale is None else self.stored.float() * self.scale


def require_precision(name: str) -> None:
    if name not in PRECISIONS:
        raise OperatorError(f"export to C: no such precision of parameters; got {name!r}; "
                            f"use one of {', '.join(PRECISIONS)}")


def reduced(constants: Mapping[Value, torch.Tensor], outputs: Iterable[Value], precision: str) -> dict[Value, Reduced]:
    """Those of the parameters that are worth it, in `precision`.  Raises OperatorError for what float16 cannot hold."""
    require_precision(precision)
    kept = set(outputs)
    return {value: _reduce(value, tensor, precision) for value, tensor in constants.items()
            if precision != "float32" and tensor.dtype is torch.float32 and tensor.dim() > 1
            and tensor.numel() >= FEWEST and value not in kept}


def _reduce(value: Value, tensor: torch.Tensor, precision: str) -> Reduced:
    if precision == "int8":
        return min((_bytes(tensor, axes) for axes in _channels(tensor)), key=lambda one: _error(one, tensor))
    stored = tensor.to(HALVES[precision])
    if not torch.isfinite(stored).all():
        raise OperatorError(f"export to C: {value.node.name} holds numbers that {precision} cannot; got a largest of "
                            f"{tensor.abs().max():.3g}; use bfloat16 or float32")
    return Reduced(stored)


def _channels(tensor: torch.Tensor) -> list[list[int]]:
    """Axes to share a scale: all but the first (rows of a matrix, filters), or the second alone (panels)."""
    rest = list(range(1, tensor.dim()))
    return [rest, [1]] if tensor.dim() > 2 and tensor.shape[1] >= 8 else [rest]


def _bytes(tensor: torch.Tensor, axes: list[int]) -> Reduced:
    scale = tensor.abs().amax(axes, keepdim=True).clamp(min=torch.finfo(torch.float32).tiny) / 127
    return Reduced(torch.round(tensor / scale).clamp(-127, 127).to(torch.int8), scale)


def _error(one: Reduced, tensor: torch.Tensor) -> float:
    return float((one.restored() - tensor).square().sum())


def outputs_of(outputs: Sequence[Value], inputs: Mapping[Value, torch.Tensor],
               constants: Mapping[Value, torch.Tensor]) -> list[torch.Tensor]:
    """The framework's answers by the plan's own operators and constants."""
    given = {**inputs, **constants}
    with torch.no_grad():
        return Program(list(outputs), list(given)).run(list(given.values()))


def loss(exact: Sequence[torch.Tensor], rounded: Sequence[torch.Tensor]) -> float:
    """The greatest difference of any output, of that output's greatest number."""
    worst = 0.0
    for before, after in zip(exact, rounded, strict=True):
        finite = before.isfinite()
        if finite.any():
            off = (after.double() - before.double())[finite].abs().max()
            worst = max(worst, float(off / before[finite].double().abs().max().clamp(min=1e-30)))
    return worst
