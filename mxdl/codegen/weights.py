"""Parameters inside the C file: base64 text in chunks that every compiler takes (shorter than 64 kB, C99 limit of
4095 characters a literal respected), decoded once when a model is created."""
from __future__ import annotations

import base64
import zlib
from collections.abc import Iterator, Sequence

import torch

LITERAL = 4000   # characters of one string literal; a multiple of 4, so that each decodes to whole bytes
ALIGNMENT = 64


def pack(tensors: Sequence[torch.Tensor]) -> tuple[bytes, list[int]]:
    """All tensors as little-endian elements of their dtype, each at a 64-byte boundary; the bytes and the offset of
    each."""
    blob, offsets = bytearray(), []
    for tensor in tensors:
        blob += bytes(-len(blob) % ALIGNMENT)
        offsets.append(len(blob))
        array = tensor.detach().contiguous().numpy()
        blob += array.astype(array.dtype.newbyteorder("<")).tobytes()
    return bytes(blob), offsets


def runs(tensors: Sequence[torch.Tensor], offsets: Sequence[int]) -> Iterator[str]:
    """The lines {start, end, bytes of an element} of what a big-endian machine turns around."""
    joined: list[list[int]] = []
    for tensor, start in zip(tensors, offsets, strict=True):
        end, size = start + tensor.numel() * tensor.element_size(), tensor.element_size()
        if joined and joined[-1][2] == size:
            joined[-1][1] = end
        else:
            joined.append([start, end, size])
    for start, end, size in joined:
        yield f"{{{start}, {end}, {size}}},"


def checksum(blob: bytes) -> int:
    """Adler-32 (RFC 1950): what the C file computes again after decoding."""
    return zlib.adler32(blob)


def literals(blob: bytes) -> Iterator[str]:
    """The lines of a `static const char *const chunks[]` initializer."""
    text = base64.b64encode(blob).decode()
    for start in range(0, len(text), LITERAL):
        yield f'"{text[start:start + LITERAL]}",'
