"""What a Trainer asks of a kvstore: which one to use, and gradients and weights in and out of it."""
from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from .. import kvstore
from .. import optimizer as opt
from .early_sums import EarlySums
from .parameter import Parameter

Numbered = Iterable[tuple[int, Parameter]]


class Store:
    """A kvstore in a Trainer's service.

    kv: the store.   optimizer: runs on the store, so that gradients go in and weights come out; None: it only sums.
    early: sums that can begin during the backward pass, where the store has workers that go in step.
    """

    def __init__(self, kv: Any, optimizer: opt.Optimizer | None):
        self.kv = kv
        self.updates = optimizer is not None
        self._known: set[int] = set()
        self._has_begun = False
        self.early = EarlySums(kv, self.updates) if hasattr(kv, "reduce_ready") else None
        self._updater: Any = None
        if optimizer is not None and isinstance(kv, kvstore.KVStore) and not self.is_distributed:
            self._updater = opt.get_updater(optimizer)
            kv.set_updater(self._updater)
        elif optimizer is not None:
            kv.set_optimizer(optimizer)

    @property
    def is_distributed(self) -> bool:
        return kvstore.is_for_workers(self.kv.type)

    @property
    def holds_copy(self) -> bool:
        """Whether the store runs a copy of the optimizer, which later changes of the Trainer's do not reach."""
        return self.updates and "async" in self.kv.type

    def knows(self, params: Numbered) -> bool:
        """Whether it was given all of these."""
        return all(i in self._known for i, _ in params)

    def take_new(self, params: Numbered) -> None:
        """Give the store the first value of each initialized parameter that it does not know."""
        for i, param in params:
            if i not in self._known and param._data is not None:
                arrays = param.list_data()
                self.kv.broadcast(i, arrays[0], arrays, priority=-i)
                self._known.add(i)

    def begin_step(self, params: Numbered) -> None:
        """Lets workers into an elastic store between two steps.

        A newcomer computed its first gradients from other weights than everybody's: they count as 0.
        """
        if not getattr(self.kv, "is_elastic", False):
            return
        self.kv.next_step()
        if self.kv.is_replacement and not self._has_begun:
            for _, param in params:
                for grad in param.list_grad():
                    grad[:] = 0
        self._has_begun = True

    def overwrite(self, i: int, param: Parameter) -> None:
        """Make the parameter's value the store's.  Raises RuntimeError where the store belongs to several workers."""
        if i not in self._known or not self.updates:
            return
        if self._updater is None:
            raise RuntimeError(f"Trainer: cannot set Parameter {param.name!r}, which kvstore {self.kv.type!r} holds; "
                               f"set it before the first step")
        self.kv.overwrite(i, param.list_data()[0])

    def reduce(self, params: Numbered) -> None:
        """Sum gradients over contexts and workers: into the optimizer on the store, or back into the gradients."""
        params = list(params)
        keys, grads = [i for i, _ in params], [param.list_grad() for _, param in params]
        if isinstance(self.kv, kvstore.KVStore):
            (self.kv.gradient_ready if self.updates else self.kv.allreduce)(keys, grads)
            return
        for key, grad in zip(keys, grads, strict=True):
            self.kv.pushpull(key, grad, priority=-key)

    def fetch(self, params: Numbered) -> None:
        """Write the store's new weights to every context."""
        params = list(params)
        self.kv.pull([i for i, _ in params], [param.list_data() for _, param in params])


def choose_store(wanted: Any, num_contexts: int, on_store: bool | None, compression: dict | None,
                 optimizer: opt.Optimizer) -> Store | None:
    """The store that a Trainer needs, None where there is nothing to sum.

    wanted: a name, a store, or None.   on_store: whether the caller wants the optimizer on the store; None: choose.
    Raises ValueError where what the caller wants cannot be.
    """
    kv = wanted
    if isinstance(wanted, str):
        kv = None if num_contexts == 1 and not kvstore.is_for_workers(wanted) else kvstore.create(wanted)
    if kv is None:
        if on_store:
            raise ValueError(f"Trainer: update_on_kvstore=True needs a kvstore; got kvstore={wanted!r} for "
                             f"{num_contexts} context; leave update_on_kvstore out")
        return None
    updates = kv.is_capable("optimizer") if on_store is None else on_store
    if "async" in kv.type and not updates:
        raise ValueError("Trainer: an asynchronous kvstore must run the optimizer; got update_on_kvstore=False")
    if getattr(kv, "is_elastic", False) and not updates:
        raise ValueError("Trainer: an elastic kvstore must run the optimizer, or newcomers would not get the others' "
                         "weights; got update_on_kvstore=False")
    if compression:
        kv.set_gradient_compression(compression)
    return Store(kv, optimizer if updates else None)
