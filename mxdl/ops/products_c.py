"""The single-file build's kernel of products of matrices, whatever their layout."""
from __future__ import annotations

from typing import NamedTuple

from .c_text import c_text

#: the longest inner axis for which columns of activations are turned on the stack (panels.c.in)
TURNED_DEPTH = 128


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
    kernel = ""
    if left.column == 1 and right.column == 1:
        kernel, step, extent = "gemm_nn", right.row, (m, n, k, f"{float(scale)!r}f")
    elif left.column == 1 and right.row == 1 and k <= TURNED_DEPTH:
        kernel, step, extent = "gemm_turned", right.column, (m, n, k, f"{float(scale)!r}f")
    if kernel:
        places = [f"{one.pointer} + g * {one.next}" for one in (left, right, out)]
        product = call.kernel(kernel, places[0], left.row, places[1], step, places[2], out.row, *extent)
        return call.parted(batch, 2 * batch * m * k * n,
                           lambda first, last: f"for (ptrdiff_t g = {first}; g < {last}; ++g) {product}")
    return call.call("matrix_products", c_text("matrix"), left.pointer, right.pointer, out.pointer, batch, m, k, n,
                     *left[1:], *right[1:], out.next, out.row, f"{float(scale)!r}f")
