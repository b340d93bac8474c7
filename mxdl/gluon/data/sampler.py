"""Samplers: the order in which samples are taken, and how they are gathered into batches."""
from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np


class Sampler:
    """Base of all samplers; one of your own defines ``__iter__()`` over sample numbers and ``__len__()``."""

    def __iter__(self) -> Iterator[int]:
        raise NotImplementedError(f"{type(self).__name__} must define __iter__")

    def __len__(self) -> int:
        raise NotImplementedError(f"{type(self).__name__} must define __len__")


class SequentialSampler(Sampler):
    """start, start + 1, ..., start + length - 1."""

    def __init__(self, length: int, start: int = 0):
        self._length = length
        self._start = start

    def __iter__(self) -> Iterator[int]:
        return iter(range(self._start, self._start + self._length))

    def __len__(self) -> int:
        return self._length


class RandomSampler(Sampler):
    """0 ... length - 1 in an order drawn anew for each pass, from NumPy's global generator as in MXNet."""

    def __init__(self, length: int):
        self._length = length

    def __iter__(self) -> Iterator[int]:
        order = np.arange(self._length)
        np.random.shuffle(order)
        return iter(order.tolist())

    def __len__(self) -> int:
        return self._length


class FilterSampler(Sampler):
    """Numbers of the samples of `dataset` for which `fn(sample)` is true; every sample is looked at once, now."""

    def __init__(self, fn: Callable[[Any], bool], dataset: Any):
        self._numbers = [i for i in range(len(dataset)) if fn(dataset[i])]

    def __iter__(self) -> Iterator[int]:
        return iter(self._numbers)

    def __len__(self) -> int:
        return len(self._numbers)


class IntervalSampler(Sampler):
    """0, interval, 2 * interval, ...; then, with `rollover`, from 1, 2, ... on until all are taken."""

    def __init__(self, length: int, interval: int, rollover: bool = True):
        if not 0 < interval <= length:
            raise ValueError(f"IntervalSampler: interval must be from 1 to the length {length}; got {interval}")
        self._length = length
        self._interval = interval
        self._rollover = rollover

    def __iter__(self) -> Iterator[int]:
        for start in range(self._interval if self._rollover else 1):
            yield from range(start, self._length, self._interval)

    def __len__(self) -> int:
        return self._length if self._rollover else -(-self._length // self._interval)


class BatchSampler(Sampler):
    """Lists of `batch_size` sample numbers.

    Args:
        last_batch: what becomes of a rest that fills no batch: "keep" it as a smaller batch, "discard" it, or
            "rollover": begin the next pass with it.
    """

    def __init__(self, sampler: Sampler, batch_size: int, last_batch: str = "keep"):
        if last_batch not in ("keep", "discard", "rollover"):
            raise ValueError(f"BatchSampler: last_batch is 'keep', 'discard' or 'rollover'; got {last_batch!r}")
        if batch_size < 1:
            raise ValueError(f"BatchSampler: batch_size must be at least 1; got {batch_size}")
        self._sampler = sampler
        self._batch_size = batch_size
        self._last_batch = last_batch
        self._rest: list[int] = []

    def __iter__(self) -> Iterator[list[int]]:
        batch, self._rest = self._rest, []
        for number in self._sampler:
            batch.append(number)
            if len(batch) == self._batch_size:
                yield batch
                batch = []
        if batch and self._last_batch == "keep":
            yield batch
        elif self._last_batch == "rollover":
            self._rest = batch

    def __len__(self) -> int:
        whole, rest = divmod(len(self._sampler) + len(self._rest), self._batch_size)
        return whole + (rest > 0 and self._last_batch == "keep")
