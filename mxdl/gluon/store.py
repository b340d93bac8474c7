"""What a Trainer asks of a kvstore: which one to use, and gradients and weights in and out of it."""
from __future__ import annotations

from collections.abc import Iterable
from typing import Any


from .parameter import Parameter

Numbered = Iterable[tuple[int, Parameter]]


class Store:
    """A kvstore in a Trainer's service.

    kv: the store.   updates: the optimizer runs on it, so that gradients go in and weights come out.
    """

    def __init__(self, store: Any, updates: bool):
        self.kv = store
        self.updates = updates
        self._known: set[int] = set()

    @property
    def is_distributed(self) -> bool:
        return "dist" in self.kv.type

    def take_new(self, params: Numbered) -> None:
        """Give the store the first value of each initialized parameter that it does not know."""
        for i, param in params:
            if i not in self._known and param._data is not None:
                arrays = param.list_data()
                self.kv.broadcast(i, arrays[0], arrays, priority=-i)
                self._known.add(i)

    def overwrite(self, params: Numbered) -> None:
        """Make the parameters' values the store's."""
        for i, param in params:
            if i in self._known:
                self.kv.overwrite(i, param.list_data()[0])

    def reduce(self, params: Numbered) -> None:
        """Sum gradients over contexts and workers: into the optimizer on the store, or back into the gradients."""
        for i, param in params:
            if self.updates:
                self.kv.push(i, param.list_grad(), priority=-i)
            else:
                self.kv.pushpull(i, param.list_grad(), priority=-i)

    def fetch(self, params: Numbered) -> None:
        """Write the store's new weights to every context."""
        for i, param in params:
            self.kv.pull(i, param.list_data(), priority=-i)


def choose_store(wanted: Any, num_contexts: int, on_store: bool | None, compression: dict | None,
                 optimizer: Any) -> Store | None:
    """The store that a Trainer needs, None where there is nothing to sum.

    wanted: a name, a store, or None.   on_store: whether the caller wants the optimizer on the store; None: choose.
    Raises ValueError where what the caller wants cannot be.
    """
    store = wanted
    if isinstance(wanted, str):
        store = None if num_contexts == 1 and "dist" not in wanted else _create(wanted)
    if store is None:
        if on_store:
            raise ValueError(f"Trainer: update_on_kvstore=True needs a kvstore; got kvstore={wanted!r} for "
                             f"{num_contexts} context; leave update_on_kvstore out")
        return None
    updates = store.is_capable("optimizer") if on_store is None else on_store
    if "async" in store.type and not updates:
        raise ValueError("Trainer: an asynchronous kvstore must run the optimizer; got update_on_kvstore=False")
    if compression:
        store.set_gradient_compression(compression)
    if updates:
        store.set_optimizer(optimizer)
    return Store(store, updates)
