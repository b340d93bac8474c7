"""Follow the regularized leader."""
from __future__ import annotations

from typing import Any

from ..ops import update_rules as rules
from .base import Group, Optimizer, register


@register
class Ftrl(Optimizer):
    """Sparse weights by an L1 penalty (McMahan et al. 2013).

    Args:
        lamda1: the L1 penalty: a weight whose z stays within it is 0.
        beta: added to the root of the sum of squares in each weight's own rate.
    """

    is_elementwise = True
    default_rate = 0.1
    num_states = 2

    def __init__(self, lamda1: float = 0.01, learning_rate: float | None = None, beta: float = 1, **kwargs: Any):
        super().__init__(learning_rate=learning_rate, **kwargs)
        self.lamda1 = lamda1
        self.beta = beta

    def apply(self, group: Group) -> None:
        rules.ftrl(group.weights, group.grads, *group.states, lamda1=self.lamda1, beta=self.beta,
                   **self.common(group))
