"""Arithmetic and comparisons of two arrays: each row gives an operator for equal shapes and a broadcasting one."""
from __future__ import annotations

import torch

from .elementwise import negative
from .families import Pair, binary, fused
from .operator import NOT_DIFFERENTIABLE


def divide(lhs: torch.Tensor, rhs: torch.Tensor) -> torch.Tensor:
    """lhs / rhs; integers divide as in C, towards zero."""
    return torch.div(lhs, rhs, rounding_mode=None if lhs.is_floating_point() else "trunc")


def modulo(lhs: torch.Tensor, rhs: torch.Tensor) -> torch.Tensor:
    """The remainder with the sign of rhs; 0 where rhs is 0."""
    zero = rhs == 0
    return torch.where(zero, torch.zeros_like(rhs), torch.remainder(lhs, torch.where(zero, torch.ones_like(rhs), rhs)))


def hypotenuse(lhs: torch.Tensor, rhs: torch.Tensor) -> torch.Tensor:
    if lhs.is_floating_point():
        return torch.hypot(lhs, rhs)
    return torch.hypot(lhs.float(), rhs.float()).to(lhs.dtype)


power_dlhs = fused("_backward_power_lhs", lambda dout, lhs, rhs: torch.where(
    rhs == 0, 0.0, dout * rhs * torch.pow(lhs, rhs - 1.0)), "Gradient of lhs ** rhs for lhs")
power_drhs = fused("_backward_power_rhs", lambda dout, out, lhs, rhs: torch.where(
    (lhs == 0) & (rhs >= 0), 0.0, dout * out * torch.log(lhs)), "Gradient of lhs ** rhs for rhs")
#: dout where a > b, half of it where they are equal, 0 elsewhere
where_larger = fused("_backward_where_larger", lambda dout, a, b: dout * ((torch.sign(a - b) + 1.0) * 0.5),
                     "dout where a > b, half of it where a == b, else 0")
hypot_gradient = fused("_backward_hypot", lambda dout, out, x: dout * x / out, "Gradient of hypot for its input x")
mod_drhs = fused("_backward_mod_rhs", lambda dout, lhs, rhs: -dout * torch.floor(lhs / rhs),
                 "Gradient of lhs % rhs for rhs")


def lhs_of(call):
    return call.inputs[0]


def rhs_of(call):
    return call.inputs[1]


def dout_of(call):
    return call.douts[0]


add: Pair = binary(
    "elemwise_add", "broadcast_add", torch.add, "lhs + rhs", commutative=True, gradients=(dout_of, dout_of),
    same_aliases=("_plus", "_Plus", "_add", "_sparse_elemwise_add"),
    broadcast_aliases=("broadcast_plus", "_sparse_broadcast_add", "_sparse_broadcast_plus"), c="x + y", vector="x + y",
    integers="x + y",
    in_place=torch.Tensor.add_, is_sum=True)
subtract: Pair = binary(
    "elemwise_sub", "broadcast_sub", torch.sub, "lhs - rhs",
    gradients=(dout_of, lambda call: negative(dout_of(call))),
    same_aliases=("_minus", "_Minus", "_sub", "_sparse_elemwise_sub"),
    broadcast_aliases=("broadcast_minus", "_sparse_broadcast_sub", "_sparse_broadcast_minus"),
    c="x - y", vector="x - y",
    integers="x - y")
multiply: Pair = binary(
    "elemwise_mul", "broadcast_mul", torch.mul, "lhs * rhs", commutative=True,
    gradients=(lambda call: multiply.broadcast(dout_of(call), rhs_of(call)),
               lambda call: multiply.broadcast(dout_of(call), lhs_of(call))),
    same_aliases=("_mul", "_Mul", "_sparse_elemwise_mul"), broadcast_aliases=("_sparse_broadcast_mul",),
    c="x * y", vector="x * y",
    integers="x * y")
quotient: Pair = binary(
    "elemwise_div", "broadcast_div", divide, "lhs / rhs, integers towards zero", low=0.5, high=2.0,
    gradients=(lambda call: quotient.broadcast(dout_of(call), rhs_of(call)),
               lambda call: negative(quotient.broadcast(multiply.same(dout_of(call), call.outputs[0]), rhs_of(call)))),
    same_aliases=("_div", "_Div", "_sparse_elemwise_div"), broadcast_aliases=("_sparse_broadcast_div",),
    c="x / y", vector="x / y",
    integers="y == 0 ? 0 : x / y")
binary("_mod", "broadcast_mod", modulo, "lhs % rhs with the sign of rhs, 0 where rhs is 0", low=0.3, high=2.0,
       gradients=(dout_of, lambda call: mod_drhs(dout_of(call), lhs_of(call), rhs_of(call))),
       same_aliases=("_Mod",), c="y == 0.0f ? 0.0f : x - floorf(x / y) * y",
       integers="y == 0 ? 0 : (x % y + y) % y")
binary("_power", "broadcast_power", torch.pow, "lhs ** rhs", low=0.2, high=2.0,
       gradients=(lambda call: power_dlhs(dout_of(call), lhs_of(call), rhs_of(call)),
                  lambda call: power_drhs(dout_of(call), call.outputs[0], lhs_of(call), rhs_of(call))),
       same_aliases=("_Power",), c="powf(x, y)", integers="pow((double)x, (double)y)")
binary("_maximum", "broadcast_maximum", torch.maximum, "the larger of lhs and rhs", commutative=True,
       gradients=(lambda call: where_larger(dout_of(call), lhs_of(call), rhs_of(call)),
                  lambda call: where_larger(dout_of(call), rhs_of(call), lhs_of(call))),
       same_aliases=("_Maximum",), broadcast_aliases=("_npi_maximum",), c="x > y ? x : y", vector="v_max(x, y)",
       integers="x > y ? x : y")
binary("_minimum", "broadcast_minimum", torch.minimum, "the smaller of lhs and rhs", commutative=True,
       gradients=(lambda call: where_larger(dout_of(call), rhs_of(call), lhs_of(call)),
                  lambda call: where_larger(dout_of(call), lhs_of(call), rhs_of(call))),
       same_aliases=("_Minimum",), broadcast_aliases=("_npi_minimum",), c="x < y ? x : y", vector="v_min(x, y)",
       integers="x < y ? x : y")
binary("_hypot", "broadcast_hypot", hypotenuse, "(lhs ** 2 + rhs ** 2) ** 0.5", commutative=True,
       gradients=(lambda call: hypot_gradient(dout_of(call), call.outputs[0], lhs_of(call)),
                  lambda call: hypot_gradient(dout_of(call), call.outputs[0], rhs_of(call))),
       same_aliases=("_Hypot",), low=0.1, c="hypotf(x, y)")


def comparison(name: str, capital: str, function, formula: str, c: str, commutative: bool = False) -> None:
    """A row whose result is 1 where it holds and 0 elsewhere, in the dtype of the inputs."""
    binary(f"_{name}", f"broadcast_{name}", lambda lhs, rhs: function(lhs, rhs).to(lhs.dtype),
           f"1 where {formula}, else 0", gradients=NOT_DIFFERENTIABLE, commutative=commutative,
           same_aliases=(f"_{capital}",), c=f"(float)({c})",
           integers=c.replace("0.0f", "0"))


comparison("equal", "Equal", torch.eq, "lhs == rhs", "x == y", commutative=True)
comparison("not_equal", "Not_Equal", torch.ne, "lhs != rhs", "x != y", commutative=True)
comparison("greater", "Greater", torch.gt, "lhs > rhs", "x > y")
comparison("greater_equal", "Greater_Equal", torch.ge, "lhs >= rhs", "x >= y")
comparison("lesser", "Lesser", torch.lt, "lhs < rhs", "x < y")
comparison("lesser_equal", "Lesser_Equal", torch.le, "lhs <= rhs", "x <= y")
comparison("logical_and", "Logical_And", torch.logical_and, "both are not 0", "x != 0.0f && y != 0.0f",
           commutative=True)
comparison("logical_or", "Logical_Or", torch.logical_or, "one is not 0", "x != 0.0f || y != 0.0f", commutative=True)
comparison("logical_xor", "Logical_Xor", torch.logical_xor, "exactly one is not 0", "(x != 0.0f) != (y != 0.0f)",
           commutative=True)
