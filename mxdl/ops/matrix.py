"""Products of matrices: dot, batch_dot, khatri_rao."""
from __future__ import annotations

import math

import torch

from ..errors import ShapeError
from .operator import operator
from .products_c import emit_products, packed
from .samples import Sample
from .traits import COSTLY, Traits

PRODUCT = Traits(recompute=COSTLY)
LIKE_LAST = Traits(recompute=COSTLY, shape_only=(2,))


def as_left(lhs: torch.Tensor, transposed: bool) -> torch.Tensor:
    """lhs as a matrix [rest, K]: K is its last axis, or its first where transposed."""
    if transposed:
        return lhs.reshape(lhs.shape[0], math.prod(lhs.shape[1:])).t() if lhs.dim() != 2 else lhs.t()
    return lhs.reshape(math.prod(lhs.shape[:-1]), lhs.shape[-1]) if lhs.dim() != 2 else lhs


def as_right(rhs: torch.Tensor, transposed: bool) -> torch.Tensor:
    """rhs as a matrix [K, rest]: K is its first axis, or its last where transposed."""
    if transposed:
        return rhs.reshape(math.prod(rhs.shape[:-1]), rhs.shape[-1]).t() if rhs.dim() != 2 else rhs.t()
    return rhs.reshape(rhs.shape[0], math.prod(rhs.shape[1:])) if rhs.dim() != 2 else rhs


@operator("dot", aliases=("_sparse_dot",), traits=PRODUCT, ignored=("forward_stype",),
          samples=[Sample((2, 3), (3, 4)), Sample((3, 2), (4, 3), transpose_a=True, transpose_b=True),
                   Sample((2, 3, 4), (4, 5, 2)), Sample((4, 2, 3), (4, 5), transpose_a=True),
                   Sample((2, 4), (3, 5, 4), transpose_b=True), Sample((3,), (3,)), Sample((3,), (3, 2)),
                   Sample((2, 3), (3,))])
def dot(lhs, rhs, *, transpose_a: bool = False, transpose_b: bool = False):
    """Sum over the last axis of lhs and the first of rhs; over the first of lhs where transpose_a, over the last of rhs
    where transpose_b.  lhs: float[..., K]   rhs: float[K, ...]   out: float[..., ...], or float[1] of two vectors"""
    left, right = as_left(lhs, transpose_a), as_right(rhs, transpose_b)
    if left.shape[1] != right.shape[0]:
        raise ShapeError(f"dot: inner lengths differ: {left.shape[1]} != {right.shape[0]}; got lhs{list(lhs.shape)}, "
                         f"rhs{list(rhs.shape)}, transpose_a={transpose_a}, transpose_b={transpose_b}; transpose one")
    rest = (lhs.shape[1:] if transpose_a else lhs.shape[:-1]) + (rhs.shape[:-1] if transpose_b else rhs.shape[1:])
    return (left @ right).reshape(tuple(rest) or (1,))


@dot.flops
def product_flops(inputs, outputs, attrs):
    """Of a matrix product, whichever way its matrices lie: 2 M K N = 2 sqrt(MK * KN * MN)."""
    return 2 * math.isqrt(inputs[0].size * inputs[1].size * outputs[0].size)


@operator("_backward_dot_lhs", traits=LIKE_LAST, parity=None)
def dot_lhs_gradient(dout, rhs, lhs, *, transpose_a: bool = False, transpose_b: bool = False):
    """Gradient of dot for lhs.  out: float[lhs.shape]"""
    right = as_right(rhs, transpose_b)
    dout = dout.reshape(math.prod(lhs.shape[1:] if transpose_a else lhs.shape[:-1]), right.shape[1])
    return (right @ dout.t() if transpose_a else dout @ right.t()).reshape(lhs.shape)


@operator("_backward_dot_rhs", traits=LIKE_LAST, parity=None)
def dot_rhs_gradient(dout, lhs, rhs, *, transpose_a: bool = False, transpose_b: bool = False):
    """Gradient of dot for rhs.  out: float[rhs.shape]"""
    left = as_left(lhs, transpose_a)
    dout = dout.reshape(left.shape[0], math.prod(rhs.shape[:-1] if transpose_b else rhs.shape[1:]))
    return (dout.t() @ left if transpose_b else left.t() @ dout).reshape(rhs.shape)


@dot_rhs_gradient.accumulate()
def _(total, dout, lhs, rhs, *, transpose_a: bool = False, transpose_b: bool = False):
    if not total.is_contiguous():   # as_right() would be a copy of it
        return total.add_(dot_rhs_gradient.kernel(dout, lhs, rhs, transpose_a=transpose_a, transpose_b=transpose_b))
    left, right = as_left(lhs, transpose_a), as_right(total, transpose_b)
    right.addmm_(left.t(), dout.reshape(left.shape[0], right.shape[1]))
    return total


dot_lhs_gradient.flops(product_flops)
dot_rhs_gradient.flops(product_flops)


@dot.gradient
def _(call):
    (lhs, rhs), dout = call.inputs, call.douts[0]
    flags = {name: call.attrs[name] for name in ("transpose_a", "transpose_b")}
    return [dot_lhs_gradient(dout, rhs, lhs, **flags) if call.needs[0] else None,
            dot_rhs_gradient(dout, lhs, rhs, **flags) if call.needs[1] else None]


@dot.emit_c
def _(call):
    lhs, rhs, out = call.inputs[0], call.inputs[1], call.outputs[0]
    ta, tb = call.attrs["transpose_a"], call.attrs["transpose_b"]
    k = lhs.shape[0 if ta else -1]
    m, n = lhs.size // k, rhs.size // k
    left = packed(lhs.pointer, k, m).turned if ta else packed(lhs.pointer, m, k)
    right = packed(rhs.pointer, n, k).turned if tb else packed(rhs.pointer, k, n)
    return emit_products(call, left, right, packed(out.pointer, m, n), 1, m, k, n)


def flipped(x: torch.Tensor, transposed: bool) -> torch.Tensor:
    return x.transpose(-1, -2) if transposed else x


@operator("batch_dot", aliases=("_npx_batch_dot",), traits=PRODUCT, ignored=("forward_stype",),
          samples=[Sample((2, 3, 4), (2, 4, 5)), Sample((2, 4, 3), (2, 5, 4), transpose_a=True, transpose_b=True),
                   Sample((2, 4, 3), (2, 4, 5), transpose_a=True), Sample((2, 3, 4), (2, 5, 4), transpose_b=True),
                   Sample((2, 2, 3, 4), (2, 2, 4, 2))])
def batch_dot(lhs, rhs, *, transpose_a: bool = False, transpose_b: bool = False):
    """A matrix product for each index of the leading axes.
    lhs: float[..., M, K]   rhs: float[..., K, N]   out: float[..., M, N]"""
    left, right = flipped(lhs, transpose_a), flipped(rhs, transpose_b)
    if lhs.dim() < 3 or left.shape[:-2] != right.shape[:-2] or left.shape[-1] != right.shape[-2]:
        raise ShapeError(f"batch_dot: shapes do not fit; got lhs{list(lhs.shape)}, rhs{list(rhs.shape)}, transpose_a="
                         f"{transpose_a}, transpose_b={transpose_b}; give equal leading axes and inner lengths")
    return torch.bmm(left, right) if left.dim() == 3 else torch.matmul(left, right)


@batch_dot.flops
def _(inputs, outputs, attrs):
    return 2 * outputs[0].size * inputs[0].shape[-2 if attrs["transpose_a"] else -1]


def product_gradients(product, lhs, rhs, dout, ta: bool, tb: bool, needs, **attrs):
    """Gradients of product(lhs, rhs, transpose_a=ta, transpose_b=tb, **attrs), by the product itself."""
    dlhs = drhs = None
    if needs[0]:
        dlhs = product(rhs, dout, transpose_a=tb, transpose_b=True, **attrs) if ta else \
            product(dout, rhs, transpose_a=False, transpose_b=not tb, **attrs)
    if needs[1]:
        drhs = product(dout, lhs, transpose_a=True, transpose_b=ta, **attrs) if tb else \
            product(lhs, dout, transpose_a=not ta, transpose_b=False, **attrs)
    return dlhs, drhs


@batch_dot.gradient
def _(call):
    return list(product_gradients(batch_dot, *call.inputs, call.douts[0], call.attrs["transpose_a"],
                                  call.attrs["transpose_b"], call.needs))


def emit_batch_of_products(call, scale: float = 1.0) -> str:
    """C of a product for each index of the leading axes, by transpose_a and transpose_b."""
    lhs, rhs, out = call.inputs[0], call.inputs[1], call.outputs[0]
    ta, tb = call.attrs["transpose_a"], call.attrs["transpose_b"]
    m, n = out.shape[-2:]
    k = lhs.shape[-2 if ta else -1]
    left = packed(lhs.pointer, k, m).turned if ta else packed(lhs.pointer, m, k)
    right = packed(rhs.pointer, n, k).turned if tb else packed(rhs.pointer, k, n)
    return emit_products(call, left, right, packed(out.pointer, m, n), math.prod(out.shape[:-2]), m, k, n, scale)


batch_dot.emit_c(emit_batch_of_products)


@operator("khatri_rao", traits=PRODUCT, samples=[Sample((2, 3), (4, 3)), Sample((2, 2), (3, 2), (2, 2))])
def khatri_rao(*args):
    """Column k is the Kronecker product of the inputs' columns k.  args: float[M_i, K]   out: float[prod M_i, K]"""
    out = args[0]
    for x in args[1:]:
        out = (out.unsqueeze(1) * x.unsqueeze(0)).reshape(-1, x.shape[1])
    return out.clone() if len(args) == 1 else out


@operator("_contrib_div_sqrt_dim", samples=[Sample((2, 4))])
def div_sqrt_dim(data):
    """data / sqrt(length of the last axis).  data, out: float[..., C]"""
    return data / math.sqrt(data.shape[-1])


@div_sqrt_dim.gradient
def _(call):
    return [div_sqrt_dim(call.douts[0])]


@div_sqrt_dim.emit_c
def _(call):
    return call.elementwise(f"x / {math.sqrt(call.inputs[0].shape[-1])!r}f")
