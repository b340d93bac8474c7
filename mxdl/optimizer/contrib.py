"""``mx.optimizer.contrib``: AdaGrad with one history for a whole row of the weight."""
from __future__ import annotations

from typing import Any

from .. import ndarray
from ..ndarray import NDArray
from ..ops import update_rules as rules
from .base import Group, Optimizer, register


@register
class GroupAdaGrad(Optimizer):
    """history += mean of grad ** 2 over the row;  weight -= lr * grad / sqrt(history + eps);  no decay."""

    def __init__(self, eps: float = 1e-5, **kwargs: Any):
        super().__init__(**kwargs)
        self.float_stable_eps = eps

    def create_state(self, index, weight: NDArray) -> NDArray:
        if len(weight.shape) < 2:
            raise ValueError(f"GroupAdaGrad: parameter {index!r} needs at least 2 axes; got shape {weight.shape}")
        return ndarray.zeros((weight.shape[0], *(1 for _ in weight.shape[1:])), weight.context, dtype=weight.dtype)

    def apply(self, group: Group) -> None:
        arguments = self.common(group)
        if arguments.pop("wd"):
            raise ValueError(f"GroupAdaGrad: has no weight decay; got wd={group.wd}; leave it 0")
        rules.group_adagrad(group.weights, group.grads, *group.states, epsilon=self.float_stable_eps, **arguments)
