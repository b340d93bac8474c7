"""The single-file build's kernel of products of matrices, whatever their layout."""
from __future__ import annotations

from typing import NamedTuple

from .c_text import c_text


class Matrices(NamedTuple):
    """Matrices in memory: a C pointer; strides from one to the next, from row to row, from column to column."""

    pointer: str
    next: int
    row: int
    column: int

    @property
    def turned(self) -> Matrices:
        return self._replace(row=self.column, column=self.row)


def packed(pointer: str, rows: int, columns: int) -> Matrices:
    """Matrices one after the other, each row by row."""
    return Matrices(pointer, rows * columns, columns, 1)


def emit_products(call, left: Matrices, right: Matrices, out: Matrices, batch: int, m: int, k: int, n: int,
                  scale: float = 1.0) -> str:
    """The statement out[m, n] = scale * left[m, k] @ right[k, n] for each of `batch` matrices."""
    return call.call("matrix_products", c_text("matrix"), left.pointer, right.pointer, out.pointer, batch, m, k, n,
                     *left[1:], *right[1:], out.next, out.row, f"{float(scale)!r}f")
