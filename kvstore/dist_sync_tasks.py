"""What the workers of `dist_sync` do together, as tasks of their schedule."""
from __future__ import annotations

import enum
import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from torch import Tensor

from .collective_choice import Task
from .keys import Key

EARLY_BYTES = 1 << 19       # of tasks that others pass
Item = tuple[Key, Tensor, list[Tensor]]      # key, source, targets


class Kind(enum.Enum):
    """What workers do together with a key."""

    INIT = "init"
    INIT_ROWS = "init rows"
    SUM = "sum"             # everybody gets the sum
    UPDATE = "update"       # the owner gets the sum, everybody the new weight
    PARTS = "parts"         # of an array each machine gets the sum of its stripes, everybody the new weight
    ROWS = "rows"           # row-sparse: everybody gets the sum
    BARRIER = "barrier"
    BYTES = "bytes"         # everybody gets everybody's bytes
    NEWS = "news"           # the sum of a number: whether anybody knows of newcomers
    LET_IN = "let in"       # newcomers join the group


ROW_SPARSE = Kind.ROWS, Kind.INIT_ROWS


@dataclass(slots=True)
class Work:
    """A task's arrays, flat.  source: T[n] (row-sparse: as pushed).   targets: T[n] each.   start: of a slice."""

    kind: Kind
    key: Key
    source: Tensor
    targets: list[Tensor]
    start: int = 0


class Bundles:
    """Makes tasks: keys of one call go together, up to `bucket_bytes`.

    slice_elements: larger arrays are cut into slices of so many; None: none is cut.
    """

    def __init__(self, bucket_bytes: int, slice_elements: int | None):
        self._bucket_bytes, self._slice_elements = bucket_bytes, slice_elements
        self._numbers: dict[tuple, int] = {}
        self.coding = ""            # how sums are compressed, which must be equal on every worker

    def tasks(self, kind: Kind, items: list[Item], priority: int,
              early: Callable[[Key], int] | None = None) -> list[Task]:
        """early: of each key the elements of a slice, of tasks so small that more urgent ones pass them."""
        tasks = [self._task(kind, works, priority) for works in self._bundles(kind, items, early)]
        for task in tasks:
            task.is_early = early is not None
        return tasks

    def _bundles(self, kind: Kind, items: list[Item], early: Callable[[Key], int] | None) -> Iterator[list[Work]]:
        """What goes together: keys of one call, as many as fit a bucket; row-sparse ones by themselves."""
        if kind in ROW_SPARSE:
            yield from ([Work(kind, *item)] for item in items)
            return
        works = [Work(kind, *item) for item in items]
        if early is not None:
            works = [part for work in works for part in self._slices(work, early(work.key))]
        elif self._slice_elements is not None and kind is Kind.SUM:
            works = [part for work in works for part in self._slices(work, self._slice_elements)]
        most_bytes = self._bucket_bytes if early is None else min(EARLY_BYTES, self._bucket_bytes)
        bundle: list[Work] = []
        num_bytes = 0
        for work in works:
            size = work.source.nbytes
            if bundle and num_bytes + size > most_bytes:
                yield bundle
                bundle, num_bytes = [], 0
            bundle.append(work)
            num_bytes += size
        if bundle:
            yield bundle

    def _slices(self, work: Work, length: int) -> list[Work]:
        kind, key, source, targets = work.kind, work.key, work.source, work.targets
        if source.numel() <= length:
            return [work]
        return [Work(kind, key, source[at:at + length], [one[at:at + length] for one in targets], at)
                for at in range(0, source.numel(), length)]

    def _task(self, kind: Kind, works: list[Work], priority: int) -> Task:
        """The task of a bundle; it is the same one on every worker that puts the same keys together."""
        keys = tuple((work.key, work.start) for work in works)
        arrays = () if kind is Kind.BYTES else tuple((work.source.dtype, work.source.shape) for work in works)
        form = kind, self.coding, arrays
        for told in keys, form:
            if told not in self._numbers:
                self._numbers[told] = number(repr(told))
        label = f"key {keys[0][0]!r}" + (f" and {len(keys) - 1} others" if len(keys) > 1 else "")
        num_bytes = 0 if kind in ROW_SPARSE else sum(work.source.nbytes for work in works)
        return Task(self._numbers[keys], self._numbers[form], label, num_bytes, priority, works)


def contiguous(value: Tensor) -> Tensor:
    """T[*S] on the CPU, dense in one stretch or row-sparse with sorted ids."""
    value = value.to("cpu")
    return value.coalesce() if value.is_sparse else value.contiguous()


def flat(value: Tensor) -> Tensor:
    """T[*S] as T[n] on the CPU, sharing memory where it lies so already."""
    if value.is_cuda:
        value = value.cpu()
    return value if value.dim() == 1 and value.is_contiguous() else value.reshape(-1)


def number(text: str) -> int:
    """64 bits that stand for `text` on every worker."""
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little", signed=True)
