"""The step inside of the backward pass: each gradient updates its parameter as soon as it is complete, then it is
freed.  Largest-gradient memory instead of all gradients'.

With workers that go in step, sums over them begin as gradients become ready, and updates are made when all are there:
the network is busy while the backward pass runs, and gradients live until then.
"""
from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING

import torch

from ..autograd import backward
from ..autograd.hand_over import Receive, handing_over, stand_in
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

    def __init__(self, trainer: Trainer, waits: bool = True):
        self._trainer, self._waits = trainer, waits
        self._missing: dict[int, int] = {}
        self._taken: list[tuple[int, Parameter]] = []
        self._is_first = False          # the step that makes the store's values: gradients are only taken
        self._order: list[int] = []

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
            self._whole_step(heads, receivers, ignore_stale_grad)
            return
        if self._trainer._store is not None:
            self._trainer._store.begin_step(trained)
        with handing_over(heads, receivers) as reached:
            for i, param in trained:
                absent = [array for array in param.list_data() if array not in reached]
                if not absent:
                    self._missing[i] = len(param.list_data())
                    release(param)
                elif not ignore_stale_grad:
                    raise stale_gradient(param, absent[0].ctx)
            backward(list(heads))
        self._update_all()

    def _whole_step(self, heads: Sequence[NDArray], receivers: Mapping[NDArray, Receive],
                    ignore_stale_grad: bool) -> None:
        """The first step: a store begins by writing the weights, which the backward pass must have read before.

        It shows in which order gradients become ready.
        """
        trainer, trained = self._trainer, self._trainer._trained()
        assert trainer._store is not None
        self._missing = {i: len(param.list_data()) for i, param in trained}
        self._is_first = True
        with handing_over(heads, receivers):
            backward(list(heads))
        self._is_first = False
        trainer._check_fresh(ignore_stale_grad)
        trainer._begin_step()
        early = trainer._store.early
        if early is not None:
            early.agree(self._order, trained)
            for i, param in trained:
                if i in self._order:
                    early.take(i, param.list_grad())
                    self._taken.append((i, param))
            self._update_all()
        else:
            trainer._allreduce_grads()
            trainer._update(ignore_stale_grad)
        for _, param in trained:
            release(param)

    def _update_all(self) -> None:
        """Where sums began early: waits for them and updates the parameters."""
        store = self._trainer._store
        if store is None or store.early is None:
            return
        if self._waits:
            store.early.finish()
            self._update(self._taken)
        else:
            optimizer = self._trainer._optimizer
            store.early.defer(self._taken, partial(self._update_later, optimizer.lr, optimizer.rescale_grad))

    def _update(self, params: list[tuple[int, Parameter]]) -> None:
        """Updates parameters whose sums are there."""
        store = self._trainer._store
        assert store is not None
        if store.updates:
            store.fetch(params)
        elif params:
            self._trainer._run_optimizer(sorted(params, key=lambda pair: pair[0]))
        for _, param in params:
            release(param)

    def _update_later(self, rate: float | None, scale: float, params: list[tuple[int, Parameter]]) -> None:
        """As `_update`, with the rate and the scale of the step that the gradients belong to."""
        optimizer = self._trainer._optimizer
        now = optimizer.lr, optimizer.rescale_grad
        optimizer.lr, optimizer.rescale_grad = rate, scale
        try:
            self._update(params)
        finally:
            optimizer.lr, optimizer.rescale_grad = now

    def _take(self, i: int, param: Parameter, context: int, gradient: torch.Tensor) -> None:
        param._grad[context]._data = gradient
        self._missing[i] -= 1
        if self._is_first:
            param._data[context]._fresh_grad = True
        if self._missing[i]:
            return
        trainer = self._trainer
        if self._is_first:
            self._order.append(i)
            return
        if trainer._store is not None and trainer._store.early is not None:
            self._taken.append((i, param))
            trainer._store.early.take(i, param.list_grad())
            return
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
