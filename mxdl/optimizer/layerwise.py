"""Optimizers for large batches: each parameter's step is scaled by the length of its weight and gradient."""
from __future__ import annotations

import math
from typing import Any

import torch

from ..ops import update_rules as rules
from .base import Group, Optimizer, register
from .sgd import SGD


@register
class LAMB(Optimizer):
    """Adam's direction, as long as lr times the weight's norm (You et al. 2020).

    Args:
        lower_bound, upper_bound: the weight's norm is held within them.
        bias_correction: correct the averages for their start at 0.
    """

    default_rate = 0.001
    num_states = 2

    def __init__(self, learning_rate: float | None = None, beta1: float = 0.9, beta2: float = 0.999,
                 epsilon: float = 1e-6, lower_bound: float | None = None, upper_bound: float | None = None,
                 bias_correction: bool = True, **kwargs: Any):
        super().__init__(learning_rate=learning_rate, **kwargs)
        self.beta1 = beta1
        self.beta2 = beta2
        self.epsilon = epsilon
        self.lower_bound = lower_bound
        self.upper_bound = upper_bound
        self.bias_correction = bias_correction

    def apply(self, group: Group) -> None:
        arguments = self.common(group)
        lr = arguments.pop("lr")
        directions = rules.lamb_direction(group.weights, group.grads, *group.states, t=group.t, beta1=self.beta1,
                                          beta2=self.beta2, epsilon=self.epsilon,
                                          bias_correction=self.bias_correction, **arguments)
        rules.lamb_step(group.weights, directions, lr=lr, lower_bound=self.lower_bound, upper_bound=self.upper_bound)


@register
class LARS(SGD):
    """SGD whose rate is multiplied by eta * |weight| / (|grad| + wd * |weight| + eps) (You et al. 2017).

    Biases, gammas and betas, known by their names, keep the plain rate.

    Args:
        momentum_correction: scale the momentum when the rate changes, as the momentum holds the rate of earlier steps.
    """

    def __init__(self, momentum: float = 0.0, lazy_update: bool = True, eta: float = 0.001, eps: float = 0,
                 momentum_correction: bool = True, **kwargs: Any):
        super().__init__(momentum=momentum, lazy_update=lazy_update, **kwargs)
        self.eta = eta
        self.eps = eps
        self.momentum_correction = momentum_correction
        self.last_lr: float | None = None
        self.cur_lr: float | None = None

    def update(self, index, weight, grad, state) -> None:
        self.last_lr = self.learning_rate if self.cur_lr is None else self.cur_lr
        super().update(index, weight, grad, state)
        self.cur_lr = self.learning_rate

    @property
    def takes_lists(self) -> bool:
        return type(self).update is LARS.update or self.aggregate_num > 0

    def _name(self, index) -> str:
        return getattr(self.param_dict.get(index), "name", None) or self.idx2name.get(index, str(index))

    def apply(self, group: Group) -> None:
        arguments = self.common(group)
        momentum = self.momentum
        rate = self.learning_rate
        if self.momentum_correction and self.last_lr:
            momentum *= rate / self.last_lr
        ratios = rules.lars_rates(group.weights, group.grads, eta=self.eta, epsilon=self.eps, wd=group.wd,
                                  rescale_grad=self.rescale_grad)
        for position, (index, ratio) in enumerate(zip(group.indices, ratios, strict=True)):
            plain = self._name(index).endswith(("gamma", "beta", "bias"))
            chosen = {**arguments, "lr": group.lr if plain else group.lr * ratio}
            weight, grad = [group.weights[position]], [group.grads[position]]
            if group.states:
                rules.sgd_mom(weight, grad, [group.states[0][position]], momentum=momentum, **chosen)
            else:
                rules.sgd(weight, grad, **chosen)


@register
class LBSGD(SGD):
    """SGD on sums of `batch_scale` gradients, whose rate rises to batch_scale times during the warm-up.

    Args:
        warmup_strategy: "linear", "power2" or "sqrt": how the rate rises; "lars": scale it by norms instead.
        warmup_epochs, updates_per_epoch: length of the warm-up.
        batch_scale: number of gradients to add up for one update.
        begin_epoch, num_epochs: where training stands at the start, and its length.
    """

    STRATEGIES = {"linear": lambda done: done, "power2": lambda done: done * done, "sqrt": math.sqrt}

    def __init__(self, momentum: float = 0.0, multi_precision: bool = False, warmup_strategy: str = "linear",
                 warmup_epochs: int = 5, batch_scale: int = 1, updates_per_epoch: int = 32, begin_epoch: int = 0,
                 num_epochs: int = 60, **kwargs: Any):
        super().__init__(momentum=momentum, multi_precision=multi_precision, **kwargs)
        if warmup_strategy not in (*self.STRATEGIES, "lars"):
            raise ValueError(f"LBSGD: warmup_strategy is one of {', '.join(self.STRATEGIES)}, lars; "
                             f"got {warmup_strategy!r}")
        self.warmup_strategy = warmup_strategy
        self.warmup_updates = warmup_epochs * updates_per_epoch
        self.batch_scale = batch_scale
        self.init_updates = begin_epoch * updates_per_epoch
        self.num_epochs = num_epochs
        self._sums: dict[Any, torch.Tensor] = {}

    def _multiplier_of_update(self, number: int) -> float:
        if number >= self.warmup_updates:
            return float(self.batch_scale)
        if self.warmup_updates <= 1:
            return 1.0
        return 1 + (self.batch_scale - 1) * self.STRATEGIES[self.warmup_strategy](number / self.warmup_updates)

    def _norm_ratio(self, weight: torch.Tensor, grad: torch.Tensor, wd: float) -> float:
        weight2, grad2 = float(weight.square().sum()), float(grad.square().sum())
        return min(max(math.sqrt(weight2 / (grad2 + wd * weight2 + 1e-18)), 0.01), 100.0)

    def apply(self, group: Group) -> None:
        number = self.init_updates + group.t
        for position, index in enumerate(group.indices):
            weight, grad = group.weights[position], group.grads[position]
            if index in self._sums:
                grad = self._sums[index].add_(grad)
            if number % self.batch_scale:
                self._sums[index] = grad if index in self._sums else grad.clone()
                continue
            self._sums.pop(index, None)
            grad = grad / self.batch_scale
            multiplier = (self._norm_ratio(weight, grad, group.wd) if self.warmup_strategy == "lars"
                          else self._multiplier_of_update(number))
            part = group._replace(weights=[weight], grads=[grad], lr=group.lr * multiplier,
                                  states=[[column[position]] for column in group.states])
            super().apply(part)
