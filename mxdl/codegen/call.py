"""What an operator's `.emit_c` rule is given: C expressions for its buffers, and where to put shared functions."""
from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from string import Template
from typing import Any, NamedTuple

from ..errors import NotBuiltError
from ..types import TensorType


class Buffer(NamedTuple):
    """A C expression of type `const float *` (or `float *` for outputs) and the tensor's type."""

    pointer: str
    type: TensorType

    @property
    def shape(self) -> tuple[int, ...]:
        return self.type.shape

    @property
    def size(self) -> int:
        return self.type.size


class CCall:
    """One node to emit.  inputs, outputs: Buffers.  attrs: the operator's attributes with defaults."""

    def __init__(self, where: str, inputs: Sequence[Buffer], outputs: Sequence[Buffer | None],
                 attrs: Mapping[str, Any], functions: dict[str, str]):
        self.where = where
        self.inputs = inputs
        self.outputs = outputs
        self.attrs = attrs
        self._functions = functions

    def function(self, name: str, text: str) -> str:
        """Put the C function `text` into the file, once however many nodes call it; returns `name`."""
        if self._functions.setdefault(name, text) != text:
            raise NotBuiltError(f"{self.where}: two different C functions are named {name!r}; rename one of them")
        return name

    def call(self, name: str, text: str, *arguments: Any) -> str:
        """The statement that calls the shared function `name` (see `function`) with C expressions or numbers."""
        return f"{self.function(name, text)}({', '.join(map(str, arguments))});"

    def elementwise(self, expression: str) -> str:
        """A loop over the output: `x` is the first input's element, `y` the second's (broadcast where sizes differ)."""
        out = self.outputs[0]
        read = [b for b in self.inputs if b.pointer != "NULL"]
        names = "xy"[:len(read)]
        loads = "".join(f" const float {v} = {b.pointer}[{_index(b.shape, out.shape)}];"
                        for v, b in zip(names, read, strict=True) if re.search(rf"\b{v}\b", expression))
        return f"for (size_t i = 0; i < {out.size}; ++i) {{{loads} {out.pointer}[i] = {expression}; }}"

    def refuse(self, reason: str) -> NotBuiltError:
        """The error for a case that has no C kernel yet."""
        return NotBuiltError(f"export to C: {self.where}: {reason}; "
                             f"change the model or run it with mxdl until this is built")

    @staticmethod
    def fill(template: str, **values: Any) -> str:
        """`template` with $names replaced."""
        return Template(template).substitute(values)


def _index(shape: Sequence[int], out: Sequence[int]) -> str:
    """C index into an array of `shape` broadcast to `out`, from the flat index i of the output."""
    if tuple(shape) == tuple(out):
        return "i"
    terms, out_stride, stride = [], 1, 1
    padded = (1,) * (len(out) - len(shape)) + tuple(shape)
    for length, wide in zip(reversed(padded), reversed(out), strict=True):
        if length != 1:
            terms.append(f"i / {out_stride} % {wide} * {stride}")
        out_stride *= wide
        stride *= length
    return " + ".join(reversed(terms)) or "0"
