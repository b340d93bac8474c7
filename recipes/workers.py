"""The part of a training that falls to this worker, where several workers train one net (`mxdl train --launch`).

dist_sync: every batch is divided among the workers, and all make the same update: the same training as by one process.
dist_async: whole batches are dealt out to the workers in turn, and each updates the servers' weights at its own pace.
"""
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
        self.rank, self.count = (0, 1) if store is None else (store.rank, store.num_workers)
        self.at_own_pace = store is not None and "async" in store.type

    @property
    def is_first(self) -> bool:
        """Whether this worker writes the run's folder and reports."""
        return self.rank == 0

    @property
    def is_alone(self) -> bool:
        return self._store is None

    @property
    def is_replacement(self) -> bool:
        """Whether it took a dead worker's place while the job went on: the servers have weights and states."""
        return self.at_own_pace and self._store.is_replacement

    def check(self, task: Task) -> None:
        """Raises NotForWorkers where batches cannot be divided or dealt out."""
        if getattr(self._store, "is_elastic", False):
            raise NotForWorkers("recipes do not follow workers that come and go yet: batches would be divided among "
                                "those of the beginning; got MXDL_ELASTIC=1; unset it, a resumed run goes on too")
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
        if length < self.count:      # every worker leaves it out, or some would wait for the others
            return None
        data, label = (np.array_split(one, self.count, axis)[self.rank] for one in (batch.data, batch.label))
        return Batch(data, label, round(batch.size * data.shape[axis] / length))

    def agree(self, text: str) -> str:
        """The first worker's `text`, where all make the same updates; else one's own."""
        if self.is_alone or self.at_own_pace:
            return text
        from mxdl.kvstore.rendezvous import SharedStore, connect
        control = connect()
        store = SharedStore(control, f"recipe/{control.generation}")
        if self.is_first:
            store.set("start", text)
        return store.get("start").decode()
