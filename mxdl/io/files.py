"""Batches out of files."""
from __future__ import annotations

import os
import pathlib
import warnings
from typing import Any

import numpy as np

from .. import ndarray, public_data
from ..errors import FileFormatError
from .arrays import NDArrayIter

Path = str | os.PathLike


class CSVIter(NDArrayIter):
    """Rows of a file of numbers separated by commas.

    Args:
        data_csv, label_csv: the files; without labels they are 0.
        data_shape, label_shape: what a row is; a label of shape (1,) is a number.
        round_batch: fill the last batch up from the start and begin the next pass after what was taken; otherwise
            each pass begins at the first row.
        dtype: what the numbers are read as.
    """

    def __init__(self, data_csv: Path, data_shape: tuple[int, ...], label_csv: Path | None = None,
                 label_shape: tuple[int, ...] = (1,), batch_size: int = 1, round_batch: bool = True,
                 dtype: Any = "float32", data_name: str = "data", label_name: str = "softmax_label", **ignored: Any):
        if ignored:
            warnings.warn(f"CSVIter: options without a meaning here are ignored: {', '.join(ignored)}", stacklevel=2)
        data = _read_csv(data_csv, data_shape, dtype)
        if label_csv in (None, "NULL"):
            label = np.zeros((len(data), *label_shape), data.dtype)
        else:
            label = _read_csv(label_csv, label_shape, dtype)
        if len(label) != len(data):
            raise FileFormatError(f"CSVIter: {data_csv} has {len(data)} rows, {label_csv} has {len(label)}; they must "
                                  "be as many")
        self._round_batch = round_batch
        super().__init__({data_name: ndarray.array(data, dtype=data.dtype)},
                         {label_name: ndarray.array(label[:, 0] if label_shape == (1,) else label, dtype=data.dtype)},
                         batch_size)

    def reset(self) -> None:
        taken = max(0, self.cursor - self.num_data) if self._round_batch else 0
        super().reset()
        self.cursor += taken % self.num_data

    def getindex(self) -> np.ndarray:
        return self._chosen().astype(np.uint64)


def _read_csv(path: Path, shape: tuple[int, ...], dtype: Any) -> np.ndarray:
    """The rows of a file: dtype[N, *shape]."""
    try:
        rows = np.loadtxt(path, dtype=dtype, delimiter=",", ndmin=2)
        return rows.reshape(len(rows), *shape)
    except ValueError as error:
        raise FileFormatError(f"CSVIter: {path} does not hold rows of shape {shape}: {error}") from error


class MNISTIter(NDArrayIter):
    """MNIST's files (packed or not): float32 of 0..1, [N, 1, 28, 28] or [N, 784] with `flat`.

    Args:
        image, label: the two files.
        shuffle, seed: the order is drawn once, from this seed.
        num_parts, part_index: take one of several parts of the data.
    The rest that fills no batch is left out.
    """

    def __init__(self, image: Path, label: Path, batch_size: int = 128, shuffle: bool = True, flat: bool = False,
                 seed: int = 0, silent: bool = False, num_parts: int = 1, part_index: int = 0,
                 data_name: str = "data", label_name: str = "softmax_label", **ignored: Any):
        if ignored:
            warnings.warn(f"MNISTIter: options without a meaning here are ignored: {', '.join(ignored)}", stacklevel=2)
        images, labels = (public_data.read_idx(pathlib.Path(path)) for path in (image, label))
        if len(images) != len(labels):
            raise FileFormatError(f"MNISTIter: {image} has {len(images)} images, {label} has {len(labels)} labels")
        order = np.random.default_rng(seed).permutation(len(images)) if shuffle else np.arange(len(images))
        part = np.array_split(order, num_parts)[part_index]
        pixels = images[part].reshape(len(part), -1) if flat else images[part][:, None]
        super().__init__({data_name: ndarray.array(pixels.astype(np.float32) / 256)},
                         {label_name: ndarray.array(labels[part].astype(np.float32))}, batch_size,
                         last_batch_handle="discard")
