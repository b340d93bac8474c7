"""An export plan as C text."""
from __future__ import annotations

import re
from collections.abc import Sequence

from ..errors import NotBuiltError
from ..graph import Value
from ..passes.infer_types import describe
from . import kernels, weights
from .call import C_TYPES, Buffer, CCall
from .frame import CFile, Options, Row, c_file
from .plan import ExportPlan
from .selftest import Expected

_IDENTIFIER = re.compile(r"[A-Za-z][A-Za-z0-9_]*")


def c_text(plan: ExportPlan, output_names: list[str], version: str, options: Options,
           expected: Sequence[Expected]) -> CFile:
    """The whole file.  The same plan, names, version and options give the same bytes.

    Raises NotBuiltError where a kernel lacks a case.
    """
    if not _IDENTIFIER.fullmatch(options.name):
        raise NotBuiltError(f"export to C: the model's name must be a C identifier; got {options.name!r}; "
                            f"give name='...' made of letters, digits and _")
    if len(plan.inputs) > 30:
        raise NotBuiltError(f"export to C: more than 30 inputs; got {len(plan.inputs)}; join some of them")
    packed = weights.pack(list(plan.constants.values()))
    place = _Places(plan, dict(zip(plan.constants, packed.offsets, strict=True)))
    functions: dict[str, str] = {}
    body = [_statement(node, place, functions) for node in plan.steps if not node.op.traits.reshape]
    outputs = [Row(n, plan.types[v], place.offset(v), place.is_constant(v))
               for n, v in zip(output_names, plan.outputs, strict=True)]
    return c_file(options, version, [Row(v.node.name, plan.types[v], place.offset(v)) for v in plan.inputs], outputs,
                  plan.arena_bytes, packed, kernels.section(functions, body), expected)


class _Places:
    """C expressions for the memory of values."""

    def __init__(self, plan: ExportPlan, weight_offsets: dict[Value, int]):
        self._plan, self._weights = plan, weight_offsets

    def root(self, value: Value) -> Value:
        return self._plan.source.get(value, value)

    def is_constant(self, value: Value) -> bool:
        return self.root(value) in self._weights

    def offset(self, value: Value) -> int:
        root = self.root(value)
        return self._weights[root] if root in self._weights else self._plan.offsets[root]

    def buffer(self, value: Value) -> Buffer:
        if not self.is_constant(value) and self.root(value) not in self._plan.offsets:
            return Buffer("NULL", self._plan.types[value])   # a label: its shape counts, nobody reads it
        found = self._plan.types[value]
        constant, offset, element = self.is_constant(value), self.offset(value), C_TYPES[found.dtype]
        if constant and found.dtype == "float32":
            return Buffer(f"(w + {offset // 4})", found)
        base = f"((const unsigned char *)w + {offset})" if constant else f"(a + {offset})"
        qualifier = "const " if constant else ""
        return Buffer(f"(({qualifier}{element} *)({qualifier}void *){base})", found)


def _statement(node, place: _Places, functions: dict[str, str]) -> str:
    used = [Value(node, i) for i in range(node.num_outputs)]
    call = CCall(describe(node), [place.buffer(v) for v in node.inputs], [place.buffer(v) for v in used],
                 node.op.filled(node.attrs), functions)
    return f"{{ {node.op.emit_c_rule(call)} }}"
