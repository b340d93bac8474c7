"""The part of a training that falls to this worker, where several workers train one net (`mxdl train --launch`).

dist_sync: every batch is divided among the workers, and all make the same update: the same training as by one process.
dist_sync that is elastic: the same among those who live.  A death costs its part of a batch; who comes in its place
takes over weights, optimizer and position, and its first part of a batch does not count.
dist_async: whole batches are dealt out to the workers in turn, and each updates the servers' weights at its own pace.
"""
from collections.abc import Callable
from typing import Any

import numpy as np

from mxdl.errors import MXNetError

from .task import Batch, Task


class NotForWorkers(MXNetError):
    """A task that several workers cannot train yet.  Fix: train it in one process, on several devices."""


class Workers:
    """This worker among those of its job; `Workers(None)`: it is alone.

    store: a kvstore of several workers.
    """

    def __init__(self, store: Any = None):
        self._store = store
        self.at_own_pace = store is not None and "async" in store.type
        self.is_elastic = getattr(store, "is_elastic", False)

    @property
    def rank(self) -> int:
        """This worker's number; where workers come and go, among those who live now."""
        return 0 if self._store is None else self._store.rank

    @property
    def count(self) -> int:
        return 1 if self._store is None else self._store.num_workers

    @property
    def is_first(self) -> bool:
        """Whether this worker writes the run's folder and reports."""
        return self.rank == 0

    @property
    def is_alone(self) -> bool:
        return self._store is None

    @property
    def is_replacement(self) -> bool:
        """Whether it took a dead worker's place while the job went on: servers, or the others, have the weights."""
        return (self.at_own_pace or self.is_elastic) and self._store.is_replacement

    def check(self, task: Task) -> None:
        """Raises NotForWorkers where batches cannot be divided or dealt out."""
        if self.is_elastic and task.recipe.train.clip_norm:
            raise NotForWorkers(f"train.clip_norm with workers that come and go: an elastic store makes the updates "
                                f"itself, so nothing can be clipped before; got clip_norm="
                                f"{task.recipe.train.clip_norm:g}; launch it without --elastic")
        if not self.is_alone and type(task).carried is not Task.carried:
            raise NotForWorkers(f"task {task.recipe.task.name}: it carries states from batch to batch, which several "
                                f"workers cannot do yet; train it without --launch")

    def part(self, batch: Batch, number: int, axis: int) -> Batch | None:
        """What this worker trains of batch `number` of an epoch; None: nothing."""
        if self.is_alone:
            return batch
        if self.at_own_pace:
            return batch if number % self.count == self.rank else None
        length = batch.data.shape[axis]
        if length < self.count:
            if not self.is_elastic:      # every worker leaves it out, or some would wait for the others
                return None
            number = self.rank % length      # after a death the living may count differently for a step: all take part
            data, label = (one.take([number], axis) for one in (batch.data, batch.label))
            return Batch(data, label, max(1, round(batch.size / length)))
        data, label = (np.array_split(one, self.count, axis)[self.rank] for one in (batch.data, batch.label))
        return Batch(data, label, round(batch.size * data.shape[axis] / length))

    def share(self, get: Callable[[], str], put: Callable[[str], None]) -> None:
        """Where workers come and go: what a newcomer takes over from the others, with `put`, beside the store's."""
        if self.is_elastic:
            self._store.share_state("recipe", lambda: get().encode(), lambda content: put(content.decode()))

    def optimizer_states(self) -> bytes:
        """Of all parameters, where every worker has them."""
        return self._store.optimizer_states()

    def agree(self, text: str) -> str:
        """The first worker's `text`, where all make the same updates; else one's own."""
        if self.is_alone or self.at_own_pace or self.is_replacement:
            return text
        from mxdl.kvstore.rendezvous import SharedStore, connect
        control = connect()
        store = SharedStore(control, f"recipe/{control.generation}")
        if self.is_first:
            store.set("start", text)
        return store.get("start").decode()
