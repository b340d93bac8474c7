"""Which groups run on blocked buffers, and what must be converted where they meet the others."""
from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

from ..graph import Node, Value
from ..ops.blocked import Join
from ..passes.infer_types import Types
from .fuse import Group, per_channel
from .geometry import BLOCK, Geometry, Storage
from .layers import Layer


class Step(NamedTuple):
    """A group to compute, or (group is None) `reads` to convert into `writes`.

    layer: its kernel on blocked buffers, a Join, "map" for elementwise operators on them; None for the operator's own
    kernel on plain arrays.   reads: as the node's inputs, then the tails' sides.
    """

    group: Group | None
    layer: Layer | Join | str | None
    reads: tuple[Storage, ...]
    writes: tuple[Storage, ...]


class Layout(NamedTuple):
    """steps in running order.   geometry: of every storage that is not plain.   alias: storages that are another's
    memory."""

    steps: list[Step]
    geometry: dict[Storage, Geometry]
    alias: dict[Storage, Storage]


def layout(groups: Sequence[Group], layers: Mapping[int, Layer | Join | str], types: Types,
           source: Mapping[Value, Value], constants: Collection[Value], outputs: Sequence[Value]) -> Layout:
    """layers: of the groups (by number) that have a blocked form.   source: the value whose memory a value uses."""
    chosen = _choose(groups, layers, types, constants)
    build = _Build(types, source, _geometries(groups, chosen, types, constants))
    for number, group in enumerate(groups):
        if number in chosen:
            build.blocked(group, chosen[number], constants)
        else:
            for node in (group.node, *(tail.node for tail in group.tails)):
                build.plain(node)
    for value in outputs:
        build.read_plain(value)
    return Layout(build.steps, build.geometry, build.alias)


def _choose(groups: Sequence[Group], layers: Mapping[int, Layer | Join | str], types: Types,
            constants: Collection[Value]) -> dict[int, Layer | Join | str]:
    """Convolutions always; the rest where what they read is blocked already."""
    blocked: set[Value] = set()
    chosen = {}
    for number, group in enumerate(groups):
        layer = layers.get(number)
        if layer is None:
            continue
        if (isinstance(layer, Layer) and layer.packs) or all(
                v in blocked or (v in constants and per_channel(types[v].shape, types[group.output].shape))
                for v in reads_of(group, layer)):
            chosen[number] = layer
            blocked.add(group.output)
    return chosen


def reads_of(group: Group, layer: Layer | Join | str) -> tuple[Value, ...]:
    """The values that the kernel reads when it runs (parameters were packed before)."""
    inputs = group.node.inputs[:1] if isinstance(layer, Layer) else group.node.inputs
    return (*inputs, *group.sides)


def _form(layer: Layer | Join | str, is_first: bool) -> str:
    """The form in which a layer reads an input, the first or another one."""
    if not isinstance(layer, Layer) or not is_first:
        return "blocked"
    return "halved" if layer.halved else "planes" if layer.lanes == 1 else "blocked"


def _geometry(form: str, shape: Sequence[int]) -> Geometry:
    images, channels, height, width = shape
    if form == "halved":
        return Geometry(images, 4 * channels, -(-height // 2), -(-width // 2))
    return Geometry(images, channels, height, width, lanes=1 if form == "planes" else BLOCK)


def _geometries(groups: Sequence[Group], chosen: Mapping[int, Layer | Join | str], types: Types,
                constants: Collection[Value]) -> dict[Storage, Geometry]:
    """Of every blocked value: the margin holds what each of its readers needs."""
    found: dict[Storage, Geometry] = {}
    for number, layer in chosen.items():
        group = groups[number]
        for value in (*reads_of(group, layer), group.output):
            if value in constants:
                continue
            first = isinstance(layer, Layer) and value == group.node.inputs[0]
            storage = Storage(value, _form(layer, first))
            old = found.get(storage, _geometry(storage.form, types[value].shape))
            found[storage] = old._replace(margin=old.margin.joined(layer.margin)) if first else old
    return found


class _Build:
    """Steps so far, and in which storages each value is there."""

    def __init__(self, types: Types, source: Mapping[Value, Value], geometry: dict[Storage, Geometry]):
        self.steps: list[Step] = []
        self.geometry, self.alias = geometry, {}
        self._types, self._source = types, source
        self._made: set[Storage] = set()

    def plain(self, node: Node) -> None:
        reads = tuple(self.read_plain(v) for v in node.inputs)
        if not node.op.traits.reshape:
            writes = tuple(Storage(Value(node, i), "plain") for i in range(node.num_outputs))
            self._made.update(writes)
            self.steps.append(Step(Group(node), None, reads, writes))

    def blocked(self, group: Group, layer: Layer | Join | str, constants: Collection[Value]) -> None:
        reads = tuple(Storage(v, "plain") if v in constants else self._read(
            Storage(v, _form(layer, not i)))
            for i, v in enumerate(reads_of(group, layer)))
        writes = [Storage(group.output, "blocked")]
        self._made.add(writes[0])
        if isinstance(layer, Layer):
            x, y, *sides = (self.geometry[storage] for storage in (reads[0], *writes, *reads[1:]))
            layer = layer.fitted(x, y, sides[0] if sides else None)
        if isinstance(layer, Layer) and layer.scratch:
            writes.append(Storage(group.output, "scratch"))
            self.geometry[writes[1]] = Geometry(1, layer.scratch, 1, 1, lanes=1)
        self.steps.append(Step(group, layer, reads, tuple(writes)))

    def read_plain(self, value: Value) -> Storage:
        root = self._source.get(value, value)
        plain, blocked = Storage(root, "plain"), Storage(root, "blocked")
        if blocked in self._made and plain not in self._made:
            self._made.add(plain)
            if self.geometry[blocked].is_plain:
                self.alias[plain] = blocked
            else:
                self.steps.append(Step(None, None, (blocked,), (plain,)))
        return plain

    def _read(self, storage: Storage) -> Storage:
        if storage not in self._made:
            plain = self.read_plain(storage.value)
            self._made |= {storage, plain}
            self.steps.append(Step(None, None, (plain,), (storage,)))
        return storage
