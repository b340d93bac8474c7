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
    """All tensors as little-endian float32, each at a 64-byte boundary; the bytes and the offset of each."""
    blob, offsets = bytearray(), []
    for tensor in tensors:
        blob += bytes(-len(blob) % ALIGNMENT)
        offsets.append(len(blob))
        blob += tensor.detach().contiguous().to(torch.float32).numpy().astype("<f4").tobytes()
    return bytes(blob), offsets


def checksum(blob: bytes) -> int:
    """Adler-32 (RFC 1950): what the C file computes again after decoding."""
    return zlib.adler32(blob)


def literals(blob: bytes) -> Iterator[str]:
    """The lines of a `static const char *const chunks[]` initializer."""
    text = base64.b64encode(blob).decode()
    for start in range(0, len(text), LITERAL):
        yield f'"{text[start:start + LITERAL]}",'
