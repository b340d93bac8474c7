"""The DataLoader: batches of a dataset, made in this process, by threads or by worker processes."""
from __future__ import annotations

import contextlib
import gc
import random as python_random
import weakref
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeout
from typing import Any

import numpy as np
import torch
import torch.utils.data

from ... import random
from ...device import cpu_pinned
from ...errors import MXNetError
from .batchify import ForkingPickler as ForkingPickler
from .batchify import Sendable, default_batchify_fn
from .batchify import default_mp_batchify_fn as default_mp_batchify_fn
from .dataset import Dataset
from .pool_iterator import MultiWorkerIter as _MultiWorkerIter  # noqa: F401  (libraries build on it)
from .pool_iterator import in_context
from .sampler import BatchSampler, RandomSampler, Sampler, SequentialSampler

MANY_FILES = 1 << 16
_as_in_context = in_context      # what libraries import


class DataLoader:
    """Iterates over a dataset in batches.

    Args:
        dataset: samples by number, with a length.
        batch_size, shuffle, sampler, last_batch: how samples are gathered; see the samplers.
        batch_sampler: gives lists of sample numbers, in place of the four before.
        batchify_fn: makes a batch of a list of samples; default `default_batchify_fn`.
        num_workers: processes (or threads) that make batches ahead; 0: this process makes them when asked.
        pin_memory, pin_device_id: put the batches into page-locked memory, for faster copies to a GPU.
        prefetch: number of batches to make ahead; default twice num_workers.
        thread_pool: use threads; for datasets that cannot be sent to a process, or that wait for files mostly.
        timeout: seconds to wait for one batch before an error.
        auto_reload: accepted as in MXNet; worker processes stay between passes anyway.

    An error in a worker is raised here with the worker's traceback; a worker that dies is an error too.  Workers draw
    random numbers from seeds of their own, derived from ``mx.random``.
    """

    def __init__(self, dataset: Dataset, batch_size: int | None = None, shuffle: bool = False,
                 sampler: Sampler | None = None, last_batch: str | None = None,
                 batch_sampler: Sampler | None = None, batchify_fn: Callable[[list], Any] | None = None,
                 num_workers: int = 0, pin_memory: bool = False, pin_device_id: int = 0,
                 prefetch: int | None = None, thread_pool: bool = False, timeout: float = 120,
                 auto_reload: bool = False):
        if timeout <= 0:
            raise ValueError(f"DataLoader: timeout must be more than 0 seconds; got {timeout}")
        self._dataset = dataset
        self._batch_sampler = batch_sampler
        if batch_sampler is None:
            self._batch_sampler = _batches(dataset, batch_size, shuffle, sampler, last_batch)
        elif batch_size is not None or shuffle or sampler is not None or last_batch is not None:
            raise ValueError("DataLoader: batch_sampler decides alone which samples make a batch; got it together with "
                             "one of batch_size, shuffle, sampler, last_batch; leave those out")
        self._batchify_fn = batchify_fn or default_batchify_fn
        self._num_workers = max(0, num_workers)
        self._prefetch = max(1, 2 * self._num_workers if prefetch is None else prefetch)
        self._thread_pool = thread_pool
        self._timeout = timeout
        self._pinned = cpu_pinned(pin_device_id) if pin_memory else None
        self._workers: torch.utils.data.DataLoader | None = None
        self._workers_are_busy = False
        self._stop: weakref.finalize | None = None

    def __len__(self) -> int:
        return len(self._batch_sampler)

    def __iter__(self) -> Iterator[Any]:
        if not self._num_workers:
            batches = map(self._make, self._batch_sampler)
        elif self._thread_pool:
            batches = self._made_by_threads()
        else:
            batches = self._made_by_processes()
        return batches if self._pinned is None else (in_context(batch, self._pinned) for batch in batches)

    def _make(self, numbers: list[int]) -> Any:
        return self._batchify_fn([self._dataset[number] for number in numbers])

    def _made_by_threads(self) -> Iterator[Any]:
        pool = ThreadPoolExecutor(self._num_workers, thread_name_prefix="mxdl-data")
        waiting: deque[Future] = deque()
        try:
            for numbers in self._batch_sampler:
                waiting.append(pool.submit(self._make, numbers))
                if len(waiting) > self._prefetch:
                    yield self._result(waiting.popleft())
            while waiting:
                yield self._result(waiting.popleft())
        finally:
            pool.shutdown(wait=False, cancel_futures=True)

    def _result(self, future: Future) -> Any:
        try:
            return future.result(self._timeout)
        except FutureTimeout:
            if future.done():      # the dataset's own TimeoutError
                raise
            raise MXNetError(_too_slow(self._timeout)) from None

    def _made_by_processes(self) -> Iterator[Any]:
        """Batches of the worker processes, which stay for the next pass; a pass within a pass has its own."""
        shared = not self._workers_are_busy
        if shared:
            self._workers_are_busy = True
            self._workers = self._workers or self._start(stay=True)
        batches = iter(self._workers if shared else self._start(stay=False))
        if shared and self._stop is None:
            # holds the iterator until this loader goes: collected in a cycle, its queues might go before it
            self._stop = weakref.finalize(self, batches._shutdown_workers)
        try:
            yield from batches
        except Exception as error:
            explained = self._explain(error)
            if explained is None:
                # torch's frames hold the exception that they raise: a cycle that would keep the workers alive
                raise error.with_traceback(None) from None
            for worker in batches._workers:
                worker.terminate()      # one that sleeps or hangs would not listen
            if shared:
                self._stop()
                self._workers = self._stop = None
            raise MXNetError(explained) from None
        finally:
            if shared:
                self._workers_are_busy = False
            else:
                batches._shutdown_workers()

    def _start(self, stay: bool) -> torch.utils.data.DataLoader:
        _allow_many_files()
        seeds = torch.Generator()
        seeds.manual_seed(random.next_seed())
        return torch.utils.data.DataLoader(
            self._dataset, batch_sampler=self._batch_sampler, collate_fn=Sendable(self._batchify_fn),
            num_workers=self._num_workers, prefetch_factor=-(-self._prefetch // self._num_workers),
            timeout=self._timeout, worker_init_fn=_begin_worker, generator=seeds, persistent_workers=stay)

    def _explain(self, error: Exception) -> str | None:
        """What to say where the workers, not the dataset, are at fault."""
        if "DataLoader timed out" in str(error):
            return _too_slow(self._timeout)
        if "exited unexpectedly" in str(error):
            return (f"DataLoader: a worker process died ({error}); often memory, or /dev/shm, is full; "
                    "use fewer workers or a smaller prefetch, or num_workers=0 to see it here")
        return None


def _batches(dataset: Dataset, batch_size: int | None, shuffle: bool, sampler: Sampler | None,
             last_batch: str | None) -> BatchSampler:
    if batch_size is None:
        raise ValueError("DataLoader: give batch_size or batch_sampler; got neither")
    if sampler is None:
        sampler = RandomSampler(len(dataset)) if shuffle else SequentialSampler(len(dataset))
    elif shuffle:
        raise ValueError("DataLoader: a sampler says the order; got shuffle=True too")
    return BatchSampler(sampler, batch_size, last_batch or "keep")


def _too_slow(timeout: float) -> str:
    return (f"DataLoader: no batch within {timeout:g} seconds; raise timeout, use more workers, or num_workers=0 to "
            "see what the dataset waits for")


def _allow_many_files() -> None:
    """An array from a worker holds a file descriptor as long as it lives: raises the soft limit on them."""
    with contextlib.suppress(ImportError, ValueError, OSError):     # not every system has it, or lets it be raised
        import resource
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        wanted = MANY_FILES if hard == resource.RLIM_INFINITY else min(hard, MANY_FILES)
        if 0 <= soft < wanted:
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _begin_worker(_number: int) -> None:
    """Each worker draws other numbers, which follow from the loader's seed, and leaves its parent's garbage alone."""
    gc.freeze()     # finalizers of what was inherited, other loaders above all, belong to the parent
    seed = torch.initial_seed()
    random.seed(seed)
    np.random.seed(seed % 2 ** 32)
    python_random.seed(seed)
