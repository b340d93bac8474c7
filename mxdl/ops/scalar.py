"""Arithmetic and comparisons of an array and a Python number, a row each."""
from __future__ import annotations

import math

import torch

from .arithmetic import multiply
from .elementwise import negative
from .families import ELEMENTWISE, fused, scalar
from .operator import NOT_DIFFERENTIABLE, Operator, operator


def divide(x: torch.Tensor, s: float) -> torch.Tensor:
    return x / s if x.is_floating_point() else torch.div(x, s, rounding_mode="trunc")


def divided_by(x: torch.Tensor, s: float) -> torch.Tensor:
    return s / x if x.is_floating_point() else torch.div(torch.full_like(x, s), x, rounding_mode="trunc")


def modulo(x: torch.Tensor, s: float) -> torch.Tensor:
    return torch.remainder(x, s) if s else torch.zeros_like(x)


def modulo_of(x: torch.Tensor, s: float) -> torch.Tensor:
    zero = x == 0
    divisor = torch.where(zero, torch.ones_like(x), x)
    # A tensor, not the number: torch has no derivative of remainder(number, tensor).
    return torch.where(zero, torch.zeros_like(x), torch.remainder(torch.full_like(x, s), divisor))


def power(x: torch.Tensor, s: float) -> torch.Tensor:
    if s < 0 and not x.is_floating_point():
        return torch.pow(x, torch.full_like(x, s))  # torch refuses negative integer scalars: the result is 0, 1 or -1
    return torch.pow(x, s)


def hypotenuse(x: torch.Tensor, s: float) -> torch.Tensor:
    wide = x if x.is_floating_point() else x.float()
    return torch.sqrt(wide * wide + s * s).to(x.dtype)


@operator("_backward_power_scalar", traits=ELEMENTWISE, parity=None)
def power_gradient(dout, data, *, scalar: float):
    """Gradient of data ** scalar."""
    return dout * scalar * torch.pow(data, scalar - 1.0) if scalar else torch.zeros_like(dout)


@operator("_backward_rmod_scalar", traits=ELEMENTWISE, parity=None)
def rmod_gradient(dout, data, *, scalar: float):
    """Gradient of scalar % data."""
    return -dout * torch.floor(scalar / data)


rdiv_gradient = fused("_backward_rdiv_scalar", lambda dout, out, data: -dout * out / data, "Gradient of scalar / data")
ratio = fused("_backward_hypot_scalar", lambda dout, out, data: dout * data / out, "Gradient of hypot(data, scalar)")


@operator("_backward_maximum_scalar", traits=ELEMENTWISE, parity=None)
def maximum_gradient(dout, data, *, scalar: float):
    """dout where data >= scalar, else 0."""
    return dout * (data >= scalar)


@operator("_backward_minimum_scalar", traits=ELEMENTWISE, parity=None)
def minimum_gradient(dout, data, *, scalar: float):
    """dout where data <= scalar, else 0."""
    return dout * (data <= scalar)


def logarithm(number: float) -> float:
    """The factor in the gradient of number ** data: 0 for 0, whose powers do not move, nan for negative numbers."""
    return math.log(number) if number > 0 else math.nan if number else 0.0


def from_data(backward: Operator):
    """The gradient backward(dout, data, scalar=scalar)."""
    return lambda call: backward(call.douts[0], call.inputs[0], scalar=call.attrs["scalar"])


plus_scalar: Operator = scalar("_plus_scalar", torch.add, "data + scalar", alias="_PlusScalar",
                               gradient=lambda call: call.douts[0], c="x + {scalar}", vector="x + v_set({scalar})",
                               integers="x + {scalar}")
scalar("_minus_scalar", torch.sub, "data - scalar", alias="_MinusScalar", gradient=lambda call: call.douts[0],
       c="x - {scalar}", vector="x - v_set({scalar})", integers="x - {scalar}")
scalar("_rminus_scalar", lambda x, s: s - x, "scalar - data", alias="_RMinusScalar",
       gradient=lambda call: negative(call.douts[0]), c="{scalar} - x", vector="v_set({scalar}) - x",
       integers="{scalar} - x")
mul_scalar: Operator = scalar("_mul_scalar", torch.mul, "data * scalar", alias="_MulScalar",
                              gradient=lambda call: mul_scalar(call.douts[0], scalar=call.attrs["scalar"]),
                              c="x * {scalar}", vector="x * v_set({scalar})", integers="x * {scalar}")
div_scalar: Operator = scalar("_div_scalar", divide, "data / scalar", alias="_DivScalar",
                              gradient=lambda call: div_scalar(call.douts[0], scalar=call.attrs["scalar"]),
                              c="x / {scalar}", vector="x / v_set({scalar})",
                              integers="{scalar} == 0 ? 0 : x / {scalar}")
scalar("_rdiv_scalar", divided_by, "scalar / data", alias="_RDivScalar", low=0.5, high=2.0,
       gradient=lambda call: rdiv_gradient(call.douts[0], call.outputs[0], call.inputs[0]), c="{scalar} / x",
       integers="x == 0 ? 0 : {scalar} / x")
scalar("_mod_scalar", modulo, "data % scalar with the sign of scalar, 0 where scalar is 0", alias="_ModScalar",
       values=(0.3, -0.4), gradient=lambda call: call.douts[0],
       c="{scalar} == 0.0f ? 0.0f : x - floorf(x / {scalar}) * {scalar}",
       integers="{scalar} == 0 ? 0 : (x % {scalar} + {scalar}) % {scalar}")
scalar("_rmod_scalar", modulo_of, "scalar % data with the sign of data, 0 where data is 0", alias="_RModScalar",
       low=0.3, high=2.0, gradient=from_data(rmod_gradient),
       c="x == 0.0f ? 0.0f : {scalar} - floorf({scalar} / x) * x",
       integers="x == 0 ? 0 : ({scalar} % x + x) % x")
scalar("_power_scalar", power, "data ** scalar", alias="_PowerScalar", low=0.2, high=2.0,
       gradient=from_data(power_gradient),
       c="powf(x, {scalar})", integers="pow((double)x, (double){scalar})")
scalar("_rpower_scalar", lambda x, s: torch.pow(s, x), "scalar ** data", alias="_RPowerScalar", values=(2.0, 0.5),
       gradient=lambda call: mul_scalar(multiply.same(call.douts[0], call.outputs[0]),
                                        scalar=logarithm(call.attrs["scalar"])),
       c="powf({scalar}, x)", integers="pow((double){scalar}, (double)x)")
scalar("_maximum_scalar", lambda x, s: torch.clamp(x, min=s), "the larger of data and scalar", alias="_MaximumScalar",
       aliases=("_npi_maximum_scalar",), values=(0.1, -0.5), gradient=from_data(maximum_gradient),
       c="x > {scalar} ? x : {scalar}", vector="v_max(x, v_set({scalar}))",
       integers="x > {scalar} ? x : {scalar}")
scalar("_minimum_scalar", lambda x, s: torch.clamp(x, max=s), "the smaller of data and scalar", alias="_MinimumScalar",
       aliases=("_npi_minimum_scalar",), values=(0.1, -0.5), gradient=from_data(minimum_gradient),
       c="x < {scalar} ? x : {scalar}", vector="v_min(x, v_set({scalar}))",
       integers="x < {scalar} ? x : {scalar}")
scalar("_hypot_scalar", hypotenuse, "(data ** 2 + scalar ** 2) ** 0.5", alias="_HypotScalar",
       aliases=("_npi_hypot_scalar",),
       gradient=lambda call: ratio(call.douts[0], call.outputs[0], call.inputs[0]), c="hypotf(x, {scalar})",
       integers="sqrt((double)x * x + (double){scalar} * {scalar})")


def comparison(name: str, alias: str, function, formula: str, c: str) -> None:
    """A row whose result is 1 where it holds and 0 elsewhere, in the dtype of data."""
    scalar(name, lambda x, s: function(x, s).to(x.dtype), f"1 where {formula}, else 0", alias=alias,
           values=(0.0, 0.3), gradient=NOT_DIFFERENTIABLE, c=f"(float)({c})", integers=c.replace("0.0f", "0"))


comparison("_equal_scalar", "_EqualScalar", torch.eq, "data == scalar", "x == {scalar}")
comparison("_not_equal_scalar", "_NotEqualScalar", torch.ne, "data != scalar", "x != {scalar}")
comparison("_greater_scalar", "_GreaterScalar", torch.gt, "data > scalar", "x > {scalar}")
comparison("_greater_equal_scalar", "_GreaterEqualScalar", torch.ge, "data >= scalar", "x >= {scalar}")
comparison("_lesser_scalar", "_LesserScalar", torch.lt, "data < scalar", "x < {scalar}")
comparison("_lesser_equal_scalar", "_LesserEqualScalar", torch.le, "data <= scalar", "x <= {scalar}")
comparison("_logical_and_scalar", "_LogicalAndScalar", lambda x, s: (x != 0) & bool(s), "both are not 0",
           "x != 0.0f && {scalar} != 0.0f")
comparison("_logical_or_scalar", "_LogicalOrScalar", lambda x, s: (x != 0) | bool(s), "one is not 0",
           "x != 0.0f || {scalar} != 0.0f")
comparison("_logical_xor_scalar", "_LogicalXorScalar", lambda x, s: (x != 0) ^ bool(s), "exactly one is not 0",
           "(x != 0.0f) != ({scalar} != 0.0f)")

