"""The single-file build's kernels that read index arrays, whose elements may be of any dtype."""
from __future__ import annotations

from .c_text import c_text


def whole_index(call, indices, expression: str) -> str:
    """C of an element of `indices` as int64_t; the file gets the functions `place` and `whole_index`."""
    call.function("place", c_text("place"))
    return f"whole_index({expression})" if indices.is_float else expression


def emit_take(call, data, indices, outer: int, n: int, inner: int, wrap: bool = False) -> str:
    """out[outer, indices, inner] = data[outer, n, inner] at the indices."""
    out, name = call.outputs[0], f"take_{data.dtype}_at_{indices.dtype}"
    text = call.fill(c_text("take"), name=name, element=data.element, index=indices.element,
                     at=whole_index(call, indices, "i[k]"))
    return call.call(name, text, data.address, indices.address, out.address, outer, n, inner, indices.size, int(wrap))


def emit_pick(call, outer: int, n: int, inner: int, wrap: bool) -> str:
    """out[outer, inner] = data[outer, n, inner] at the index of each."""
    (data, index), out = call.inputs, call.outputs[0]
    at = whole_index(call, index, f"{index.address}[o * {inner} + i]")
    return (f"for (size_t o = 0; o < {outer}; ++o) for (size_t i = 0; i < {inner}; ++i) "
            f"{out.address}[o * {inner} + i] = "
            f"{data.address}[(o * {n} + (size_t)place({at}, {n}, {int(wrap)})) * {inner} + i];")
