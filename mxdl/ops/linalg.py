"""Linear algebra on the matrices in the last two axes: factorisations, triangular products, determinants."""
from __future__ import annotations

import math

import numpy as np
import torch

from ..errors import ShapeError
from .matrix import emit_batch_of_products, product_gradients
from .operator import operator
from .reduce import at_least_one_axis
from .samples import Sample
from .scalar import mul_scalar
from .traits import COSTLY, Traits

PRODUCT = Traits(recompute=COSTLY)
#: A well-conditioned symmetric matrix, and lower triangles with a clear diagonal.
POSITIVE = [[4.0, 1.0, 0.5], [1.0, 3.0, 0.2], [0.5, 0.2, 2.0]]
LOWER = [[2.0, 0.0, 0.0], [0.5, 1.5, 0.0], [-0.3, 0.4, 1.2]]


def matrices(*rows) -> np.ndarray:
    return np.array(rows, "float32")


def turned(x: torch.Tensor, transposed: bool) -> torch.Tensor:
    return x.mT if transposed else x


@operator("_linalg_gemm2", aliases=("linalg_gemm2",), traits=PRODUCT,
          samples=[Sample((2, 3, 4), (2, 4, 5), alpha=2.0), Sample((4, 3), (5, 4), transpose_a=True, transpose_b=True),
                   Sample((4, 3), (4, 5), transpose_a=True), Sample((3, 4), (5, 4), transpose_b=True),
                   Sample((3, 2, 4), (4, 2, 5), axis=0)])
def gemm2(A, B, *, transpose_a: bool = False, transpose_b: bool = False, alpha: float = 1.0, axis: int = -2):
    """alpha * A @ B; rows of the matrices are along `axis`, columns along the last axis.
    A: float[..., M, K]   B: float[..., K, N]   out: float[..., M, N]"""
    if axis not in (-2, A.dim() - 2):
        A, B = A.movedim(axis, -2), B.movedim(axis, -2)
    left, right = turned(A, transpose_a), turned(B, transpose_b)
    if left.shape[:-2] != right.shape[:-2] or left.shape[-1] != right.shape[-2]:
        raise ShapeError(f"_linalg_gemm2: shapes do not fit; got A{list(A.shape)}, B{list(B.shape)}, transpose_a="
                         f"{transpose_a}, transpose_b={transpose_b}; give equal leading axes and inner lengths")
    out = left @ right
    out = out if alpha == 1.0 else out * alpha
    return out if axis in (-2, A.dim() - 2) else out.movedim(-2, axis)


def gemm_gradients(call):
    return product_gradients(gemm2, *call.inputs[:2], call.douts[0], call.attrs["transpose_a"],
                             call.attrs["transpose_b"], call.needs, alpha=call.attrs["alpha"], axis=call.attrs["axis"])


@gemm2.gradient
def _(call):
    return list(gemm_gradients(call))


@gemm2.emit_c
def _(call):
    if call.attrs["axis"] not in (-2, len(call.inputs[0].shape) - 2):
        raise call.refuse(f"rows along axis {call.attrs['axis']} have no C kernel")
    return emit_batch_of_products(call, call.attrs["alpha"])


@operator("_linalg_gemm", aliases=("linalg_gemm",), traits=PRODUCT,
          samples=[Sample((2, 3, 4), (2, 4, 5), (2, 3, 5), alpha=2.0, beta=0.5),
                   Sample((4, 3), (5, 4), (3, 5), transpose_a=True, transpose_b=True)])
def gemm(A, B, C, *, transpose_a: bool = False, transpose_b: bool = False, alpha: float = 1.0, beta: float = 1.0,
         axis: int = -2):
    """alpha * A @ B + beta * C.  A: float[..., M, K]   B: float[..., K, N]   C, out: float[..., M, N]"""
    return gemm2(A, B, transpose_a=transpose_a, transpose_b=transpose_b, alpha=alpha, axis=axis) + beta * C


@gemm.gradient
def _(call):
    return [*gemm_gradients(call), mul_scalar(call.douts[0], scalar=call.attrs["beta"]) if call.needs[2] else None]


@operator("_linalg_potrf", aliases=("linalg_potrf",), traits=PRODUCT,
          samples=[Sample(matrices(*POSITIVE), resizable=False, symmetric=True),
                   Sample(matrices(POSITIVE, POSITIVE), resizable=False, symmetric=True)])
def potrf(A):
    """The lower triangle L with A = L @ L.T (Cholesky).  A: float[..., N, N], symmetric positive definite"""
    return torch.linalg.cholesky(A)


@operator("_linalg_potri", aliases=("linalg_potri",), traits=PRODUCT,
          samples=[Sample(matrices(*LOWER), resizable=False), Sample(matrices(LOWER, LOWER), resizable=False)])
def potri(A):
    """The inverse of A @ A.T, of a lower triangle A.  A, out: float[..., N, N]"""
    return torch.cholesky_inverse(torch.tril(A))


@operator("_linalg_trmm", aliases=("linalg_trmm",), traits=PRODUCT,
          samples=[Sample(matrices(*LOWER), (3, 2), alpha=2.0), Sample(matrices(*LOWER), (2, 3), rightside=True),
                   Sample(matrices(*LOWER), (3, 2), transpose=True), Sample(matrices(POSITIVE, POSITIVE), (2, 3, 2)),
                   Sample(matrices(*POSITIVE), (3, 2), lower=False)])
def trmm(A, B, *, transpose: bool = False, rightside: bool = False, lower: bool = True, alpha: float = 1.0):
    """alpha * op(A) @ B, or alpha * B @ op(A) where rightside; A is read as a triangle.
    A: float[..., N, N]   B, out: float[..., N, M] or float[..., M, N]"""
    triangle = turned(torch.tril(A) if lower else torch.triu(A), transpose)
    return alpha * (B @ triangle if rightside else triangle @ B)


@operator("_linalg_trsm", aliases=("linalg_trsm",), traits=PRODUCT,
          samples=[Sample(matrices(*LOWER), (3, 2), alpha=2.0), Sample(matrices(*LOWER), (2, 3), rightside=True),
                   Sample(matrices(*LOWER), (3, 2), transpose=True), Sample(matrices(LOWER, LOWER), (2, 3, 2)),
                   Sample(matrices(*LOWER), (2, 3), rightside=True, transpose=True),
                   Sample(matrices(*POSITIVE), (3, 2), lower=False)])
def trsm(A, B, *, transpose: bool = False, rightside: bool = False, lower: bool = True, alpha: float = 1.0):
    """X with op(A) @ X = alpha * B, or X @ op(A) = alpha * B where rightside; A is read as a triangle.
    A: float[..., N, N]   B, out: float[..., N, M] or float[..., M, N]"""
    return torch.linalg.solve_triangular(turned(A, transpose), alpha * B, upper=lower == transpose, left=not rightside)


@operator("_linalg_syrk", aliases=("linalg_syrk",), traits=PRODUCT,
          samples=[Sample((2, 3), alpha=2.0, resizable=False), Sample((2, 2, 3), transpose=True, resizable=False)])
def syrk(A, *, transpose: bool = False, alpha: float = 1.0):
    """alpha * A @ A.T, or alpha * A.T @ A where transpose.  A: float[..., M, N]   out: float[..., M, M]"""
    return alpha * (A.mT @ A if transpose else A @ A.mT)


@operator("_linalg_gelqf", aliases=("linalg_gelqf",), traits=PRODUCT, num_outputs=2,
          samples=[Sample((2, 3)), Sample((2, 2, 4))])
def gelqf(A):
    """(Q, L) with A = L @ Q, Q with orthonormal rows.  A, Q: float[..., M, N], M <= N   L: float[..., M, M]"""
    q, r = torch.linalg.qr(A.mT)
    return q.mT, r.mT


@operator("_linalg_syevd", aliases=("linalg_syevd",), traits=PRODUCT, num_outputs=2,
          samples=[Sample(matrices(*POSITIVE), resizable=False, symmetric=True),
                   Sample(matrices(POSITIVE, POSITIVE), resizable=False, symmetric=True)])
def syevd(A):
    """(U, L) with A = U.T @ diag(L) @ U, L ascending; the largest element of each row of U is positive.
    A, U: float[..., N, N], A symmetric   L: float[..., N]"""
    values, vectors = torch.linalg.eigh(A)
    rows = vectors.mT
    largest = rows.detach().abs().argmax(-1, keepdim=True)
    return rows * torch.sign(rows.detach().gather(-1, largest)), values


@operator("_linalg_inverse", aliases=("linalg_inverse", "_npi_inv"), traits=PRODUCT,
          samples=[Sample(matrices(*POSITIVE), resizable=False),
                   Sample(matrices(LOWER, POSITIVE), resizable=False)])
def inverse(A):
    """The inverse matrix.  A, out: float[..., N, N]"""
    return torch.linalg.inv(A)


@operator("_linalg_det", aliases=("linalg_det", "_npi_det"), traits=PRODUCT, mxnet_outputs=3,
          samples=[Sample(matrices(*POSITIVE), resizable=False),
                   Sample(matrices(LOWER, POSITIVE), resizable=False)])
def det(A):
    """The determinant.  A: float[..., N, N]   out: float[...]"""
    return at_least_one_axis(torch.linalg.det(A))


@operator("_linalg_slogdet", aliases=("linalg_slogdet", "_npi_slogdet"), traits=PRODUCT, num_outputs=2, mxnet_outputs=4,
          samples=[Sample(matrices(*POSITIVE), resizable=False),
                   Sample(matrices(LOWER, POSITIVE), resizable=False)])
def slogdet(A):
    """(sign, log |det A|).  A: float[..., N, N]   outs: float[...]"""
    sign, logarithm = torch.linalg.slogdet(A)
    return at_least_one_axis(sign), at_least_one_axis(logarithm)


@operator("_linalg_sumlogdiag", aliases=("linalg_sumlogdiag",),
          samples=[Sample(matrices(*POSITIVE), resizable=False),
                   Sample(matrices(POSITIVE, POSITIVE), resizable=False)])
def sumlogdiag(A):
    """Logarithms of the diagonal, added up.  A: float[..., N, N]   out: float[...]"""
    return at_least_one_axis(torch.log(torch.diagonal(A, 0, -2, -1)).sum(-1))


@operator("_linalg_extractdiag", aliases=("linalg_extractdiag",),
          samples=[Sample((3, 3)), Sample((2, 3, 3), offset=-1)])
def extractdiag(A, *, offset: int = 0):
    """Diagonal number `offset`.  A: float[..., N, N]   out: float[..., N - |offset|]"""
    return torch.diagonal(A, offset, -2, -1).contiguous()


@operator("_linalg_makediag", aliases=("linalg_makediag",), samples=[Sample((3,)), Sample((2, 3), offset=-1)])
def makediag(A, *, offset: int = 0):
    """Matrices with A on diagonal number `offset`.  A: float[..., N]   out: float[..., N + |offset|, N + |offset|]"""
    return torch.diag_embed(A, offset)


def triangle(n: int, offset: int, lower: bool, device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    """(rows, columns) of the triangle that packed vectors hold, in their order; an offset chooses the side."""
    is_lower = lower if offset == 0 else offset < 0
    long_side, short_side = torch.tril_indices(n, n, -abs(offset), device=device)
    return (long_side, short_side) if is_lower else (short_side, long_side)


@operator("_linalg_extracttrian", aliases=("linalg_extracttrian",),
          samples=[Sample((4, 4)), Sample((2, 4, 4), lower=False), Sample((4, 4), offset=-1), Sample((4, 4), offset=1)])
def extracttrian(A, *, offset: int = 0, lower: bool = True):
    """The lower or upper triangle, packed into a vector.  A: float[..., N, N]   out: float[..., n]

    offset moves the triangle off the diagonal: above it where positive, below it where negative."""
    rows, columns = triangle(A.shape[-1], offset, lower, A.device)
    return A[..., rows, columns]


@operator("_linalg_maketrian", aliases=("linalg_maketrian",),
          samples=[Sample((6,)), Sample((2, 6), lower=False), Sample((6,), offset=-1), Sample((6,), offset=1)])
def maketrian(A, *, offset: int = 0, lower: bool = True):
    """Matrices with the packed vectors A as a triangle: the reverse of extracttrian.  A: float[..., n]
    out: float[..., N, N]"""
    side = (math.isqrt(8 * A.shape[-1] + 1) - 1) // 2 + abs(offset)
    rows, columns = triangle(side, offset, lower, A.device)
    if rows.numel() != A.shape[-1]:
        raise ShapeError(f"_linalg_maketrian: not the length of a packed triangle; got A{list(A.shape)}; "
                         "give 1, 3, 6, 10, ... elements")
    out = torch.zeros(*A.shape[:-1], side * side, dtype=A.dtype, device=A.device)
    return out.index_copy(-1, rows * side + columns, A).reshape(*A.shape[:-1], side, side)
