"""Tests of whole arrays: are all numbers finite, are two arrays close; sums of squares of many arrays at once."""
from __future__ import annotations

import torch

from .operator import NOT_DIFFERENTIABLE, operator
from .samples import Sample
from .traits import CHEAP, Traits

CHECK = Traits(recompute=CHEAP)


def finite(arrays) -> torch.Tensor:
    """float32[1]: 1 where every number of every array is finite, else 0."""
    results = [torch.isfinite(x).all() for x in arrays]
    return torch.stack(results).all().float().reshape(1)


@operator("all_finite", traits=CHECK, gradient=NOT_DIFFERENTIABLE, samples=[Sample((2, 3))])
def all_finite(data, *, init_output: bool = True):
    """1 where all numbers are finite, else 0.  data: float[...]   out: float32[1]"""
    return finite([data])


@operator("multi_all_finite", traits=CHECK, gradient=NOT_DIFFERENTIABLE,
          samples=[Sample((2, 3), (4,), num_arrays=2)])
def multi_all_finite(*data, num_arrays: int = 1, init_output: bool = True):
    """1 where all numbers of all arrays are finite, else 0.  data: float[...]   out: float32[1]"""
    return finite(data)


@operator("multi_sum_sq", traits=CHECK, gradient=NOT_DIFFERENTIABLE,
          samples=[Sample((2, 3), (4,), num_arrays=2, tolerance=1e-3)])  # MXNet adds halves in half precision
def multi_sum_sq(*data, num_arrays: int):
    """The sum of squares of each array.  data: float[...]   out: float32[num_arrays]"""
    return torch.stack([x.float().square().sum() for x in data])


@operator("_contrib_allclose", traits=CHECK, gradient=NOT_DIFFERENTIABLE, parity="MXNet's result has no axis",
          samples=[Sample((2, 3), (2, 3))])
def allclose(a, b, *, rtol: float = 1e-5, atol: float = 1e-8, equal_nan: bool = True):
    """1 where |a - b| <= atol + rtol * |b| everywhere, else 0.  a, b: T[...]   out: uint8[1]"""
    close = torch.isclose(a, b, rtol, atol, equal_nan)
    return close.all().to(torch.uint8).reshape(1)
