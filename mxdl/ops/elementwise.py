"""Elementwise functions of one array, a row each."""
from __future__ import annotations

import math

import torch

from .families import RELU_VECTOR, unary
from .operator import NOT_DIFFERENTIABLE, Operator

aten = torch.ops.aten
LN2, LN10 = math.log(2.0), math.log(10.0)
RADIAN = math.pi / 180.0


def gamma_function(x: torch.Tensor) -> torch.Tensor:
    """Gamma(x): |Gamma| from lgamma in double precision; negative between -1 and 0, -3 and -2, ..., nan at poles."""
    wide = x.double()
    magnitude = torch.exp(torch.lgamma(wide))
    floor = torch.floor(wide)
    negative = (wide < 0) & (torch.remainder(floor, 2.0) == 1.0)
    value = torch.where(negative, -magnitude, magnitude)
    return torch.where((wide < 0) & (wide == floor), math.nan, value).to(x.dtype)


def round_away(x: torch.Tensor) -> torch.Tensor:
    """Nearest integer, halves away from zero."""
    whole = torch.trunc(x)
    return whole + torch.sign(x) * ((x - whole).abs() >= 0.5)


def round_half_down(x: torch.Tensor) -> torch.Tensor:
    """Nearest integer, halves downwards: what MXNet's rint does."""
    floor = torch.floor(x)
    return floor + (x - floor > 0.5)


# -- powers, exponentials, logarithms
unary("abs", torch.abs, "|data|", from_data=lambda dout, data: dout * torch.sign(data), sparse=True, c="fabsf(x)")
unary("square", torch.square, "data * data", from_data=lambda dout, data: dout * data * 2.0, sparse=True, c="x * x")
unary("sqrt", torch.sqrt, "data ** 0.5", from_output=lambda dout, out: dout / (out * 2.0), sparse=True, low=0.1,
      c="sqrtf(x)")
unary("rsqrt", torch.rsqrt, "data ** -0.5", from_output=lambda dout, out: dout * out * out * out * -0.5, sparse=True,
      low=0.1, c="1.0f / sqrtf(x)")
unary("cbrt", lambda x: torch.sign(x) * torch.pow(torch.abs(x), 1.0 / 3.0), "cube root of data",
      from_output=lambda dout, out: dout / (out * out * 3.0), sparse=True, low=0.1, c="cbrtf(x)")
unary("rcbrt", lambda x: torch.sign(x) * torch.pow(torch.abs(x), -1.0 / 3.0), "1 / cube root of data",
      low=0.1, c="1.0f / cbrtf(x)")
unary("reciprocal", torch.reciprocal, "1 / data", from_output=lambda dout, out: -dout * out * out, low=0.2,
      c="1.0f / x")
unary("exp", torch.exp, "e ** data", from_output=lambda dout, out: dout * out, sparse=True, c="v_exp(x)")
unary("expm1", torch.expm1, "e ** data - 1", from_output=lambda dout, out: dout * (out + 1.0), sparse=True,
      c="v_expm1(x)")
unary("log", torch.log, "natural logarithm of data", from_data=lambda dout, data: dout / data, sparse=True,
      low=0.1, c="v_log(x)")
unary("log2", torch.log2, "base 2 logarithm of data", from_data=lambda dout, data: dout / (data * LN2), sparse=True,
      low=0.1, c="log2f(x)")
unary("log10", torch.log10, "base 10 logarithm of data", from_data=lambda dout, data: dout / (data * LN10),
      sparse=True, low=0.1, c="log10f(x)")
unary("log1p", torch.log1p, "log(1 + data)", from_data=lambda dout, data: dout / (data + 1.0), sparse=True, low=-0.5,
      c="log1pf(x)")
negative: Operator = unary("negative", torch.neg, "-data", gradient=lambda dout: negative(dout), sparse=True,
                          c="-x", vector="-x")

# -- activations
unary("relu", torch.relu, "max(data, 0)", from_output=lambda dout, out: aten.threshold_backward(dout, out, 0),
      sparse=True, aliases=("_npx_relu",), c="x > 0.0f ? x : 0.0f", in_place=torch.relu_, vector=RELU_VECTOR)
unary("sigmoid", torch.sigmoid, "1 / (1 + exp(-data))", from_output=lambda dout, out: aten.sigmoid_backward(dout, out),
      sparse=True, aliases=("_npx_sigmoid",), c="v_sigmoid(x)")
unary("softsign", torch.nn.functional.softsign, "data / (1 + |data|)",
      from_data=lambda dout, data: dout / torch.square(torch.abs(data) + 1.0), c="x / (1.0f + fabsf(x))")
unary("tanh", torch.tanh, "hyperbolic tangent", from_output=lambda dout, out: aten.tanh_backward(dout, out),
      sparse=True, c="v_tanh(x)")

# -- trigonometry
unary("sin", torch.sin, "sine of data in radians", from_data=lambda dout, data: dout * torch.cos(data), sparse=True,
      c="sinf(x)")
unary("cos", torch.cos, "cosine of data in radians", from_data=lambda dout, data: -dout * torch.sin(data),
      aliases=("_sparse_cos",), c="cosf(x)")
unary("tan", torch.tan, "tangent of data in radians", from_output=lambda dout, out: dout * (out * out + 1.0),
      sparse=True, c="tanf(x)")
unary("arcsin", torch.arcsin, "inverse sine", sparse=True, low=-0.9, high=0.9, c="asinf(x)")
unary("arccos", torch.arccos, "inverse cosine", sparse=True, low=-0.9, high=0.9,
      c="acosf(x)")
unary("arctan", torch.arctan, "inverse tangent", sparse=True,
      from_data=lambda dout, data: dout / (data * data + 1.0), c="atanf(x)")
unary("sinh", torch.sinh, "hyperbolic sine", sparse=True,
      from_data=lambda dout, data: dout * torch.cosh(data), c="sinhf(x)")
unary("cosh", torch.cosh, "hyperbolic cosine", sparse=True,
      from_data=lambda dout, data: dout * torch.sinh(data), c="coshf(x)")
unary("arcsinh", torch.arcsinh, "inverse hyperbolic sine", sparse=True, c="asinhf(x)")
unary("arccosh", torch.arccosh, "inverse hyperbolic cosine", sparse=True,
      low=1.1, high=3.0, c="acoshf(x)")
unary("arctanh", torch.arctanh, "inverse hyperbolic tangent", sparse=True,
      low=-0.9, high=0.9, c="atanhf(x)")
unary("degrees", torch.rad2deg, "data from radians to degrees", from_data=lambda dout, data: dout / RADIAN,
      sparse=True, c=f"x * {1.0 / RADIAN!r}f")
unary("radians", torch.deg2rad, "data from degrees to radians", from_data=lambda dout, data: dout * RADIAN,
      sparse=True, c=f"x * {RADIAN!r}f")

# -- special functions
unary("erf", torch.erf, "error function", aliases=("_npx_erf",), c="v_erf(x)")
unary("erfinv", torch.erfinv, "inverse of the error function", aliases=("_npx_erfinv",), low=-0.9, high=0.9)
unary("gamma", gamma_function, "gamma function", sparse=True, aliases=("_npx_gamma",), low=0.5, high=3.0,
      from_data=lambda dout, data: dout * gamma_function(data) * torch.digamma(data), c="tgammaf(x)")
unary("gammaln", torch.lgamma, "log |gamma(data)|", sparse=True, aliases=("_npx_gammaln",), low=0.5, high=3.0,
      c="lgammaf(x)")

# -- rounding, signs, tests: gradients are zero
unary("sign", torch.sign, "-1, 0 or 1", gradient=NOT_DIFFERENTIABLE, sparse=True,
      c="(float)((x > 0.0f) - (x < 0.0f))")
unary("floor", torch.floor, "largest integer <= data", gradient=NOT_DIFFERENTIABLE, sparse=True, c="floorf(x)")
unary("ceil", torch.ceil, "smallest integer >= data", gradient=NOT_DIFFERENTIABLE, sparse=True, c="ceilf(x)")
unary("trunc", torch.trunc, "integer part of data", gradient=NOT_DIFFERENTIABLE, sparse=True,
      c="truncf(x)")
unary("fix", torch.trunc, "data rounded towards zero", gradient=NOT_DIFFERENTIABLE, sparse=True,
      c="truncf(x)")
unary("round", round_away, "nearest integer, halves away from zero", gradient=NOT_DIFFERENTIABLE, sparse=True,
      low=-3.0, high=3.0, c="roundf(x)")
unary("rint", round_half_down, "nearest integer, halves downwards", gradient=NOT_DIFFERENTIABLE, sparse=True,
      low=-3.0, high=3.0, c="floorf(x) + (float)(x - floorf(x) > 0.5f)")
unary("logical_not", lambda x: (x == 0).to(x.dtype), "1 where data is 0, else 0", gradient=NOT_DIFFERENTIABLE,
      c="(float)(x == 0.0f)")
unary("_contrib_isnan", lambda x: torch.isnan(x).to(x.dtype), "1 where data is nan, else 0",
      gradient=NOT_DIFFERENTIABLE, parity="written in Python in MXNet",
      c="(float)(x != x)")
unary("_contrib_isinf", lambda x: torch.isinf(x).to(x.dtype), "1 where data is infinite, else 0",
      gradient=NOT_DIFFERENTIABLE, parity="written in Python in MXNet",
      c="(float)(fabsf(x) == INFINITY)")
unary("_contrib_isfinite", lambda x: torch.isfinite(x).to(x.dtype), "1 where data is a finite number, else 0",
      gradient=NOT_DIFFERENTIABLE, parity="written in Python in MXNet",
      c="(float)(x - x == 0.0f)")
