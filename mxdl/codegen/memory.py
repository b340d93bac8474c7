"""When each storage of a plan is alive, and so where in the arena it lies."""
from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from ..graph import Value
from ..passes.infer_types import Types
from .arena import Interval, place
from .geometry import Storage
from .layout import Layout


def place_storages(placed: Layout, inputs: Sequence[Value], outputs: Sequence[Value], constants: Collection[Value],
                   source: Mapping[Value, Value], types: Types) -> tuple[dict[Storage, int], int]:
    """Byte offsets in the arena, and its size.  Inputs keep their place (a caller sets them once for many calls)."""
    last_step = len(placed.steps)
    first = {Storage(v, "plain"): -1 for v in inputs}
    last = dict.fromkeys(first, last_step)

    def touch(storage: Storage, position: int) -> None:
        storage = placed.alias.get(storage, storage)
        if storage.form != "plain" or storage.value not in constants:
            first.setdefault(storage, position)
            last[storage] = max(last.get(storage, position), position)
    for position, step in enumerate(placed.steps):
        for storage in step.writes:
            touch(storage, position)
        for storage in step.reads:
            if placed.alias.get(storage, storage) in first:
                touch(storage, position)
    for value in outputs:
        root = source.get(value, value)
        if root not in constants:
            touch(Storage(root, "plain"), last_step)
    names = {storage: f"{i:06d}" for i, storage in enumerate(first)}
    sizes = {s: placed.geometry[s].num_bytes if s in placed.geometry else types[s.value].num_bytes for s in first}
    offsets, total = place({names[s]: Interval(first[s], last[s], sizes[s]) for s in first})
    return {s: offsets[names[s]] for s in first}, total
