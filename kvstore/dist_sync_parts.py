"""Updates of which every machine makes a share of each array: gradients of a machine's stripes come to its leader,
which updates them, and their weights go to all, piece by piece, as sums do.

For optimizers that say that an element's update needs nothing of other elements, and leaders that talk over sockets.
Such an optimizer has ``is_elementwise`` and what else `mxdl.optimizer.Updater` has for parts.
"""
from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from .collective import Machine
from .collective_group import Meeting
from .collective_rows import gathered
from .dist_sync_tasks import Work, flat
from .keys import Key
from .stripes import Stripe, Stripes
from .values import as_kind


class Parts:
    """values, kinds: of keys, the store's.   updater: the one that the store runs now.

    are_allowed: whether states may lie in parts at all.
    cut: the keys whose states lie in parts; equal in every worker at the same round.
    """

    def __init__(self, meeting: Meeting, values: dict[Key, Tensor], kinds: dict[Key, type | None],
                 updater: Callable[[], Any]):
        self._meeting, self._values, self._kinds, self._updater = meeting, values, kinds, updater
        machine = meeting.machine
        self._stripes = Stripes(machine.machines, machine.board.block_bytes)
        self.cut: set[Key] = set()
        self.are_allowed = True

    @property
    def _machine(self) -> Machine:
        return self._meeting.machine

    @property
    def are_possible(self) -> bool:
        return self.are_allowed and self._machine.can_update and getattr(self._updater(), "is_elementwise", False)

    def add(self, key: Key) -> None:
        """A new key."""
        value = self._values[key]
        if not value.is_sparse:
            self._stripes.add(key, value.numel(), value.itemsize)

    def slice_elements(self, key: Key) -> int:
        """Of the slices in which the key may go by itself."""
        return self._stripes.slice_elements(key)

    def run(self, works: list[Work]) -> None:
        """Updates the keys of a round, whose gradients have their weights' dtype."""
        keys = [work.key for work in works if not work.start]
        for key in keys:
            self.begin(key)
        self._updater().count(keys)
        arrays = [(work.key, work.start, work.source, flat(self._values[work.key])) for work in works]
        length = self._machine.length_of(works[0].source.dtype)
        self._machine.update(self._stripes.pieces(arrays, length), self._update)

    def begin(self, key: Key) -> None:
        """From now on the key's state lies in parts."""
        if key not in self.cut:
            self.cut.add(key)
            self._updater().cut(key, self._values[key].shape, self._mine(key))

    def _mine(self, key: Key) -> list[tuple[int, int]]:
        """The stripes whose states this worker holds."""
        if self._machine.leaders is None:
            return []
        return [(stripe.start, stripe.stop) for stripe in self._stripes.of(key)
                if stripe.machine == self._machine.number]

    def _update(self, names: list[tuple[Key, Stripe]], gradients: list[Tensor], weights: list[Tensor]) -> None:
        kinds = [self._kinds[key] for key, _ in names]
        self._updater().update_parts([key for key, _ in names], [stripe.start for _, stripe in names],
                                     [as_kind(one, kind) for one, kind in zip(gradients, kinds, strict=True)],
                                     [as_kind(one, kind) for one, kind in zip(weights, kinds, strict=True)])

    def count_elsewhere(self, keys: list[Key]) -> None:
        """Others update these keys whole: schedules of rates count them here too, as in one process."""
        if hasattr(self._updater(), "count"):
            self._updater().count(keys)

    def end(self, key: Key, owner: int) -> None:
        """From now on worker `owner` has the key's whole state; all workers call it in the same round."""
        if key not in self.cut:
            return
        self.cut.discard(key)
        updater = self._updater()
        mine = torch.frombuffer(bytearray(updater.parts_of(key)), dtype=torch.uint8)
        everybody = gathered(self._machine, mine)
        updater.join(key, [bytes(one.numpy()) for one in everybody] if owner == self._machine.rank else None)

    def forget(self) -> None:
        """The store runs another optimizer, or has whole states again."""
        self.cut.clear()
