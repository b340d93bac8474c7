"""Datasets: a length and samples by number, and what can be made of them without copying."""
from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from ... import recordio
from ...ndarray import NDArray


class Dataset:
    """Base of all datasets; one of your own defines ``__getitem__(index)`` and ``__len__()``."""

    def __getitem__(self, idx: int) -> Any:
        raise NotImplementedError(f"{type(self).__name__} must define __getitem__")

    def __len__(self) -> int:
        raise NotImplementedError(f"{type(self).__name__} must define __len__")

    def filter(self, fn: Callable[[Any], bool]) -> Dataset:
        """The samples for which `fn(sample)` is true; every sample is looked at now."""
        return _Chosen(self, [i for i in range(len(self)) if fn(self[i])])

    def shard(self, num_shards: int, index: int) -> Dataset:
        """Part number `index` of `num_shards` parts that follow each other; the first ones may be one longer."""
        if not 0 <= index < num_shards:
            raise ValueError(f"Dataset.shard: index must be from 0 to {num_shards - 1}; got {index}")
        length, longer = divmod(len(self), num_shards)
        start = length * index + min(index, longer)
        return _Chosen(self, range(start, start + length + (index < longer)))

    def take(self, count: int | None) -> Dataset:
        """The first `count` samples; all where it is None or larger than the dataset."""
        return _Chosen(self, range(len(self) if count is None else min(count, len(self))))

    def sample(self, sampler: Iterable[int]) -> Dataset:
        """The samples whose numbers `sampler` gives, in its order."""
        return _Chosen(self, list(sampler))

    def transform(self, fn: Callable, lazy: bool = True) -> Dataset:
        """`fn` of every sample; a tuple's parts are its arguments.

        lazy: compute a sample each time it is asked for; False: compute all now.
        """
        transformed = _Transformed(self, fn)
        return transformed if lazy else SimpleDataset(list(transformed))

    def transform_first(self, fn: Callable, lazy: bool = True) -> Dataset:
        """`fn` of the first part of every sample (the image of (image, label)); see `transform`."""
        return self.transform(_OfFirst(fn), lazy)


class SimpleDataset(Dataset):
    """A dataset of anything that has a length and an index: a list, an array."""

    def __init__(self, data: Sequence):
        self._data = data

    def __len__(self) -> int:
        return len(self._data)

    def __getitem__(self, idx: int) -> Any:
        return self._data[idx]


class ArrayDataset(Dataset):
    """Samples made of the entries of several sequences of the same length: tuples, or entries where there is one."""

    def __init__(self, *args: Sequence):
        if not args:
            raise ValueError("ArrayDataset: needs at least one array")
        lengths = [len(data) for data in args]
        if len(set(lengths)) > 1:
            raise ValueError(f"ArrayDataset: its arrays are not of one length; got {lengths}")
        self._length = lengths[0]
        # a vector's entries are numbers: labels, mostly
        self._data = [data.asnumpy() if isinstance(data, NDArray) and data.ndim == 1 else data for data in args]

    def __getitem__(self, idx: int) -> Any:
        if len(self._data) == 1:
            return self._data[0][idx]
        return tuple(data[idx] for data in self._data)

    def __len__(self) -> int:
        return self._length


class RecordFileDataset(Dataset):
    """The records of a RecordIO file, as bytes; its index lies beside it under the same name with ending .idx."""

    def __init__(self, filename: str | os.PathLike):
        self.filename = os.fspath(filename)
        self.idx_file = os.path.splitext(self.filename)[0] + ".idx"
        self._record = recordio.MXIndexedRecordIO(self.idx_file, self.filename, "r")

    def __getitem__(self, idx: int) -> Any:
        return self._record.read_idx(self._record.keys[idx])

    def __len__(self) -> int:
        return len(self._record.keys)


class _Chosen(Dataset):
    """Some samples of a dataset, by their numbers there."""

    def __init__(self, dataset: Dataset, numbers: Sequence[int]):
        self._dataset = dataset
        self._numbers = numbers

    def __len__(self) -> int:
        return len(self._numbers)

    def __getitem__(self, idx: int) -> Any:
        return self._dataset[self._numbers[idx]]


class _Transformed(Dataset):
    def __init__(self, dataset: Dataset, fn: Callable):
        self._dataset = dataset
        self._fn = fn

    def __len__(self) -> int:
        return len(self._dataset)

    def __getitem__(self, idx: int) -> Any:
        sample = self._dataset[idx]
        return self._fn(*sample) if isinstance(sample, tuple) else self._fn(sample)


class _OfFirst:
    """A function of the first part of a sample, the others as they are; a class, so that it can be pickled."""

    def __init__(self, fn: Callable):
        self._fn = fn

    def __call__(self, first: Any, *others: Any) -> Any:
        return (self._fn(first), *others) if others else self._fn(first)
