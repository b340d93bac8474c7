"""Steps divided by the root of a sum, or of an average, of squared gradients."""
from __future__ import annotations

from typing import Any

from ..ops import update_rules as rules
from .base import Group, Optimizer, register


@register
class AdaGrad(Optimizer):
    """history += grad ** 2;  weight -= lr * (grad / sqrt(history + eps) + wd * weight)"""

    is_elementwise = True
    num_states = 1

    def __init__(self, eps: float = 1e-7, **kwargs: Any):
        super().__init__(**kwargs)
        self.float_stable_eps = eps

    def apply(self, group: Group) -> None:
        rules.adagrad(group.weights, group.grads, *group.states, epsilon=self.float_stable_eps, **self.common(group))


@register
class AdaDelta(Optimizer):
    """Steps as long as the average of earlier steps (Zeiler 2012); there is no learning rate."""

    is_elementwise = True
    num_states = 2

    def __init__(self, rho: float = 0.9, epsilon: float = 1e-5, **kwargs: Any):
        super().__init__(**kwargs)
        self.rho = rho
        self.epsilon = epsilon

    def apply(self, group: Group) -> None:
        arguments = self.common(group)
        del arguments["lr"]
        rules.adadelta(group.weights, group.grads, *group.states, rho=self.rho, epsilon=self.epsilon, **arguments)


@register
class RMSProp(Optimizer):
    """weight -= lr * g / sqrt(average of g ** 2 + epsilon), g = grad + wd * weight.

    Args:
        gamma1: what an average keeps at each update.
        gamma2: momentum of the centered form.
        centered: divide by the spread around the mean (Graves 2013), with momentum.
        clip_weights: weights are held within [-clip_weights, clip_weights].
    """

    is_elementwise = True
    default_rate = 0.001

    def __init__(self, learning_rate: float | None = None, gamma1: float = 0.9, gamma2: float = 0.9,
                 epsilon: float = 1e-8, centered: bool = False, clip_weights: float | None = None, **kwargs: Any):
        super().__init__(learning_rate=learning_rate, **kwargs)
        self.gamma1 = gamma1
        self.gamma2 = gamma2
        self.epsilon = epsilon
        self.centered = centered
        self.clip_weights = clip_weights
        self.num_states = 3 if centered else 1

    def apply(self, group: Group) -> None:
        arguments = {"gamma1": self.gamma1, "epsilon": self.epsilon, "clip_weights": self.clip_weights or None,
                     **self.common(group)}
        if self.centered:
            rules.rmsprop_centered(group.weights, group.grads, *group.states, gamma2=self.gamma2, **arguments)
        else:
            rules.rmsprop(group.weights, group.grads, *group.states, **arguments)
