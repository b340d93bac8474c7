"""Tables: elementwise operators are one row each."""
from __future__ import annotations

from collections.abc import Callable, Sequence

import torch

from . import registry
from .operator import NOT_DIFFERENTIABLE, NotDifferentiable, Operator, Rule
from .samples import Sample
from .traits import CHEAP, Traits

ELEMENTWISE = Traits(recompute=CHEAP, elementwise=True, inplace=((0, 0),))


def unary(name: str, function: Callable[[torch.Tensor], torch.Tensor], formula: str, *,
          gradient: Callable | NotDifferentiable | None = None, aliases: Sequence[str] = (),
          low: float = -1.0, high: float = 1.0, c: str | None = None, parity: str | None = "") -> Operator:
    """Register the elementwise operator out = function(data).

    gradient: f(x, y, dy) -> dx written in operators, or NOT_DIFFERENTIABLE; without it, torch autograd of `function`.
    c: the C expression of x for the single-file build, where there is one.
    """
    def kernel(data: torch.Tensor):
        return function(data)
    kernel.__doc__ = f"{formula}.  data, out: T[...]"
    rule: Rule | NotDifferentiable | None = None
    if isinstance(gradient, NotDifferentiable):
        rule = NOT_DIFFERENTIABLE
    elif gradient is not None:
        def rule(call):
            return [gradient(call.inputs[0], call.outputs[0], call.douts[0])]
    op = Operator(name, kernel, aliases=aliases, traits=ELEMENTWISE, gradient=rule, parity=parity,
                  samples=[Sample((2, 3), low=low, high=high), Sample((0, 3), low=low, high=high)])
    if c is not None:
        op.emit_c_rule = elementwise_c(c)
    return registry.add(op)


def elementwise_c(expression: str) -> Callable:
    """The single-file kernel of out[i] = expression of x (= in0[i]) and y (= in1[i])."""
    def emit(call):
        return call.elementwise(expression)
    return emit
