"""An export plan as C text."""
from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Sequence

from ..errors import NotBuiltError
from ..graph import Value
from ..ops.loops_c import elementwise_loops
from ..passes.infer_types import describe
from . import blocked, kernels, packed, shares, weights
from .call import C_TYPES, Buffer, CCall
from .frame import CFile, Options, Row, c_file
from .geometry import BLOCK, Geometry, Storage
from .layers import Pack
from .layout import Step
from .plan import ExportPlan
from .selftest import Expected

_IDENTIFIER = re.compile(r"[A-Za-z][A-Za-z0-9_]*")


def c_text(plan: ExportPlan, output_names: list[str], version: str, options: Options,
           expected: Sequence[Expected],
           around: Callable[[Step, list[str]], list[str]] = lambda step, statements: statements) -> CFile:
    """The whole file.  The same plan, names, version and options give the same bytes.   around: what becomes of a
    step's statements.

    Raises NotBuiltError where a kernel lacks a case.
    """
    if not _IDENTIFIER.fullmatch(options.name):
        raise NotBuiltError(f"export to C: the model's name must be a C identifier; got {options.name!r}; "
                            f"give name='...' made of letters, digits and _")
    if len(plan.inputs) > 30:
        raise NotBuiltError(f"export to C: more than 30 inputs; got {len(plan.inputs)}; join some of them")
    constants, unread = packed.kept_last(plan) if options.packed else (plan.constants, 0)
    parts = {value: plan.reduced[value].parts if value in plan.reduced else [tensor]
             for value, tensor in constants.items()}
    plain = [part for group in parts.values() for part in group]
    stored = weights.pack(plain)
    offsets = iter(stored.offsets)
    place = _Places(plan, {value: [next(offsets) for _ in group] for value, group in parts.items()}, options.packed)
    steps = [around(step, _plain(step, place) if step.layer is None and step.group is not None
                    else blocked.statements(step, place)) for step in plan.layout.steps]
    prepare = place.prepare()
    outputs = [Row(n, plan.types[v], place.offset(v), place.is_constant(v))
               for n, v in zip(output_names, plan.outputs, strict=True)]
    section = kernels.section(place.functions, place.posts, place.instances, prepare, shares.walk(steps, plan.threads),
                               plan.threads, options.packed)
    read_from = [*stored.offsets, stored.payload_bytes][unread]
    if options.packed:      # whatever changes how they are packed changes the number of the layout
        stored = weights.pack(plain, [hashlib.sha256(section.encode()).hexdigest()])
    return c_file(options, version, [Row(v.node.name, plan.types[v], place.offset(v)) for v in plan.inputs], outputs,
                  plan.arena_bytes, place.packed_bytes, stored, section, expected, read_from)


class _Places:
    """C expressions for the memory of values, and the functions that the forward pass calls."""

    def __init__(self, plan: ExportPlan, weight_offsets: dict[Value, list[int]], packed: bool):
        """packed: whether packed parameters may lie elsewhere than in the handle's memory."""
        self._plan, self._weights, self._packed = plan, weight_offsets, packed
        self._packs = dict(plan.packed)
        self._packed_floats = plan.packed_floats
        self._restored: dict[Value, int] = {}
        for value, one in plan.reduced.items():
            self._restored[value] = self._packed_floats
            self._packed_floats += -(-one.stored.numel() // BLOCK) * BLOCK
        self.types, self.constants, self.threads = plan.types, plan.constants, plan.threads
        self.functions: dict[str, str] = {}
        self.posts: dict[str, int] = {"x": 0}
        self.instances: dict[str, str] = {}     # text after the name -> name

    # -- memory -----------------------------------------------------------------------------------------------
    def root(self, value: Value) -> Value:
        return self._plan.source.get(value, value)

    def is_constant(self, value: Value) -> bool:
        return self.root(value) in self._weights

    def offset(self, value: Value) -> int:
        root = self.root(value)
        return self._weights[root][0] if root in self._weights else self._offset(Storage(root, "plain"))

    def _offset(self, storage: Storage) -> int:
        return self._plan.offsets[self._plan.layout.alias.get(storage, storage)]

    def _is_placed(self, value: Value) -> bool:
        storage = Storage(self.root(value), "plain")
        return self._plan.layout.alias.get(storage, storage) in self._plan.offsets

    def buffer(self, value: Value) -> Buffer:
        if not self.is_constant(value) and not self._is_placed(value):
            return Buffer("NULL", self._plan.types[value])   # a label: its shape counts, nobody reads it
        found = self._plan.types[value]
        if self.root(value) in self._restored:
            return Buffer(self._made(self._restored[self.root(value)]), found)
        constant, offset, element = self.is_constant(value), self.offset(value), C_TYPES[found.dtype]
        if constant and found.dtype == "float32":
            return Buffer(f"(w + {offset // 4})", found)
        base = f"((const unsigned char *)w + {offset})" if constant else f"(a + {offset})"
        qualifier = "const " if constant else ""
        return Buffer(f"(({qualifier}{element} *)({qualifier}void *){base})", found)

    def float_pointer(self, storage: Storage) -> str:
        if storage.form == "plain":
            return self.buffer(storage.value).pointer
        return f"(float *)(void *)(a + {self._offset(storage)})"

    def geometry(self, storage: Storage) -> Geometry:
        return self._plan.layout.geometry[storage]

    # -- parameters made at create ----------------------------------------------------------------------------
    @property
    def packed_bytes(self) -> int:
        """What a handle takes for them."""
        return self._packed_floats * 4

    def pack_pointer(self, pack: Pack) -> str:
        if pack not in self._packs:
            self._packs[pack] = self._packed_floats
            self._packed_floats += -(-pack.floats // BLOCK) * BLOCK
        return f"(q + {self._packs[pack]})" if self._packed else self._made(self._packs[pack])

    def _made(self, floats: int) -> str:
        return f"((float *)(void *)(a + {self._plan.arena_bytes + 4 * floats}))"

    def _restore(self, value: Value) -> str:
        """The statement that makes float32 of a parameter that is stored in fewer bits."""
        one, places = self._plan.reduced[value], self._weights[value]
        element = "int8_t" if one.scale is not None else "uint16_t"
        read = [("x", element, f"((const {element} *)(const void *)((const unsigned char *)w + {places[0]}))",
                 one.stored.shape)]
        expression = f"own_from_{str(one.stored.dtype).removeprefix('torch.')}(x)"
        if one.scale is not None:
            read.append(("y", "float", f"(w + {places[1] // 4})", one.scale.shape))
            expression = "(float)x * y"
        loops = elementwise_loops(("float", self._made(self._restored[value])), one.stored.shape, read, expression)
        return f"{{ {loops} }}"

    def prepare(self) -> list[str]:
        """The statements that make the parameters that are not stored as the kernels read them."""
        return [*map(self._restore, self._restored), *self._pack_all()]

    def _pack_all(self) -> list[str]:
        return [f"{p.function}({self.buffer(p.source).pointer if p.source else 'NULL'}, "
                f"{self._made(floats)}, {', '.join(map(str, p.sizes))});" for p, floats in self._packs.items()]

    # -- functions --------------------------------------------------------------------------------------------
    def instance(self, kernel: str, definition: str) -> str:
        return self.instances.setdefault(definition, f"{kernel}_{len(self.instances)}")

    def post(self, expression: str) -> int:
        return self.posts.setdefault(expression, len(self.posts))


def _plain(step: Step, place: _Places) -> list[str]:
    node = step.group.node
    used = [Value(node, i) for i in range(node.num_outputs)]
    call = CCall(describe(node), [place.buffer(v) for v in node.inputs], [place.buffer(v) for v in used],
                 node.op.filled(node.attrs), place.functions, place.threads)
    whole = node.op.emit_c_rule(call)
    return [f"{{ {statement} }}" for statement in call.shares or [whole]]
