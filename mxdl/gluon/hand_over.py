"""The step inside of the backward pass: each gradient updates its parameter as soon as it is complete, then it is
freed.  Largest-gradient memory instead of all gradients'."""
from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

import torch

from ..autograd import backward
from ..autograd.hand_over import handing_over, stand_in
from ..device import Context
from ..errors import MXNetError
from ..ndarray import NDArray
from .parameter import Parameter

if TYPE_CHECKING:
    from .trainer import Trainer

#: the parts of Trainer.step, which are called for one parameter at a time here
_PARTS = ("step", "_allreduce_grads", "_update", "allreduce_grads", "update")


class HandOver:
    """One step of `trainer`: takes gradients, and when a parameter's are there on all contexts, updates it."""

    def __init__(self, trainer: Trainer):
        self._trainer = trainer
        self._missing: dict[int, int] = {}

    @staticmethod
    def check(trainer: Trainer, base: type) -> None:
        """Raises MXNetError where handing over would not be what `step` does.  base: the class that defines it."""
        changed = [name for name in _PARTS if getattr(type(trainer), name) is not getattr(base, name)]
        if changed:
            raise MXNetError(f"Trainer.backward_and_step: parts of step are overridden and would be passed by; got "
                             f"{type(trainer).__name__} with {', '.join(changed)}; call backward() and step()")
        adding = [param.name for _, param in trainer._trained() if param.grad_req == "add"]
        if adding:
            raise MXNetError(f"Trainer.backward_and_step: gradients that add up over several backward passes are not "
                             f"complete after one; got grad_req='add' for {', '.join(adding[:3])}; use 'write', or "
                             f"call backward() and step()")

    def run(self, heads: Sequence[NDArray], ignore_stale_grad: bool) -> None:
        """Backward from `heads`, with the updates in it.  Raises UserWarning before anything is changed where a
        parameter is not reached, unless told to ignore it."""
        trained = self._trainer._trained()
        receivers = {array: partial(self._take, i, param, context)
                     for i, param in trained for context, array in enumerate(param.list_data())}
        if self._trainer._store is not None and not self._trainer._store.knows(trained):
            self._whole_step(heads, ignore_stale_grad)
            return
        with handing_over(heads, receivers) as reached:
            for i, param in trained:
                absent = [array for array in param.list_data() if array not in reached]
                if not absent:
                    self._missing[i] = len(param.list_data())
                    release(param)
                elif not ignore_stale_grad:
                    raise stale_gradient(param, absent[0].ctx)
            backward(list(heads))

    def _whole_step(self, heads: Sequence[NDArray], ignore_stale_grad: bool) -> None:
        """The first step: a store begins by writing the weights, which the backward pass must have read before."""
        backward(list(heads))
        self._trainer._init_kvstore()
        self._trainer._allreduce_grads()
        self._trainer._update(ignore_stale_grad)
        for _, param in self._trainer._trained():
            release(param)

    def _take(self, i: int, param: Parameter, context: int, gradient: torch.Tensor) -> None:
        param._grad[context]._data = gradient
        self._missing[i] -= 1
        if self._missing[i]:
            return
        trainer = self._trainer
        if trainer._store is not None:
            trainer._store.reduce([(i, param)])
        if trainer._store is not None and trainer._store.updates:
            trainer._store.fetch([(i, param)])
        else:
            trainer._run_optimizer([(i, param)])
        release(param)


def release(param: Parameter) -> None:
    """Put stand-ins of no memory, which read as NaN, in the place of the parameter's gradients."""
    for array, grad in zip(param._data, param._grad, strict=True):
        grad._data = stand_in(grad._data)
        array._fresh_grad = False


def stale_gradient(param: Parameter, ctx: Context) -> UserWarning:
    return UserWarning(f"Trainer.step: no backward() reached Parameter {param.name!r}; got an old gradient on {ctx}; "
                       f"if the loss is not meant to depend on it, ignore_stale_grad=True leaves such parameters as "
                       f"they are")
