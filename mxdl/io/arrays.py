"""Batches out of arrays."""
from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from .. import ndarray
from ..ndarray import NDArray
from .batch import DataDesc
from .iterator import DataIter

LAST = ("pad", "discard", "roll_over")


class NDArrayIter(DataIter):
    """Batches out of arrays T[N, ...].

    Args:
        data, label: an array, a list of arrays, or arrays by name.
        batch_size: samples a batch.
        shuffle: draw the order anew for each pass, from NumPy's global generator.
        last_batch_handle: a rest that fills no batch is filled up from the start ("pad"), left out ("discard"), or
            kept to begin the next pass ("roll_over").
        data_name, label_name: names where none are given.
        layout: of the data; see `DataDesc`.
    """

    def __init__(self, data: Any, label: Any = None, batch_size: int = 1, shuffle: bool = False,
                 last_batch_handle: str = "pad", data_name: str = "data", label_name: str = "softmax_label",
                 layout: str = "NCHW"):
        super().__init__(batch_size)
        if last_batch_handle not in LAST:
            raise ValueError(f"NDArrayIter: last_batch_handle is one of {', '.join(LAST)}; got {last_batch_handle!r}")
        self.data = _named(data, data_name, "data")
        self.label = _named(label, label_name, "label") if label is not None else []
        lengths = {name: array.shape[0] for name, array in self.data + self.label}
        if len(set(lengths.values())) > 1:
            raise ValueError(f"NDArrayIter: its arrays are not of one length; got {lengths}")
        self.num_data = next(iter(lengths.values()))
        self.idx = np.arange(self.num_data)
        self._order = self.idx.copy()
        self.shuffle = shuffle
        self.last_batch_handle = last_batch_handle
        self.layout = layout
        self._rest = self._order[:0]       # what "roll_over" kept of the pass before
        self.cursor = -batch_size
        self.hard_reset()

    @property
    def data_list(self) -> list[NDArray]:
        """All arrays, data first."""
        return [array for _, array in self.data + self.label]

    @property
    def num_source(self) -> int:
        """How many arrays there are."""
        return len(self.data) + len(self.label)

    @property
    def provide_data(self) -> list[DataDesc]:
        """Descriptions of the data of a batch."""
        return self._described(self.data)

    @property
    def provide_label(self) -> list[DataDesc]:
        """Descriptions of the labels of a batch."""
        return self._described(self.label)

    def _described(self, arrays: list[tuple[str, NDArray]]) -> list[DataDesc]:
        return [DataDesc(name, (self.batch_size, *array.shape[1:]), array.dtype, self.layout)
                for name, array in arrays]

    def hard_reset(self) -> None:
        """Back to the first batch; nothing is rolled over."""
        self.cursor = -self.batch_size      # as if no pass had begun
        self.reset()

    def reset(self) -> None:
        left = self.num_data - self.cursor
        rolls = self.last_batch_handle == "roll_over" and 0 < left < self.batch_size
        self._rest = self._order[self.cursor:] if rolls else self._order[:0]
        if self.shuffle:
            np.random.shuffle(self.idx)
            self._order = self._order[self.idx]     # on top of the last order: with one seed, MXNet's order
        self.cursor = -self.batch_size - len(self._rest)

    def iter_next(self) -> bool:
        self.cursor += self.batch_size
        needed = 1 if self.last_batch_handle == "pad" else self.batch_size
        return self.cursor + needed <= self.num_data

    def _chosen(self) -> np.ndarray:
        """Numbers of the samples of this batch."""
        end = self.cursor + self.batch_size
        if self.cursor < 0:
            return np.concatenate([self._rest, self._order[:end]])
        return self._order.take(range(self.cursor, end), mode="wrap")

    def _gathered(self, arrays: list[tuple[str, NDArray]]) -> list[NDArray]:
        chosen = self._chosen()
        return [ndarray.take(array, ndarray.array(chosen, ctx=array.context, dtype="int64")) for _, array in arrays]

    def getdata(self) -> list[NDArray]:
        return self._gathered(self.data)

    def getlabel(self) -> list[NDArray]:
        return self._gathered(self.label)

    def getpad(self) -> int:
        if self.cursor < 0:
            return -self.cursor
        return max(0, self.cursor + self.batch_size - self.num_data)


def _named(arrays: Any, default_name: str, what: str) -> list[tuple[str, NDArray]]:
    """(name, array) pairs; one array gets the default name, several get numbers in it."""
    if isinstance(arrays, Mapping):
        pairs = list(arrays.items())
    elif isinstance(arrays, Sequence) and not isinstance(arrays, str):
        names = [default_name] if len(arrays) == 1 else [f"_{i}_{default_name}" for i in range(len(arrays))]
        pairs = list(zip(names, arrays, strict=True))
    else:
        pairs = [(default_name, arrays)]
    if not pairs and what == "data":
        raise ValueError("NDArrayIter: needs at least one array of data")
    return [(name, _as_array(value, f"{what} {name!r}")) for name, value in pairs]


def _as_array(value: Any, what: str) -> NDArray:
    if isinstance(value, NDArray):
        return value
    if not hasattr(value, "shape"):
        raise TypeError(f"NDArrayIter: {what} must be an NDArray or a NumPy array; got {type(value).__name__}")
    return ndarray.array(np.asarray(value))
