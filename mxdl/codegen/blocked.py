"""C statements of steps on blocked buffers."""
from __future__ import annotations

import math
import re
from collections.abc import Collection
from typing import Protocol

from ..graph import Value
from ..ops.blocked import Join
from ..passes.infer_types import Types
from . import shares
from .fuse import Group, Tail, vector_of
from .geometry import BLOCK, Geometry, Storage
from .layers import Layer, Pack
from .layout import Step

_MAP_OPERATIONS = 8     # of an element that is read and written: memory is what it waits for
_SIGNATURE = "(const float *x, const float *w, const float *b, float *y, const float *r, float *s)"


class Sections(Protocol):
    """What statements are written with (see emit.py)."""

    threads: int
    types: Types
    constants: Collection[Value]

    def float_pointer(self, storage: Storage) -> str:
        """The C expression of a storage's first float."""

    def geometry(self, storage: Storage) -> Geometry:
        """Of a storage that is not plain."""

    def pack_pointer(self, pack: Pack) -> str:
        """The C expression of packed parameters."""

    def instance(self, kernel: str, definition: str) -> str:
        """The name of the function whose text after its name is `definition`, made once."""

    def post(self, expression: str) -> int:
        """The number under which post_ computes `expression` of the vectors x and r."""


def statements(step: Step, c: Sections) -> list[str]:
    """The C statements of a step that has a layer or converts: one for each share of its work, see shares.py."""
    if step.group is None:
        return [_convert(step, c)]
    clear = _clear(step.writes[0], c)
    if isinstance(step.layer, Layer):
        first, *others = _layer(step, step.layer, step.group, c)
        return [clear + first, *others]
    if isinstance(step.layer, Join):
        return [clear + _join(step, c)]
    first, *others = _map(step, step.group, c)
    return [clear + first, *others]


def tail_expression(group: Group, side: str = "r") -> str:
    """What follows the group's node, as one C expression of the vector x; full-sized sides are the vector `side`."""
    text = "x"
    for tail in group.tails:
        text = _apply(tail, text, side)
    return text


def _apply(tail: Tail, chain: str, side: str) -> str:
    return _substituted(vector_of(tail.node), (f"({chain})", side) if tail.chain == 0 else (side, f"({chain})"))


def _substituted(expression: str | None, operands: tuple[str, ...]) -> str:
    """`expression` of x and y, each replaced by its operand (a parenthesized expression or a name)."""
    assert expression is not None
    names = dict(zip("xy", operands, strict=False))
    return "".join(names.get(word, word) for word in re.findall(r"\w+|\W", expression))


def first_pixel(storage: Storage, c: Sections) -> str:
    origin = c.geometry(storage).origin
    return f"{c.float_pointer(storage)} + {origin}" if origin else c.float_pointer(storage)


def _clear(storage: Storage, c: Sections) -> str:
    """Zeros in the margin; the arena's memory was something else's before."""
    g = c.geometry(storage)
    if not any(g.margin):
        return ""
    return (f"zero_margin({c.float_pointer(storage)}, {g.images * g.blocks}, {g.lanes}, {g.margin.top}, "
            f"{g.margin.left}, {g.height}, {g.width}, {g.margin.bottom}, {g.margin.right}); ")


def _images(count: int, call: str, steps: dict[str, int]) -> str:
    """The call for each image of a batch: `call` has the names of `steps`, whose pointers advance by so many floats."""
    if count == 1:
        return call.format(**dict.fromkeys(steps, ""))
    each = call.format(**{name: f" + n * {step}" for name, step in steps.items()})
    return f"for (ptrdiff_t n = 0; n < {count}; ++n) {{ {each} }}"


def _layer(step: Step, layer: Layer, group: Group, c: Sections) -> list[str]:
    x, y = c.geometry(step.reads[0]), c.geometry(step.writes[0])
    side = c.geometry(step.reads[1]) if len(step.reads) > 1 else None
    groups = getattr(layer.form, "groups", 1) if layer.kernel == "conv_direct" else 1
    if groups == 1:
        return [_call(step, share, group, c) for share in shares.of_layer(layer, x, y, side, c.threads)]
    steps = _group_steps(layer, groups, x, y, side)

    def some(first: int, last: int) -> str:
        return " ".join(_call(step, shares.Share(layer, **{k: g * v for k, v in steps.items()}), group, c)
                        for g in range(first, last))
    return shares.parted(groups, c.threads, shares.operations(layer), some)


def _call(step: Step, share: shares.Share, group: Group, c: Sections) -> str:
    """The call of a share of a layer, for each image of a batch."""
    layer, (x, y) = share.layer, (c.geometry(step.reads[0]), c.geometry(step.writes[0]))
    sided = len(step.reads) > 1
    side = c.geometry(step.reads[1]) if sided else None
    body = f"{layer.kernel}({layer.arguments(x, y, side, c.post(tail_expression(group)), c.instance)});"
    unused = " ".join(f"(void){name};" for name in "wbrs")
    name = c.instance(layer.kernel, f"{_SIGNATURE} {{\n    {unused}\n    {body}\n}}")
    packs = [c.pack_pointer(pack) for pack in layer.packs] or ["NULL", "NULL"]
    scratch = c.float_pointer(step.writes[1]) if layer.scratch else "NULL"
    shift = {k: f" + {v}" if v else "" for k, v in share._asdict().items() if k != "layer"}
    right = f"{first_pixel(step.reads[1], c)}{{r}}{shift['r']}" if sided else "NULL"
    call = (f"{name}({first_pixel(step.reads[0], c)}{{x}}{shift['x']}, {packs[0]}{shift['w']}, {packs[1]}{shift['b']}, "
            f"{first_pixel(step.writes[0], c)}{{y}}{shift['y']}, {right}, {scratch}{shift['s']});")
    return _images(layer.images, call, {"x": x.image, "y": y.image, "r": side.image if side else 0})


def _group_steps(layer: Layer, groups: int, x: Geometry, y: Geometry, side: Geometry | None) -> dict[str, int]:
    """Floats from one group of channels to the next, in each of a layer's pointers."""
    filters = layer.shapes.filters // groups
    return {"x": x.blocks // groups * x.block, "y": y.blocks // groups * y.block, "b": filters,
            "r": side.blocks // groups * side.block if side else 0,
            "w": layer.packs[0].floats // groups if layer.packs else 0}


def _join(step: Step, c: Sections) -> str:
    y, first, calls = c.geometry(step.writes[0]), 0, []
    for read in step.reads:
        x = c.geometry(read)
        call = (f"join_channels({first_pixel(read, c)}{{x}}, {x.block}, {x.row}, "
                f"{first_pixel(step.writes[0], c)}{{y}}, {y.block}, {y.row}, {x.channels}, {first}, {x.height}, "
                f"{x.width});")
        calls.append(_images(x.images, call, {"x": x.image, "y": y.image}))
        first += x.channels
    return " ".join(calls)


def _map(step: Step, group: Group, c: Sections) -> list[str]:
    """A loop over every vector of the output: operand i is the vector v<i>."""
    y = c.geometry(step.writes[0])
    loads = [f"const vf v{i} = {_operand(read, y, c)};" for i, read in enumerate(step.reads)]
    count = len(group.node.inputs)
    text = _substituted(vector_of(group.node), tuple(f"v{i}" for i in range(count)))
    for tail in group.tails:
        text = _apply(tail, text, f"v{count}")
        count += tail.side is not None

    def some(first: int, last: int) -> str:
        return (f"for (ptrdiff_t n = 0; n < {y.images}; ++n) "
                f"for (ptrdiff_t v = {first * BLOCK}; v < {min(last * BLOCK, y.channels)}; v += VW) "
                f"for (ptrdiff_t i = 0; i < {y.height}; ++i) for (ptrdiff_t j = 0; j < {y.width}; ++j) {{ "
                f"{' '.join(loads)} v_store({first_pixel(step.writes[0], c)} + {_index(y)}, {text}); }}")
    elements = y.images * y.channels * y.height * y.width
    return shares.parted(y.blocks, c.threads, _MAP_OPERATIONS * elements, some)


def _index(g: Geometry) -> str:
    """Of the vector at image n, channel v, row i, column j; a single row or column serves all."""
    parts = [f"n * {g.image}" if g.images > 1 else "", f"v / BLOCK * {g.block} + v % BLOCK",
             f"i * {g.row}" if g.height > 1 else "", f"j * {g.lanes}" if g.width > 1 else ""]
    return " + ".join(filter(None, parts))


def _operand(read: Storage, y: Geometry, c: Sections) -> str:
    if read.value in c.constants:
        pack = Pack("pack_bias", read.value, (y.channels,), y.blocks * y.lanes)
        return f"v_load({c.pack_pointer(pack)} + v)"
    return f"v_load({first_pixel(read, c)} + {_index(c.geometry(read))})"


def _convert(step: Step, c: Sections) -> str:
    (read,), (write,) = step.reads, step.writes
    if write.form == "plain":
        g = c.geometry(read)
        call = (f"from_blocked({first_pixel(read, c)}{{x}}, {g.block}, {g.row}, "
                f"{c.float_pointer(write)}{{y}}, {g.channels}, {g.height}, {g.width});")
        return _images(g.images, call, {"x": g.image, "y": g.channels * g.height * g.width})
    g, (_, *shape) = c.geometry(write), c.types[write.value].shape
    call = (f"to_{write.form}({c.float_pointer(read)}{{x}}, {first_pixel(write, c)}{{y}}, {g.block}, "
            f"{g.row}, {', '.join(map(str, shape))});")
    return _clear(write, c) + _images(g.images, call, {"x": math.prod(shape), "y": g.image})
