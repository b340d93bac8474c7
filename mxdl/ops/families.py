"""Tables: elementwise operators are one row each.  The functions here turn a row into operators."""
from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import torch

from ..errors import OperatorError, ShapeError
from ..types import TORCH_DTYPES, dtype_name
from . import registry
from .broadcasting import sum_to
from .operator import NOT_DIFFERENTIABLE, NotDifferentiable, Operator
from .samples import Sample
from .traits import CHEAP, Traits

ELEMENTWISE = Traits(recompute=CHEAP, elementwise=True, inplace=((0, 0),))
COMMUTATIVE = Traits(recompute=CHEAP, elementwise=True, inplace=((0, 0),), commutative=True)
Kernel = Callable[..., torch.Tensor]
RELU_VECTOR = "v_max(v_zero(), x)"


def unary(name: str, function: Kernel, formula: str, *, from_data: Kernel | None = None,
          from_output: Kernel | None = None, gradient: Callable | NotDifferentiable | None = None,
          aliases: Sequence[str] = (), sparse: bool = False, low: float = -1.0, high: float = 1.0,
          c: str | None = None, parity: str | None = "", tolerance: float | None = None,
          in_place: Kernel | None = None, vector: str | None = None) -> Operator:
    """Register the elementwise operator out = function(data); integers are computed in float32 and truncated back.

    The gradient is one of: from_data(dout, data) or from_output(dout, out), torch functions that become the operator
    `_backward_NAME`; gradient(dout), written in operators; NOT_DIFFERENTIABLE; without it, autograd of `function`.
    sparse: MXNet also knows the name `_sparse_NAME`.   c: the C expression of x for the single-file build.
    in_place: torch's function that overwrites its input.   vector: see `Operator.vector`.
    """
    def kernel(data: torch.Tensor):
        if data.is_floating_point():
            return function(data)
        return function(data.float()).to(data.dtype)
    kernel.__doc__ = f"{formula}.  data, out: T[...]"
    if sparse:
        aliases = (*aliases, f"_sparse_{name}")
    samples = [Sample((2, 3), low=low, high=high, tolerance=tolerance)]
    op = registry.add(Operator(name, kernel, aliases=aliases, traits=ELEMENTWISE, parity=parity, samples=samples))
    if in_place is not None:
        op.in_place(lambda data: in_place(data) if data.is_floating_point() else kernel(data))
    if isinstance(gradient, NotDifferentiable):
        op.gradient_rule = NOT_DIFFERENTIABLE
    elif gradient is not None:
        op.gradient_rule = lambda call: [gradient(call.douts[0])]
    elif from_data is not None:
        backward = fused(f"_backward_{name}", from_data, f"Gradient of {name} from its input")
        op.gradient_rule = lambda call: [backward(call.douts[0], call.inputs[0])]
    elif from_output is not None:
        backward = fused(f"_backward_{name}", from_output, f"Gradient of {name} from its output")
        op.gradient_rule = lambda call: [backward(call.douts[0], call.outputs[0])]
    set_vector(op, vector)
    if c is not None:
        op.emit_c_rule = elementwise_c(c)
    return op


def fused(name: str, function: Kernel, formula: str) -> Operator:
    """Register an internal elementwise operator on the tensors that `function` takes: part of some gradient."""
    function.__doc__ = f"{formula}."
    return registry.add(Operator(name, function, traits=ELEMENTWISE, parity=None))


class Pair(NamedTuple):
    """The two operators of a binary row: on equal shapes, and broadcasting."""

    same: Operator
    broadcast: Operator


def binary(same: str, broadcast: str, function: Kernel, formula: str, *,
           gradients: tuple[Callable, Callable] | NotDifferentiable | None = None, commutative: bool = False,
           same_aliases: Sequence[str] = (), broadcast_aliases: Sequence[str] = (),
           low: float = -1.0, high: float = 1.0, c: str | None = None, integers: str = "",
           in_place: Kernel | None = None, is_sum: bool = False, vector: str | None = None) -> Pair:
    """Register out = function(lhs, rhs) twice: `same` for equal shapes, `broadcast` with broadcasting.

    function: takes tensors of one dtype and keeps it, whatever it is.
    gradients: (dlhs, drhs), each f(call) -> the gradient in the output's shape, written in operators.
    c, integers: the C expressions of x and y for floats and for integers, for the single-file build.
    in_place: torch's function that overwrites lhs.   is_sum: out is lhs + rhs.   vector: see `Operator.vector`.
    """
    def same_kernel(lhs: torch.Tensor, rhs: torch.Tensor):
        if lhs.dtype is not rhs.dtype or lhs.shape != rhs.shape:
            raise mismatch(same, lhs, rhs, f"use {broadcast} to broadcast")
        return function(lhs, rhs)
    same_kernel.__doc__ = f"{formula}, for equal shapes.  lhs, rhs, out: T[...]"

    def broadcast_kernel(lhs: torch.Tensor, rhs: torch.Tensor):
        if lhs.dtype is not rhs.dtype:
            raise mismatch(broadcast, lhs, rhs, "")
        try:
            return function(lhs, rhs)
        except RuntimeError as error:
            raise mismatch(broadcast, lhs, rhs, "give lengths that are equal or 1") from error
    broadcast_kernel.__doc__ = (f"{formula}, where axes of length 1 stretch to the other's length.  "
                                "lhs, rhs, out: T[...]")

    traits = COMMUTATIVE if commutative else ELEMENTWISE
    equal, ints = Sample((2, 3), (2, 3), low=low, high=high), Sample(*[((2, 3), "int32")] * 2, low=1, high=9)
    stretched = [Sample((2, 1, 3), (2, 4, 1), low=low, high=high), Sample((3,), (2, 3), low=low, high=high)]
    pair = Pair(
        registry.add(Operator(same, same_kernel, aliases=same_aliases, traits=replace(traits, sum=is_sum),
                              samples=[equal, ints])),
        registry.add(Operator(broadcast, broadcast_kernel, aliases=broadcast_aliases, traits=traits,
                              samples=[equal, *stretched, ints])))
    if in_place is not None:
        def overwrite(lhs: torch.Tensor, rhs: torch.Tensor):
            fits = lhs.dtype is rhs.dtype and (lhs.shape == rhs.shape
                                               or np.broadcast_shapes(lhs.shape, rhs.shape) == lhs.shape)
            return in_place(lhs, rhs) if fits else broadcast_kernel(lhs, rhs)
        pair.same.in_place(overwrite)
        pair.broadcast.in_place(overwrite)
    pair.same.complete(equal_shapes)
    if isinstance(gradients, NotDifferentiable):
        pair.same.gradient_rule = pair.broadcast.gradient_rule = NOT_DIFFERENTIABLE
    elif gradients is not None:
        pair.same.gradient(lambda call: [f(call) if need else None
                                         for f, need in zip(gradients, call.needs, strict=True)])
        pair.broadcast.gradient(lambda call: [sum_to(f(call), x) if need else None for f, x, need
                                              in zip(gradients, call.inputs, call.needs, strict=True)])
    set_vector(pair.same, vector)
    set_vector(pair.broadcast, vector)
    if c is not None:
        pair.same.emit_c_rule = pair.broadcast.emit_c_rule = elementwise_c(c, integers)
    return pair


def set_vector(op: Operator, expression: str | None) -> None:
    """Let the single-file build compute `op` by `expression` of x, y and {attributes}; None where it has none."""
    if expression is not None:
        op.vector(lambda attrs: expression.format(**{k: c_literal(v) for k, v in attrs.items()}))


def equal_shapes(shapes: dict, **attrs: Any) -> dict:
    """Completion of an operator whose inputs all have one shape."""
    known = next((shape for shape in shapes.values() if shape is not None), None)
    return {} if known is None else dict.fromkeys(shapes, known)


def mismatch(name: str, lhs: torch.Tensor, rhs: torch.Tensor, advice: str) -> OperatorError:
    """The error for inputs that do not go together; the dtype is looked at first."""
    given = ", ".join(f"{side}={dtype_name(x.dtype)}{list(x.shape)}" for side, x in (("lhs", lhs), ("rhs", rhs)))
    if lhs.dtype is not rhs.dtype:
        return OperatorError(f"{name}: inputs have different dtypes; got {name}({given}); cast one of them")
    return ShapeError(f"{name}: shapes do not fit; got {name}({given}); {advice}")


def scalar(name: str, function: Kernel, formula: str, *, alias: str, aliases: Sequence[str] = (),
           gradient: Callable | NotDifferentiable | None = None, low: float = -1.0, high: float = 1.0,
           values: Sequence[float] = (2.0, -0.5), c: str | None = None, integers: str = "",
           vector: str | None = None) -> Operator:
    """Register out = function(data, scalar) for a Python number.

    Scalars do not promote: for an integer array the number is truncated to an integer first; only truth values become
    int64.
    gradient: f(call) -> dx written in operators, or NOT_DIFFERENTIABLE; without it, autograd of `function`.
    c, integers: the C expressions of x and {scalar} for floats and for integers.   vector: see `Operator.vector`.
    """
    def kernel(data: torch.Tensor, *, scalar: float = 1.0, is_int: bool = True):
        if data.is_floating_point():
            return function(data, scalar)
        if not is_int:
            return function(data.double(), scalar)
        if data.dtype is torch.bool:
            data = data.long()
        return function(data, whole_number(scalar, data.dtype))
    kernel.__doc__ = (f"{formula}.  data, out: T[...]\n\n"
                      "is_int: False makes an integer array and a number with a fraction a float64 array.")
    samples = [Sample((2, 3), scalar=value, low=low, high=high) for value in values]
    samples += [Sample(((2, 3), "int32"), scalar=2.7, low=1, high=9),
                Sample(((2, 3), "int32"), scalar=2.5, is_int=False, low=1, high=9),
                Sample(((2, 3), "bool"), scalar=2.0, low=1, high=2)]
    op = registry.add(Operator(name, kernel, aliases=(alias, *aliases), traits=ELEMENTWISE, samples=samples))
    if isinstance(gradient, NotDifferentiable):
        op.gradient_rule = NOT_DIFFERENTIABLE
    elif gradient is not None:
        op.gradient_rule = lambda call: [gradient(call)]
    set_vector(op, vector)
    if c is not None:
        op.emit_c_rule = elementwise_c(c, integers)
    return op


def whole_number(number: float, dtype: torch.dtype) -> int:
    """`number` without its fraction, within what `dtype` holds: wrapped around as C does, infinity at the limit."""
    limits = torch.iinfo(dtype)
    if not math.isfinite(number):
        return limits.max if number > 0 else limits.min
    cut = int(number)
    if limits.min <= cut <= limits.max:
        return cut
    return (cut - limits.min) % 2 ** limits.bits + limits.min


def elementwise_c(expression: str, integers: str = "") -> Callable:
    """The single-file kernel of out[i] = expression of x (= in0[i]), y (= in1[i]) and {attributes} as C literals.

    integers: the expression for integers, reckoned in int64; without it they are reckoned in float32, which is what
    the eager kernels of one input do.
    """
    def emit(call):
        used = [b for b in (*call.inputs, call.outputs[0]) if b.address != "NULL"]
        whole = not any(b.is_float for b in used)
        double = any(b.dtype == "float64" for b in used)
        if double and re.search(r"[a-z0-9]f\(", expression):
            raise call.refuse("this function of float64 has no C kernel")
        if whole and integers:
            literals = {k: _whole_literal(v, used[0].dtype) for k, v in call.attrs.items()}
            return call.elementwise(integers.format(**literals), "int64_t")
        literals = {k: c_literal(v, "" if double else "f") for k, v in call.attrs.items()}
        return call.elementwise(expression.format(**literals), "double" if double else "float")
    return emit


def _whole_literal(value: Any, dtype: str) -> str:
    """An attribute as the int64 that the eager kernel makes of it for integers of `dtype`."""
    if not isinstance(value, float):
        return c_literal(value)
    return f"INT64_C({whole_number(value, TORCH_DTYPES['int64' if dtype == 'bool' else dtype])})"


def c_literal(value: Any, suffix: str = "f") -> str:
    """A number as C writes it: 2.5f (2.5 with suffix ""), INFINITY, 3."""
    if isinstance(value, float):
        if value != value:
            return "NAN"
        if value in (float("inf"), float("-inf")):
            return "INFINITY" if value > 0 else "(-INFINITY)"
        return f"{value!r}{suffix}" if value >= 0 else f"({value!r}{suffix})"
    return str(int(value)) if isinstance(value, (bool, int)) else str(value)
