"""Stochastic gradient descent and what grew from it."""
from __future__ import annotations

import math
from typing import Any

import torch

from .. import ndarray
from ..ndarray import NDArray
from ..ops import update_rules as rules
from .base import Group, Optimizer, register, zeros_like


@register
class SGD(Optimizer):
    """mom = momentum * mom - lr * (grad + wd * weight);  weight += mom.

    Args:
        momentum: 0: none is kept.
        lazy_update: accepted as in MXNet; dense gradients do not need it.
    """

    is_elementwise = True

    def __init__(self, momentum: float = 0.0, lazy_update: bool = True, **kwargs: Any):
        super().__init__(**kwargs)
        self.momentum = momentum
        self.lazy_update = lazy_update
        self.num_states = 1 if momentum else 0

    @property
    def reads_once(self) -> bool:
        return type(self) in (SGD, ccSGD) and not self.clip_gradient   # clipped gradients are a second array

    def apply(self, group: Group) -> None:
        if group.states:
            rules.sgd_mom(group.weights, group.grads, *group.states, momentum=self.momentum, **self.common(group))
        else:
            rules.sgd(group.weights, group.grads, **self.common(group))


@register
class ccSGD(SGD):
    """The old name of `SGD`."""

    is_elementwise = True


@register
class NAG(SGD):
    """Nesterov's accelerated gradient: the gradient's step is taken twice, once through the momentum."""

    is_elementwise = True

    def __init__(self, momentum: float = 0.0, **kwargs: Any):
        super().__init__(momentum=momentum, **kwargs)

    def apply(self, group: Group) -> None:
        if group.states:
            rules.nag_mom(group.weights, group.grads, *group.states, momentum=self.momentum, **self.common(group))
        else:
            rules.sgd(group.weights, group.grads, **self.common(group))


@register
class SGLD(Optimizer):
    """Stochastic gradient Langevin dynamics: half a step of SGD plus normal noise of variance lr."""

    def apply(self, group: Group) -> None:
        arguments = self.common(group)
        rules.sgd(group.weights, group.grads, **{**arguments, "lr": group.lr / 2})
        for weight in group.weights:
            noise = ndarray.random.normal(0, math.sqrt(group.lr), tuple(weight.shape))
            weight.add_(noise._data.to(weight.device, weight.dtype))


@register
class DCASGD(Optimizer):
    """Asynchronous SGD whose gradient is corrected for its delay: lamda * grad ** 2 * (weight - weight before)."""

    is_elementwise = True

    def __init__(self, momentum: float = 0.0, lamda: float = 0.04, **kwargs: Any):
        super().__init__(**kwargs)
        self.momentum = momentum
        self.lamda = lamda

    def create_state(self, index, weight: NDArray) -> Any:
        previous = weight.copy()
        return (previous, zeros_like(weight)) if self.momentum else (previous,)

    def apply(self, group: Group) -> None:
        previous, *moms = group.states
        rules.dcasgd(group.weights, group.grads, previous, moms[0] if moms else None, momentum=self.momentum,
                     lamda=self.lamda, **self.common(group))


@register
class Test(Optimizer):
    """weight += rescale_grad * grad; the state is the weight.  For tests of stores."""

    is_elementwise = True
    __test__ = False    # not a test case, whatever pytest thinks of the name
    num_states = 1

    def apply(self, group: Group) -> None:
        torch._foreach_add_(group.weights, group.grads, alpha=self.rescale_grad)
        torch._foreach_copy_(group.states[0], group.weights)
