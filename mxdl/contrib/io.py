"""A gluon DataLoader for code that takes iterators (Module)."""
from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from ..gluon.data import DataLoader
from ..io import DataDesc, DataIter
from ..ndarray import NDArray, array, concat, zeros


class DataLoaderIter(DataIter):
    """An iterator over `loader`, whose batches are (data, label) pairs.  A last batch that is smaller is filled up with
    zeros, and `getpad` tells by how many samples."""

    def __init__(self, loader: DataLoader, data_name: str = "data", label_name: str = "softmax_label",
                 dtype: str = "float32"):
        self._loader, self._dtype = loader, dtype
        self._batches: Iterator = iter(loader)
        self._current: tuple | None = None
        data, label = self._pair(next(iter(loader)))
        super().__init__(data.shape[0])
        self.provide_data = [DataDesc(data_name, data.shape, dtype)]
        self.provide_label = [DataDesc(label_name, label.shape, dtype)]

    def reset(self) -> None:
        self._batches = iter(self._loader)

    def iter_next(self) -> bool:
        batch: Any = next(self._batches, None)
        self._current = None if batch is None else self._pair(batch)
        return self._current is not None

    def getdata(self) -> list[NDArray]:
        return [self._filled(self._of_batch(0))]

    def getlabel(self) -> list[NDArray]:
        return [self._filled(self._of_batch(1))]

    def getpad(self) -> int:
        return self.batch_size - self._of_batch(0).shape[0]

    def _of_batch(self, which: int) -> NDArray:
        if self._current is None:
            raise RuntimeError("DataLoaderIter: there is no batch; call next() first")
        return self._current[which]

    def _filled(self, x: NDArray) -> NDArray:
        missing = self.batch_size - x.shape[0]
        return concat(x, zeros((missing, *x.shape[1:]), dtype=self._dtype), dim=0) if missing else x

    def _pair(self, batch: Any) -> tuple[NDArray, NDArray]:
        data, label = batch
        return self._array(data), self._array(label)

    def _array(self, x: Any) -> NDArray:
        return x.astype(self._dtype) if isinstance(x, NDArray) else array(np.asarray(x), dtype=self._dtype)
