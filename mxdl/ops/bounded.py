"""Elementwise operators with attributes: clip, smooth_l1, hard_sigmoid, quadratic."""
from __future__ import annotations

import functools
import math

import torch

from .convolution import in_memory_of
from .families import ELEMENTWISE, c_literal, elementwise_c
from .operator import operator
from .samples import Sample


@operator("clip", aliases=("_npi_clip", "_sparse_clip"), traits=ELEMENTWISE,
          samples=[Sample((2, 3), a_min=-0.5, a_max=0.4),
                   Sample(((2, 3), "int32"), a_min=-1.5, a_max=2.5, low=-5, high=9)])
def clip(data, *, a_min: float, a_max: float):
    """data limited to [a_min, a_max].  data, out: T[...]"""
    if data.is_floating_point():
        return torch.clamp(data, a_min, a_max)
    limits = torch.iinfo(data.dtype)
    return torch.clamp(data, int(max(a_min, limits.min)), int(min(a_max, limits.max)))


@operator("_backward_clip", traits=ELEMENTWISE, parity=None)
def clip_gradient(dout, data, *, a_min: float, a_max: float):
    """dout where data is within [a_min, a_max], else 0."""
    if not _in_one_pass(dout, data, a_min, a_max):
        return dout * ((data >= a_min) & (data <= a_max))
    return torch.ops.aten.hardtanh_backward(dout, data, *_just_outside(a_min, a_max, data.dtype))


@clip_gradient.in_place
def _(dout, data, *, a_min: float, a_max: float):
    if not _in_one_pass(dout, data, a_min, a_max):
        return dout.mul_((data >= a_min) & (data <= a_max))
    dout = in_memory_of(dout, data)
    return torch.ops.aten.hardtanh_backward.grad_input(dout, data, *_just_outside(a_min, a_max, data.dtype),
                                                       grad_input=dout)


def _in_one_pass(dout, data, a_min: float, a_max: float) -> bool:
    return data.is_floating_point() and dout.dtype == data.dtype and math.isfinite(a_min) and math.isfinite(a_max)


@functools.lru_cache(maxsize=1024)
def _just_outside(low: float, high: float, dtype: torch.dtype) -> tuple[float, float]:
    """The numbers of `dtype` next to [low, high], since torch's one pass leaves the bounds themselves out."""
    bounds = torch.tensor([low, high], dtype=dtype)
    return tuple(torch.nextafter(bounds, torch.tensor([-math.inf, math.inf], dtype=dtype)).tolist())


@clip.gradient
def _(call):
    return [clip_gradient(call.douts[0], call.inputs[0], a_min=call.attrs["a_min"], a_max=call.attrs["a_max"])]


@clip.vector
def _(attrs):
    return f"v_min(v_max(x, v_set({c_literal(attrs['a_min'])})), v_set({c_literal(attrs['a_max'])}))"


clip.emit_c_rule = elementwise_c("x < {a_min} ? {a_min} : x > {a_max} ? {a_max} : x")


@operator("smooth_l1", aliases=("_npx_smooth_l1",), traits=ELEMENTWISE,
          samples=[Sample((2, 3), scalar=1.0, low=-2, high=2), Sample((2, 3), scalar=2.0)])
def smooth_l1(data, *, scalar: float = 1.0):
    """(scalar * data)**2 / 2 where |data| < 1 / scalar**2, else |data| - 0.5 / scalar**2.  data, out: float[...]"""
    square = scalar * scalar
    size = torch.abs(data)
    return torch.where(size < 1.0 / square, data * data * (0.5 * square), size - 0.5 / square)


@operator("_backward_smooth_l1", traits=ELEMENTWISE, parity=None)
def smooth_l1_gradient(dout, data, *, scalar: float):
    """dout * clamp(scalar**2 * data, -1, 1)."""
    return dout * torch.clamp(data * (scalar * scalar), -1.0, 1.0)


@smooth_l1.gradient
def _(call):
    return [smooth_l1_gradient(call.douts[0], call.inputs[0], scalar=call.attrs["scalar"])]


smooth_l1.emit_c(elementwise_c("fabsf(x) * {scalar} * {scalar} < 1.0f ? 0.5f * x * x * {scalar} * {scalar} : "
                               "fabsf(x) - 0.5f / ({scalar} * {scalar})"))


@operator("hard_sigmoid", traits=ELEMENTWISE, samples=[Sample((2, 3)), Sample((2, 3), alpha=1.0, beta=0.2)])
def hard_sigmoid(data, *, alpha: float = 0.2, beta: float = 0.5):
    """alpha * data + beta, limited to [0, 1].  data, out: float[...]"""
    return torch.clamp(data * alpha + beta, 0.0, 1.0)


@operator("_backward_hard_sigmoid", traits=ELEMENTWISE, parity=None)
def hard_sigmoid_gradient(dout, out, *, alpha: float):
    """dout * alpha where out is between 0 and 1, else 0."""
    return torch.ops.aten.hardtanh_backward(dout, out, 0.0, 1.0).mul_(alpha)


@hard_sigmoid.gradient
def _(call):
    return [hard_sigmoid_gradient(call.douts[0], call.outputs[0], alpha=call.attrs["alpha"])]


hard_sigmoid.emit_c_rule = elementwise_c("fminf(fmaxf(x * {alpha} + {beta}, 0.0f), 1.0f)")


@operator("_contrib_quadratic", traits=ELEMENTWISE, samples=[Sample((2, 3), a=1.0, b=2.0, c=3.0)])
def quadratic(data, *, a: float = 0.0, b: float = 0.0, c: float = 0.0):
    """a * data**2 + b * data + c.  data, out: float[...]"""
    return a * data * data + b * data + c


quadratic.emit_c(elementwise_c("{a} * x * x + {b} * x + {c}"))
