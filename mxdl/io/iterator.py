"""What every iterator is, and iterators made of others."""
from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from .batch import DataBatch, DataDesc


class DataIter:
    """Base of all iterators.  One of your own defines ``reset``, ``provide_data``, ``provide_label`` and either
    ``next()`` or ``iter_next``, ``getdata``, ``getlabel`` and ``getpad``."""

    def __init__(self, batch_size: int = 0):
        self.batch_size = batch_size

    def __iter__(self) -> DataIter:
        return self

    def __next__(self) -> DataBatch:
        return self.next()

    def reset(self) -> None:
        """Back to the first batch."""

    def next(self) -> DataBatch:
        """The next batch.  Raises StopIteration after the last."""
        if not self.iter_next():
            raise StopIteration
        return DataBatch(self.getdata(), self.getlabel(), self.getpad(), self.getindex())

    def iter_next(self) -> bool:
        """Moves to the next batch; False after the last."""
        raise NotImplementedError(f"{type(self).__name__} must define next or iter_next")

    def getdata(self) -> Any:
        """The data of this batch."""
        raise NotImplementedError(f"{type(self).__name__} must define getdata")

    def getlabel(self) -> Any:
        """The labels of this batch."""
        raise NotImplementedError(f"{type(self).__name__} must define getlabel")

    def getindex(self) -> Any:
        """Numbers of the samples of this batch; None where they are not known."""
        return None

    def getpad(self) -> int:
        """How many samples at the end of this batch only fill it up."""
        raise NotImplementedError(f"{type(self).__name__} must define getpad")


class _Kept(DataIter):
    """An iterator that keeps its batch as a whole."""

    current_batch: DataBatch | None = None

    def next(self) -> DataBatch:
        if not self.iter_next():
            raise StopIteration
        return self.current_batch

    def getdata(self):
        return self.current_batch.data

    def getlabel(self):
        return self.current_batch.label

    def getindex(self):
        return self.current_batch.index

    def getpad(self):
        return self.current_batch.pad


class ResizeIter(_Kept):
    """An iterator with passes of `size` batches, whatever the length of `data_iter`.

    Args:
        reset_internal: a reset begins `data_iter` anew too.
    """

    def __init__(self, data_iter: DataIter, size: int, reset_internal: bool = True):
        super().__init__(data_iter.batch_size)
        self.data_iter = data_iter
        self.size = size
        self.reset_internal = reset_internal
        self.cur = 0
        self.provide_data = data_iter.provide_data
        self.provide_label = data_iter.provide_label
        if hasattr(data_iter, "default_bucket_key"):
            self.default_bucket_key = data_iter.default_bucket_key

    def reset(self) -> None:
        self.cur = 0
        if self.reset_internal:
            self.data_iter.reset()

    def iter_next(self) -> bool:
        if self.cur == self.size:
            return False
        try:
            self.current_batch = self.data_iter.next()
        except StopIteration:
            self.data_iter.reset()
            self.current_batch = self.data_iter.next()
        self.cur += 1
        return True


class PrefetchingIter(_Kept):
    """Reads one batch ahead of one or several iterators, each in a thread; their data and labels are put together.

    Args:
        rename_data, rename_label: for each iterator a dict from its names to new ones.
    """

    def __init__(self, iters: DataIter | list[DataIter], rename_data: list[dict] | None = None,
                 rename_label: list[dict] | None = None):
        self.iters = iters if isinstance(iters, list) else [iters]
        self.n_iter = len(self.iters)
        if not self.iters:
            raise ValueError("PrefetchingIter: needs at least one iterator")
        self.rename_data = rename_data
        self.rename_label = rename_label
        super().__init__(self.provide_data[0].shape[0])
        self._threads = ThreadPoolExecutor(self.n_iter, thread_name_prefix="mxdl-prefetch")
        self._ahead: list[Future] = []
        self._read_ahead()

    @property
    def provide_data(self) -> list[DataDesc]:
        return self._described("provide_data", self.rename_data)

    @property
    def provide_label(self) -> list[DataDesc]:
        return self._described("provide_label", self.rename_label)

    def _described(self, what: str, names: list[dict] | None) -> list[DataDesc]:
        found = []
        for position, source in enumerate(self.iters):
            for desc in getattr(source, what):
                desc = desc if isinstance(desc, DataDesc) else DataDesc(*desc)
                name = desc.name if names is None else names[position][desc.name]
                found.append(DataDesc(name, desc.shape, desc.dtype, desc.layout))
        return found

    def _read_ahead(self) -> None:
        self._ahead = [self._threads.submit(next, source, None) for source in self.iters]

    def reset(self) -> None:
        for future in self._ahead:
            future.exception()      # wait; an error of a batch that nobody asked for is of no interest
        for source in self.iters:
            source.reset()
        self._read_ahead()

    def iter_next(self) -> bool:
        batches = [future.result() for future in self._ahead]
        ended = [batch is None for batch in batches]
        if any(ended):
            if not all(ended):
                raise ValueError("PrefetchingIter: its iterators give different numbers of batches")
            return False
        if len({batch.pad for batch in batches}) > 1:
            raise ValueError(f"PrefetchingIter: its iterators pad differently; got {[batch.pad for batch in batches]}")
        self._read_ahead()
        self.current_batch = DataBatch([array for batch in batches for array in batch.data],
                                       [array for batch in batches for array in batch.label or []], batches[0].pad,
                                       batches[0].index, provide_data=self.provide_data,
                                       provide_label=self.provide_label)
        return True
