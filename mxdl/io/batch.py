"""What an iterator gives, and its description."""
from __future__ import annotations

from collections import namedtuple
from collections.abc import Sequence
from typing import Any

import numpy as np


class DataDesc(namedtuple("DataDesc", ["name", "shape"])):
    """Name, shape, dtype and layout of an array of every batch; equal to the pair (name, shape).

    Args:
        layout: a letter for each axis; N is the batch's.
    """

    def __new__(cls, name: str, shape: Sequence[int], dtype: Any = np.float32, layout: str | None = "NCHW"):
        described = super().__new__(cls, name, tuple(shape))
        described.dtype = dtype
        described.layout = layout
        return described

    def __repr__(self) -> str:
        return f"DataDesc[{self.name},{self.shape},{self.dtype},{self.layout}]"

    def __reduce__(self):
        return DataDesc, (self.name, self.shape, self.dtype, self.layout)

    @staticmethod
    def get_batch_axis(layout: str | None) -> int:
        """The position of N in a layout; 0 without one."""
        return 0 if layout is None else layout.find("N")

    @staticmethod
    def get_list(shapes: Sequence[tuple], types: Sequence[tuple] | None) -> list[DataDesc]:
        """Descriptions from (name, shape) pairs and (name, dtype) pairs."""
        dtypes = dict(types or ())
        return [DataDesc(name, shape, dtypes[name]) if dtypes else DataDesc(name, shape) for name, shape in shapes]


class DataBatch:
    """A batch.

    Args:
        data, label: lists of NDArrays.
        pad: how many samples at the end only fill the batch up.
        index: numbers of the samples, where the iterator knows them.
        bucket_key: which of several graphs the batch is for.
        provide_data, provide_label: descriptions, where they differ from the iterator's.
    """

    def __init__(self, data: list, label: list | None = None, pad: int | None = None, index: Any = None,
                 bucket_key: Any = None, provide_data: list[DataDesc] | None = None,
                 provide_label: list[DataDesc] | None = None):
        for what, arrays in (("data", data), ("label", label)):
            if arrays is not None and not isinstance(arrays, (list, tuple)):
                raise TypeError(f"DataBatch: {what} must be a list of arrays; got {type(arrays).__name__}")
        self.data = data
        self.label = label
        self.pad = pad
        self.index = index
        self.bucket_key = bucket_key
        self.provide_data = provide_data
        self.provide_label = provide_label

    def __str__(self) -> str:
        labels = [array.shape for array in self.label] if self.label else None
        return f"{type(self).__name__}: data shapes: {[array.shape for array in self.data]} label shapes: {labels}"
