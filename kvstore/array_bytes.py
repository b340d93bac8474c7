"""Arrays as raw bytes: how the payload of a frame is laid out.

A payload is the arrays of its head one after the other, row-major, little-endian as the machine has them; each begins
at a multiple of 8 bytes, the gap is zeros.
"""
from __future__ import annotations

import math
import sys
from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

from .errors import FrameError, KVStoreError

if sys.byteorder != "little":
    raise KVStoreError(f"kvstore: arrays travel little-endian; got a {sys.byteorder}-endian machine: not built")

ALIGNMENT = 8
DTYPES = {str(dtype).removeprefix("torch."): dtype for dtype in (
    torch.float32, torch.float64, torch.float16, torch.bfloat16, torch.uint8, torch.int8, torch.int32, torch.int64,
    torch.bool)}
_GAP = memoryview(bytes(ALIGNMENT))
MAX_DIMENSIONS = 32


def dtype_name(dtype: torch.dtype) -> str:
    """Its name on the wire.  Raises KVStoreError where it has none."""
    name = str(dtype).removeprefix("torch.")
    if name not in DTYPES:
        raise KVStoreError(f"kvstore: arrays of {', '.join(DTYPES)} can travel; got {name}")
    return name


def dtype_of(name: object) -> torch.dtype:
    """Raises FrameError for an unknown name."""
    if not isinstance(name, str) or name not in DTYPES:
        raise FrameError(f"no dtype is called {name!r:.40}")
    return DTYPES[name]


def shape_of(lengths: object) -> tuple[int, ...]:
    """A shape that came by the wire.  Raises FrameError."""
    whole = isinstance(lengths, list) and len(lengths) <= MAX_DIMENSIONS and all(
        isinstance(one, int) and not isinstance(one, bool) and 0 <= one < 1 << 48 for one in lengths)
    if not whole:
        raise FrameError(f"not a shape: {lengths!r:.80}")
    return tuple(lengths)  # type: ignore[arg-type]


def padded_bytes(shape: Sequence[int], dtype: torch.dtype) -> int:
    """Bytes that an array takes in a payload, with the gap behind it."""
    return -(-math.prod(shape) * dtype.itemsize // ALIGNMENT) * ALIGNMENT


def view_bytes(tensor: Tensor) -> memoryview:
    """The memory of a contiguous CPU tensor, shared."""
    return memoryview(tensor.detach().reshape(-1).view(torch.uint8).numpy()) if tensor.numel() \
        else memoryview(bytearray())


def parts(tensors: Iterable[Tensor]) -> tuple[list[memoryview], int]:
    """The pieces of memory that make up a payload (gaps included), uncopied where contiguous, and their bytes."""
    found, total = [], 0
    for tensor in tensors:
        memory = view_bytes(tensor.contiguous())
        found.append(memory)
        gap = -len(memory) % ALIGNMENT
        if gap:
            found.append(_GAP[:gap])
        total += len(memory) + gap
    return found, total


def cut(payload: Tensor, kinds: Iterable[tuple[Sequence[int], torch.dtype]]) -> list[Tensor]:
    """The arrays of a payload (uint8[n]) as views, by their shapes and dtypes.  Raises FrameError."""
    found, place = [], 0
    for shape, dtype in kinds:
        size = math.prod(shape) * dtype.itemsize
        if place + size > payload.numel():
            raise FrameError("the payload is shorter than its arrays")
        found.append(payload[place:place + size].view(dtype).view(tuple(shape)))
        place += padded_bytes(shape, dtype)
    if place != payload.numel():
        raise FrameError(f"the payload has {payload.numel()} bytes; its arrays have {place}")
    return found
