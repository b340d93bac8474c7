"""Rounding whose gradient passes straight through, for training with quantized values."""
from __future__ import annotations

import torch

from .elementwise import round_away
from .families import ELEMENTWISE, elementwise_c
from .operator import operator
from .samples import Sample


@operator("_contrib_round_ste", traits=ELEMENTWISE, samples=[Sample((2, 3), low=-3, high=3)])
def round_ste(data):
    """The nearest integer, halves away from zero; its gradient is 1.  data, out: float[...]"""
    return round_away(data)


@operator("_contrib_sign_ste", traits=ELEMENTWISE, samples=[Sample((2, 3))])
def sign_ste(data):
    """-1, 0 or 1; its gradient is 1.  data, out: float[...]"""
    return torch.sign(data)


@round_ste.surrogate_gradient
@sign_ste.surrogate_gradient
def _(call):
    return [call.douts[0]]


round_ste.emit_c(elementwise_c("roundf(x)"))
sign_ste.emit_c(elementwise_c("(float)((x > 0.0f) - (x < 0.0f))"))
