"""Batches made by a pool of processes that the caller brings: libraries written for MXNet build their loaders on it."""
from __future__ import annotations

import multiprocessing
import pickle
from collections.abc import Callable, Iterator, Sized
from multiprocessing.pool import AsyncResult, Pool
from typing import Any

from ...device import cpu_pinned
from ...errors import MXNetError
from ...ndarray import NDArray


class MultiWorkerIter:
    """Iterates over the batches that `worker_fn` makes in the pool's processes, in the sampler's order.

    `worker_fn(numbers, batchify_fn[, dataset])` gives bytes that `pickle.loads` turns into the batch (MXNet 1.9.1,
    `gluon.data.dataloader._MultiWorkerIter`).  Subclasses replace `_push_next`, which hands out the next batch; they
    find the sampler's iterator in `_iter`, the results under way in `_data_buffer` by number, and in `_sent_idx` and
    `_rcvd_idx` the numbers of the next batch to hand out and to return.

    Raises MXNetError where a batch takes longer than `timeout` seconds.
    """

    def __init__(self, worker_pool: Pool, batchify_fn: Callable, batch_sampler: Sized, pin_memory: bool = False,
                 pin_device_id: int = 0, worker_fn: Callable[..., bytes] | None = None, prefetch: int = 0,
                 dataset: Any = None, data_loader: Any = None, timeout: float = 120):
        if worker_fn is None:
            raise MXNetError("MultiWorkerIter: worker_fn makes the batches; got None; give a function, or use "
                             "DataLoader")
        self._worker_pool, self._batchify_fn, self._batch_sampler = worker_pool, batchify_fn, batch_sampler
        self._pin_memory, self._pin_device_id, self._timeout = pin_memory, pin_device_id, timeout
        self._worker_fn, self._dataset = worker_fn, dataset
        self._data_loader = data_loader     # the pool is its: it must live as long as this
        self._iter: Iterator = iter(batch_sampler)      # type: ignore[call-overload]
        self._data_buffer: dict[int, AsyncResult] = {}
        self._sent_idx = self._rcvd_idx = 0
        for _ in range(prefetch):
            self._push_next()

    def __len__(self) -> int:
        return len(self._batch_sampler)

    def __iter__(self) -> MultiWorkerIter:
        return self

    def _push_next(self) -> None:
        numbers = next(self._iter, None)
        if numbers is None:
            return
        given = (numbers, self._batchify_fn) if self._dataset is None else (numbers, self._batchify_fn, self._dataset)
        self._data_buffer[self._sent_idx] = self._worker_pool.apply_async(self._worker_fn, given)
        self._sent_idx += 1

    def __next__(self) -> Any:
        self._push_next()
        if self._rcvd_idx == self._sent_idx:
            raise StopIteration
        try:
            batch = pickle.loads(self._data_buffer.pop(self._rcvd_idx).get(self._timeout))
        except multiprocessing.TimeoutError:
            raise MXNetError(f"MultiWorkerIter: no batch within {self._timeout:g} seconds; raise timeout, or use more "
                             f"workers") from None
        self._rcvd_idx += 1
        return in_context(batch, cpu_pinned(self._pin_device_id)) if self._pin_memory else batch

    next = __next__


def in_context(value: Any, context: Any) -> Any:
    """`value` with its arrays on `context`."""
    if isinstance(value, NDArray):
        return value.as_in_context(context)
    if isinstance(value, (list, tuple)):
        return type(value)(in_context(part, context) for part in value)
    if isinstance(value, dict):
        return {name: in_context(part, context) for name, part in value.items()}
    return value
