"""Dtypes and shapes.  A dtype is written by its NumPy name ("float32"); this file holds the tables between the
names, torch's dtypes, NumPy's dtypes and the type flags in MXNet's files."""
from __future__ import annotations

from typing import NamedTuple, NewType

import numpy as np
import torch

from .errors import AttributeValueError, suggest

Shape = tuple[int, ...]
#: The type of operator attributes that hold a dtype; the value is the canonical name, or None.
DType = NewType("DType", str)


class TensorType(NamedTuple):
    """What is known of a tensor before it exists."""

    shape: Shape
    dtype: str = "float32"

    def __str__(self) -> str:
        return f"{self.dtype}[{', '.join(map(str, self.shape))}]"

    @property
    def size(self) -> int:
        n = 1
        for length in self.shape:
            n *= length
        return n

    @property
    def num_bytes(self) -> int:
        return self.size * TORCH_DTYPES[self.dtype].itemsize


TORCH_DTYPES: dict[str, torch.dtype] = {
    "float32": torch.float32, "float64": torch.float64, "float16": torch.float16, "bfloat16": torch.bfloat16,
    "uint8": torch.uint8, "int8": torch.int8, "int16": torch.int16, "int32": torch.int32, "int64": torch.int64,
    "uint16": torch.uint16, "uint32": torch.uint32, "uint64": torch.uint64, "bool": torch.bool,
}
DTYPE_NAMES: dict[torch.dtype, str] = {dtype: name for name, dtype in TORCH_DTYPES.items()}

#: MXNet's type flags, as written in .params files (mshadow/base.h).
TYPE_FLAGS: dict[str, int] = {
    "float32": 0, "float64": 1, "float16": 2, "uint8": 3, "int32": 4, "int8": 5, "int64": 6, "bool": 7,
    "int16": 8, "uint16": 9, "uint32": 10, "uint64": 11, "bfloat16": 12,
}
FLAG_DTYPES: dict[int, str] = {flag: name for name, flag in TYPE_FLAGS.items()}


def dtype_name(dtype: object) -> str:
    """The canonical name of a dtype given as name, NumPy dtype or scalar type, torch dtype or MXNet type flag."""
    if isinstance(dtype, str) and dtype in TORCH_DTYPES:
        return dtype
    if isinstance(dtype, torch.dtype) and dtype in DTYPE_NAMES:
        return DTYPE_NAMES[dtype]
    if isinstance(dtype, int) and not isinstance(dtype, bool) and dtype in FLAG_DTYPES:
        return FLAG_DTYPES[dtype]
    try:
        name = np.dtype(dtype).name  # type: ignore[call-overload]
    except TypeError:
        name = str(dtype)
    if name not in TORCH_DTYPES:
        raise AttributeValueError(
            f"dtype: unknown dtype; got {dtype!r}; use one of {', '.join(TORCH_DTYPES)}{suggest(name, TORCH_DTYPES)}")
    return name


def torch_dtype(dtype: object) -> torch.dtype:
    """torch's dtype for a dtype in any spelling."""
    return TORCH_DTYPES[dtype_name(dtype)]


def numpy_dtype(dtype: object) -> type:
    """NumPy's scalar type for a dtype in any spelling; bfloat16 has none and reads as float32."""
    name = dtype_name(dtype)
    return np.float32 if name == "bfloat16" else np.dtype(name).type
