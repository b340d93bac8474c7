"""Operators whose C kernel needs working memory: it is one more output, which the single-file build places."""
from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from . import registry
from .operator import NOT_DIFFERENTIABLE, Operator
from .traits import COSTLY, Traits


def with_work(op: Operator, count: int, work: Callable) -> Operator:
    """Register `_c_NAME`, which the single-file build computes in the place of `op`: its outputs, and `count` arrays of
    the (number of elements, torch dtype) in work(*tensors, **attributes)."""
    @functools.wraps(op.kernel)
    def kernel(*tensors: Any, **attrs: Any) -> tuple:
        outs = op.kernel(*tensors, **attrs)
        given = op.filled(attrs)
        return (*(outs if isinstance(outs, tuple) else (outs,)),
                *(tensors[0].new_zeros(n, dtype=dtype) for n, dtype in work(*tensors, **given)))
    made = registry.add(Operator(
        f"_c{op.name}" if op.name.startswith("_") else f"_c_{op.name}", kernel, traits=Traits(recompute=COSTLY),
        parity=None, gradient=NOT_DIFFERENTIABLE, samples=op.samples, num_visible=op.num_visible,
        num_outputs=lambda attrs: op.num_outputs(attrs) + count))
    op.lower_c(lambda inputs, types, attrs: list(made(*inputs, **attrs)[:op.num_outputs(attrs)]))
    return made
