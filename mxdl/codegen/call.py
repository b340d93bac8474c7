"""What an operator's `.emit_c` rule is given: C expressions for its buffers, and where to put shared functions."""
from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from string import Template
from typing import Any, NamedTuple

from ..errors import NotBuiltError
from ..ops.loops_c import MOST_LANES, elementwise_loops, vector_loops
from ..types import TensorType
from . import kernels
from .shares import parted

#: dtype -> the C type of its elements; half precision has none
C_TYPES = {"float32": "float", "float64": "double", "int8": "int8_t", "int16": "int16_t", "int32": "int32_t",
           "int64": "int64_t", "uint8": "uint8_t", "uint16": "uint16_t", "uint32": "uint32_t", "uint64": "uint64_t",
           "bool": "uint8_t"}


LOOP_OPERATIONS = 24    # of an element, where an expression has words of vectors


class Buffer(NamedTuple):
    """A C expression that points to the elements (to const ones for inputs), and the tensor's type.

    Rules that know float32 only read `pointer`; rules that know every dtype read `address` and `element`.
    """

    address: str
    type: TensorType
    where: str = "a kernel"

    @property
    def pointer(self) -> str:
        """The address of float32 elements.  Raises NotBuiltError for another dtype."""
        if self.type.dtype != "float32":
            raise NotBuiltError(f"{self.where} works on {self.type}; its C kernel knows float32 only; "
                                f"cast the model to float32")
        return self.address

    def behind(self, elements: int) -> str:
        """The address of float32 elements from number `elements` on."""
        return f"{self.pointer} + {elements}" if elements else self.pointer

    @property
    def dtype(self) -> str:
        return self.type.dtype

    @property
    def element(self) -> str:
        """The C type of an element."""
        return C_TYPES[self.type.dtype]

    @property
    def is_float(self) -> bool:
        return self.type.dtype in ("float32", "float64")

    @property
    def shape(self) -> tuple[int, ...]:
        return self.type.shape

    @property
    def size(self) -> int:
        return self.type.size


class CCall:
    """One node to emit.  inputs, outputs: Buffers.  attrs: the operator's attributes with defaults."""

    def __init__(self, where: str, inputs: Sequence[Buffer], outputs: Sequence[Buffer | None],
                 attrs: Mapping[str, Any], functions: dict[str, str], threads: int = 1):
        self.where = where
        self.inputs = [b._replace(where=where) for b in inputs]
        self.outputs = [b and b._replace(where=where) for b in outputs]
        self.attrs = attrs
        self._functions, self._threads = functions, threads
        self.shares: list[str] = []     # statements that threads may run at the same time, if any

    def function(self, name: str, text: str) -> str:
        """Put the C function `text` into the file, once however many nodes call it; returns `name`."""
        if self._functions.setdefault(name, text) != text:
            raise NotBuiltError(f"{self.where}: two different C functions are named {name!r}; rename one of them")
        return name

    def call(self, name: str, text: str, *arguments: Any) -> str:
        """The statement that calls the shared function `name` (see `function`) with C expressions or numbers."""
        return f"{self.function(name, text)}({', '.join(map(str, arguments))});"

    def kernel(self, name: str, *arguments: Any) -> str:
        """The statement that calls `name`, one of the shared kernels in mxdl/codegen/kernels."""
        kernels.file_of(name)   # a name that no file defines is our error: KeyError
        return f"{name}({', '.join(map(str, arguments))});"

    def parted(self, units: int, operations: float, make: Callable[[int, int], str]) -> str:
        """The statement make(0, units); where it pays, threads run make(first, behind the last) of parts of the range
        at the same time.   operations: of it all.   Every output element must be the same whatever the part."""
        self.shares = parted(units, self._threads, operations, make)
        return self.shares[0] if len(self.shares) == 1 else ""

    def elementwise(self, expression: str, element: str = "") -> str:
        """A loop over the output: `x`, `y` and `z` are elements of the inputs, broadcast where shapes differ.

        element: the C type in which `x`, `y` and `z` are read; their own where it is "".   The result is cast to the
        output's dtype; a truth value is 0 or 1.   An expression with words of vectors (`v_exp(x)`) is a vector loop
        where everything is float32; other dtypes take the function of one number (`own_exp(x)`).
        """
        out = self.outputs[0]
        if "v_" in expression:
            if {b.dtype for b in (*self.inputs[:3], out) if b.address != "NULL"} == {"float32"}:
                words = [(v, b) for v, b in zip("xyz", self.inputs, strict=False) if re.search(rf"\b{v}\b", expression)]
                if all(b.shape == out.shape for _, b in words):
                    return self._parted_loop(words, expression)
                return vector_loops(out.address, out.shape, [(v, b.address, b.shape) for v, b in words], expression)
            expression = expression.replace("v_", "own_")
        read = [(v, b.element, b.address, b.shape) for v, b in zip("xyz", self.inputs, strict=False)
                if re.search(rf"\b{v}\b", expression)]
        for v, own, _, _ in read:
            if element not in ("", own):
                expression = re.sub(rf"\b{v}\b", f"({element}){v}", expression)
        if out.dtype == "bool":
            expression = f"(uint8_t)(({expression}) != 0)"
        elif any(b.element != out.element for b in self.inputs[:3]) or not out.is_float:
            expression = f"({out.element})({expression})"
        return elementwise_loops((out.element, out.address), out.shape, read, expression)

    def _parted_loop(self, words: list[tuple[str, Buffer]], expression: str) -> str:
        out = self.outputs[0]

        def some(first: int, last: int) -> str:
            start, count = first * MOST_LANES, min(last * MOST_LANES, out.size) - first * MOST_LANES
            read = [(v, b.behind(start), (count,)) for v, b in words]
            return vector_loops(out.behind(start), (count,), read, expression)
        return self.parted(-(-out.size // MOST_LANES), LOOP_OPERATIONS * out.size, some)

    def refuse(self, reason: str) -> NotBuiltError:
        """The error for a case that has no C kernel yet."""
        return NotBuiltError(f"export to C: {self.where}: {reason}; "
                             f"change the model or run it with mxdl until this is built")

    @staticmethod
    def fill(template: str, **values: Any) -> str:
        """`template` with $names replaced."""
        return Template(template).substitute(values)
