"""Operators whose gradient is on purpose not the derivative of their body (SoftmaxOutput, BlockGrad), on torch's
tape."""
from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from ..ops.operator import GradientCall, Operator


def apply_rule(op: Operator, tensors: Sequence[torch.Tensor | None], attrs: Mapping[str, Any]) -> Any:
    """The operator's results; backward asks `op.gradient_rule`.  attrs: typed, with `training` and `seed`."""
    return _Ruled.apply(op, dict(attrs), *tensors)


class _Ruled(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, op: Operator, attrs: dict[str, Any], *tensors: torch.Tensor | None):
        results = op.run(tensors, attrs)
        outputs = results if type(results) is tuple else (results,)
        # an input that is returned as it is would lose its own place on the tape
        outputs = tuple(out.view_as(out) if any(out is x for x in tensors) else out for out in outputs)
        ctx.op, ctx.attrs = op, attrs
        ctx.present = [t is not None for t in tensors]
        ctx.save_for_backward(*(t for t in tensors if t is not None), *outputs)
        return outputs if type(results) is tuple else outputs[0]

    @staticmethod
    def backward(ctx: Any, *douts: torch.Tensor):
        count = sum(ctx.present)
        needs = tuple(need for need, here in zip(ctx.needs_input_grad[2:], ctx.present, strict=True) if here)
        call = GradientCall(ctx.saved_tensors[:count], ctx.saved_tensors[count:], douts, needs,
                            ctx.op.filled(ctx.attrs))
        grads = iter(ctx.op.gradient_rule(call))
        return (None, None, *(next(grads) if here else None for here in ctx.present))
