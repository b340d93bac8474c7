"""Which server holds which part of which key: every worker computes the same answer by itself."""
from __future__ import annotations

import math
import zlib
from typing import NamedTuple

from torch import Tensor

from .keys import Key


class Piece(NamedTuple):
    """Part of an array on one server: rows (or, of arrays with few rows, elements) `start` to `stop`."""

    server: int
    start: int
    stop: int


class Layout(NamedTuple):
    """How one key lies on the servers.  by_rows: pieces are rows of the array, else elements of the flat array."""

    shape: tuple[int, ...]
    by_rows: bool
    pieces: tuple[Piece, ...]

    def cut(self, value: Tensor) -> list[Tensor]:
        """The pieces of an array of this shape, as views where it is contiguous."""
        rows = value if self.by_rows else value.reshape(-1)
        return [rows[piece.start:piece.stop] for piece in self.pieces]


def layout(key: Key, shape: tuple[int, ...], num_servers: int, bigarray_bound: int) -> Layout:
    """A small array lies on one server, chosen by its key; one of `bigarray_bound` elements or more on all of them."""
    by_rows = len(shape) > 0 and shape[0] >= num_servers
    length = shape[0] if by_rows else math.prod(shape)
    if num_servers == 1 or math.prod(shape) < bigarray_bound:
        return Layout(shape, by_rows, (Piece(home(key, num_servers), 0, length),))
    bounds = [length * server // num_servers for server in range(num_servers + 1)]
    return Layout(shape, by_rows, tuple(Piece(server, bounds[server], bounds[server + 1])
                                        for server in range(num_servers)))


def home(key: Key, num_servers: int) -> int:
    """The server of a small array: numbered keys in turn, named ones by a checksum (equal in every process)."""
    return (key if isinstance(key, int) else zlib.crc32(key.encode())) % num_servers
