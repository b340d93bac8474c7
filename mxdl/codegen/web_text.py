"""Bytes as text of a script: 13 bits in two printable characters, and deflated first where that pays.

Base64 makes text of 4/3 of the bytes, this of 16/13; the file stays ASCII, so neither an editor nor a server's charset
harms it.  Floats hardly deflate as they lie, but their signs and exponents do once they lie together: all first bytes
of the numbers, then all second ones, and so on.
"""
from __future__ import annotations

import json
import zlib
from collections.abc import Iterator

import numpy as np

#: 91 characters: printable, without the quote and the backslash of a string, and without < (no end tag, no comment)
ALPHABET = "".join(chr(c) for c in range(33, 127) if chr(c) not in '"\\<')
PIECE = 13 * 2**15      # bytes of one string, a multiple of 13
#: smaller parameters stay as they are: their script then runs where there is no DecompressionStream (before 2023)
FEWEST_DEFLATED = 2**20
WIDTHS = (1, 2, 4)


def text(data: bytes) -> str:
    """Two characters for every 13 bits, the first bits first; zero bits fill up the last."""
    bits = np.unpackbits(np.frombuffer(data, np.uint8))
    bits = np.pad(bits, (0, -len(bits) % 13)).reshape(-1, 13)
    numbers = bits.astype(np.uint16) @ (1 << np.arange(12, -1, -1, dtype=np.uint16))
    letters = np.frombuffer(ALPHABET.encode(), np.uint8)
    return letters[np.stack([numbers // 91, numbers % 91], axis=-1)].tobytes().decode()


def script_literal(data: bytes) -> str:
    """What web.js.in calls packed: {bytes, width, pieces}; width 0 is not deflated, else bytes of a number."""
    width, packed = 0, data
    if len(data) >= FEWEST_DEFLATED:
        width = number_width(data)
        packed = deflated(data, width)
        if len(packed) >= len(data):
            width, packed = 0, data
    pieces = ",\n".join(json.dumps(piece) for piece in _pieces(packed))
    return f"{{bytes: {len(packed)}, width: {width}, pieces: [{pieces}]}}"


def _pieces(data: bytes) -> Iterator[str]:
    return (text(data[i:i + PIECE]) for i in range(0, len(data), PIECE))


def deflated(data: bytes, width: int) -> bytes:
    """A zlib stream of `data`, first byte of every `width` first.   data: a multiple of `width`."""
    planes = np.frombuffer(data, np.uint8).reshape(-1, width).T.tobytes()
    squeeze = zlib.compressobj(6, zlib.DEFLATED, 15, 9, zlib.Z_FILTERED)   # few repeats here: letters alone matter
    return squeeze.compress(planes) + squeeze.flush()


def number_width(data: bytes) -> int:
    """Bytes of a number, guessed: the width whose planes have the least entropy, the smaller one within 1 %."""
    array = np.frombuffer(data, np.uint8)
    bits = {w: sum(_entropy(array[k::w]) for k in range(w)) / w for w in WIDTHS if not len(data) % w}
    return min(w for w in bits if bits[w] <= 1.01 * min(bits.values()))


def _entropy(letters: np.ndarray) -> float:
    shares = np.bincount(letters, minlength=256) / max(len(letters), 1)
    return float(-(shares[shares > 0] * np.log2(shares[shares > 0])).sum())
