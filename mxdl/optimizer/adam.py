"""Adam and its kin: steps divided by the root of an average of squared gradients, with momentum."""
from __future__ import annotations

import math
from typing import Any

from ..ops import update_rules as rules
from .base import Group, Optimizer, register


@register
class Adam(Optimizer):
    """mean, var = averages of g = grad + wd * weight and of g ** 2;  weight -= lr_t * mean / (sqrt(var) + epsilon),
    lr_t = lr * sqrt(1 - beta2 ** t) / (1 - beta1 ** t)."""

    is_elementwise = True
    default_rate = 0.001
    num_states = 2

    def __init__(self, learning_rate: float | None = None, beta1: float = 0.9, beta2: float = 0.999,
                 epsilon: float = 1e-8, lazy_update: bool = True, **kwargs: Any):
        super().__init__(learning_rate=learning_rate, **kwargs)
        self.beta1 = beta1
        self.beta2 = beta2
        self.epsilon = epsilon
        self.lazy_update = lazy_update

    def apply(self, group: Group) -> None:
        correction = math.sqrt(1 - self.beta2 ** group.t) / (1 - self.beta1 ** group.t)
        rules.adam(group.weights, group.grads, *group.states, beta1=self.beta1, beta2=self.beta2,
                   epsilon=self.epsilon, **{**self.common(group), "lr": group.lr * correction})


@register
class AdamW(Optimizer):
    """Adam with weight decay apart from the gradient (Loshchilov and Hutter 2019):
    weight -= lr * (mean / (sqrt(var) + epsilon) + wd * weight), mean and var without their bias.

    Args:
        correct_bias: without, mean and var are taken as they are (as BERT's first implementation did).
    """

    is_elementwise = True
    default_rate = 0.001
    num_states = 2

    def __init__(self, learning_rate: float | None = None, beta1: float = 0.9, beta2: float = 0.999,
                 epsilon: float = 1e-6, correct_bias: bool = True, **kwargs: Any):
        super().__init__(learning_rate=learning_rate, **kwargs)
        self.beta1 = beta1
        self.beta2 = beta2
        self.epsilon = epsilon
        self.correct_bias = correct_bias

    def apply(self, group: Group) -> None:
        correction, epsilon = 1.0, self.epsilon
        if self.correct_bias:
            root = math.sqrt(1 - self.beta2 ** group.t)
            correction, epsilon = root / (1 - self.beta1 ** group.t), self.epsilon * root
        rules.adamw(group.weights, group.grads, *group.states, beta1=self.beta1, beta2=self.beta2, epsilon=epsilon,
                    eta=group.lr, **{**self.common(group), "lr": correction})


@register
class Adamax(Optimizer):
    """Adam with the largest gradient so far (decaying by beta2) in place of the root of the average of squares."""

    is_elementwise = True
    default_rate = 0.002
    num_states = 2

    def __init__(self, learning_rate: float | None = None, beta1: float = 0.9, beta2: float = 0.999, **kwargs: Any):
        super().__init__(learning_rate=learning_rate, **kwargs)
        self.beta1 = beta1
        self.beta2 = beta2

    def apply(self, group: Group) -> None:
        rules.adamax(group.weights, group.grads, *group.states, t=group.t, beta1=self.beta1, beta2=self.beta2,
                     **self.common(group))


@register
class Nadam(Optimizer):
    """Adam with Nesterov's momentum; the momentum of update t is beta1 * (1 - 0.96 ** (t * schedule_decay) / 2).

    (MXNet multiplies one schedule of momenta at each parameter's update; here it depends on the update's number.)
    """

    is_elementwise = True
    default_rate = 0.001
    num_states = 2

    def __init__(self, learning_rate: float | None = None, beta1: float = 0.9, beta2: float = 0.999,
                 epsilon: float = 1e-8, schedule_decay: float = 0.004, **kwargs: Any):
        super().__init__(learning_rate=learning_rate, **kwargs)
        self.beta1 = beta1
        self.beta2 = beta2
        self.epsilon = epsilon
        self.schedule_decay = schedule_decay
        self._schedules = [1.0]     # products of the momenta of updates 1..t, by t

    def _momentum(self, t: int) -> float:
        return self.beta1 * (1 - 0.5 * 0.96 ** (t * self.schedule_decay))

    def apply(self, group: Group) -> None:
        while len(self._schedules) <= group.t:
            self._schedules.append(self._schedules[-1] * self._momentum(len(self._schedules)))
        rules.nadam(group.weights, group.grads, *group.states, t=group.t, schedule=self._schedules[group.t],
                    momentum=self._momentum(group.t), next_momentum=self._momentum(group.t + 1), beta1=self.beta1,
                    beta2=self.beta2, epsilon=self.epsilon, **self.common(group))


@register
class FTML(Optimizer):
    """Follow the moving leader (Zheng and Kwok 2017)."""

    is_elementwise = True
    num_states = 3

    def __init__(self, beta1: float = 0.6, beta2: float = 0.999, epsilon: float = 1e-8, **kwargs: Any):
        super().__init__(**kwargs)
        self.beta1 = beta1
        self.beta2 = beta2
        self.epsilon = epsilon

    def apply(self, group: Group) -> None:
        rules.ftml(group.weights, group.grads, *group.states, t=group.t, beta1=self.beta1, beta2=self.beta2,
                   epsilon=self.epsilon, **self.common(group))

