"""Steps of one length: only the sign of the gradient, or of its average, counts."""
from __future__ import annotations

from typing import Any

from ..ops import update_rules as rules
from .base import Group, Optimizer, register


@register
class Signum(Optimizer):
    """weight = (1 - lr * wd_lh) * weight + lr * sign(mom) (Bernstein et al. 2018); without momentum, SignSGD.

    Args:
        wd_lh: weight decay apart from the gradient's.
    """

    is_elementwise = True
    default_rate = 0.01

    def __init__(self, learning_rate: float | None = None, momentum: float = 0.9, wd_lh: float = 0.0, **kwargs: Any):
        super().__init__(learning_rate=learning_rate, **kwargs)
        self.momentum = momentum
        self.wd_lh = wd_lh
        self.num_states = 1 if momentum else 0

    def apply(self, group: Group) -> None:
        if group.states:
            rules.signum(group.weights, group.grads, *group.states, momentum=self.momentum, wd_lh=self.wd_lh,
                         **self.common(group))
        else:
            rules.signsgd(group.weights, group.grads, **self.common(group))
