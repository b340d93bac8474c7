"""The parameters of an exported model: one block of bytes with a header, inside the C file or beside it.

    0    8 bytes   "mxdlwts1"
    8    8 bytes   layout: which arrays lie where (of the model that the file belongs to)
    16   8 bytes   bytes of the payload
    24   8 bytes   checksum of the payload (see `checksum`)
    32   32 bytes  zero
    64   the arrays, little-endian, each at a 64-byte boundary; zero bytes up to a multiple of 64

Packed parameters may follow (see packed.py); the layout then tells by which kernels.
The layout says nothing of the values: retrained parameters of the same net may take the place of the old ones.
"""
from __future__ import annotations

import base64
import hashlib
import struct
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch

from ..errors import OperatorError

MAGIC = b"mxdlwts1"
HEADER_BYTES = 64
ALIGNMENT = 64
LITERAL = 4000   # characters of one string literal: below C99's limit of 4095, a multiple of 4 (whole bytes)
LANES = 8        # 64-bit sums that run side by side in the checksum
PLACES = ("inside", "beside", "incbin", "embed")


class Weights(NamedTuple):
    """blob: header and payload.   offsets: byte offset of each array in the payload.   layout: see above."""

    blob: bytes
    offsets: list[int]
    layout: int

    @property
    def payload_bytes(self) -> int:
        return len(self.blob) - HEADER_BYTES


def pack(tensors: Sequence[torch.Tensor], orders: Sequence[str] = ()) -> Weights:
    """All tensors in their own dtypes, one after the other.  orders: how the elements of packed ones lie, a part of the
    layout."""
    payload, offsets, described = bytearray(), [], hashlib.sha256()
    for tensor in tensors:
        offsets.append(len(payload))
        described.update(f"{tensor.dtype} {tuple(tensor.shape)} {len(payload)};".encode())
        payload += _little_endian(tensor)
        payload += bytes(-len(payload) % ALIGNMENT)
    described.update("".join(f"{order};" for order in orders).encode())
    layout = int.from_bytes(described.digest()[:8], "little")
    header = struct.pack("<8sQQQ", MAGIC, layout, len(payload), checksum(bytes(payload)))
    return Weights(header.ljust(HEADER_BYTES, b"\0") + bytes(payload), offsets, layout)


def _little_endian(tensor: torch.Tensor) -> bytes:
    flat = tensor.detach().cpu().contiguous().reshape(-1)
    array = flat.view(torch.int16).numpy() if flat.dtype is torch.bfloat16 else flat.numpy()
    return array.astype(array.dtype.newbyteorder("<"), copy=False).tobytes()


def checksum(payload: bytes) -> int:
    """Fletcher's two sums over 64-bit words in LANES lanes, modulo 2**64, mixed.   payload: a multiple of 64 bytes.

    a[l] = sum of w, b[l] = sum of (rounds left) * w, so that neither a changed bit nor an exchange goes unseen; the
    lanes have no order of their own, which lets C compilers run them as one vector at the speed of memory.
    """
    words = np.frombuffer(payload, "<u8").reshape(-1, LANES)
    rounds = np.arange(len(words), 0, -1, dtype=np.uint64)[:, None]
    a, b = words.sum(axis=0, dtype=np.uint64), (words * rounds).sum(axis=0, dtype=np.uint64)
    mixed = 0
    for lane in (*a.tolist(), *b.tolist()):
        mixed = ((mixed ^ lane) * 0x9E3779B97F4A7C15) % 2**64
        mixed ^= mixed >> 29
    return mixed


def literals(blob: bytes) -> Iterator[str]:
    """The lines of a `static const char *const chunks[]` initializer: base64 (RFC 4648)."""
    text = base64.b64encode(blob).decode()
    for start in range(0, len(text), LITERAL):
        yield f'"{text[start:start + LITERAL]}",'


def require_place(place: str) -> str:
    """`place` if it is one of PLACES.  Raises OperatorError."""
    if place not in PLACES:
        raise OperatorError(f"export to C: no such place for the weights; got {place!r}; "
                            f"use one of {', '.join(PLACES)}")
    return place
