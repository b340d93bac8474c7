"""What the thread of a `dist_sync` store does: carries out rounds of tasks, the same ones on every worker."""
from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor

from .bucket import Piece, cut
from .collective import Machine, Share
from .collective_choice import Task
from .collective_coded import Coded
from .collective_group import Meeting
from .collective_rows import gathered, gathered_rows, no_rows, sum_of_rows
from .compression import Codec
from .dist_sync_parts import Parts
from .dist_sync_tasks import Kind, Work, flat
from .keys import Key
from .sum_plans import PlannedSum


class Rounds:
    """Sums and updates of keys.

    values: the store's, by key.   apply: gives reduced values to the store's updater, or makes them its values.
    owners: of every key the worker that updates it.   loads: bytes that each worker owns.   codec: of compressed sums.
    is_lazy: whether an optimizer leaves rows alone that have no gradient; None: the store runs none.   parts: of keys.
    """

    def __init__(self, meeting: Meeting, values: dict[Key, Tensor], apply: Callable[[list, list], None],
                 is_lazy: Callable[[], bool | None], parts: Parts):
        self._meeting, self.values, self._apply, self.is_lazy = meeting, values, apply, is_lazy
        self.parts = parts
        self.owners: dict[Key, int] = {}
        self.loads = [0] * len(self.machine.places)
        self.codec: Codec | None = None
        self._coded: Coded | None = None
        self._residuals: dict[Key, Tensor] = {}
        self.results: dict[tuple[Key, int], dict[str, Tensor]] = defaultdict(dict)     # the codec's, by key and start
        self._sums: dict[Key, Tensor] = {}
        self.pushes: Counter[Key] = Counter()

    @property
    def machine(self) -> Machine:
        return self._meeting.machine

    @property
    def rank(self) -> int:
        return self.machine.rank

    def own(self, key: Key) -> None:
        """Gives the key an owner: the worker with the least to hold."""
        owner = min(range(len(self.loads)), key=lambda rank: self.loads[rank])
        self.owners[key] = owner
        self.loads[owner] += self.values[key].numel() * self.values[key].element_size()
        self.parts.add(key)

    def loads_of(self, works: list[Work]) -> tuple[int, ...]:
        """Bytes of an update that go to each machine, whose workers own the keys; none where there is one."""
        if self.machine.machines == 1:
            return ()
        found = [0] * self.machine.machines
        for work in works:
            found[self.machine.places[self.owners[work.key]].machine] += work.source.nbytes
        return tuple(found)

    def compress(self, codec: Codec) -> None:
        """Sums in few bits from now on; every worker calls it between the same tasks."""
        self.codec, self._coded, self._residuals, self.results = codec, None, {}, defaultdict(dict)

    def _coded_sums(self, codec: Codec) -> Coded:
        """Of the present group, whose workers all come here in the same round."""
        if self._coded is None or self._coded.machine is not self.machine:
            if self._coded is not None:
                self._coded.close()
            self._coded = self._meeting.coded(codec)
        return self._coded

    def post(self, task: Task) -> bool:
        """Copies the arrays of a small planned sum to where the other workers read them; False: it is none."""
        work = task.work[0]
        if len(task.work) > 1 or not isinstance(work, PlannedSum) or len(work.bundle.spans) != 1:
            return False
        return self.machine.post(work.pieces()[0])

    def run(self, tasks: list[Task]) -> None:
        """Carries out the tasks of a round."""
        groups: dict[Any, list] = defaultdict(list)
        for task in tasks:
            if task.work[0].kind is Kind.SUM and self.codec is None:
                groups[Kind.SUM].append(task.work)
                continue
            for work in task.work:
                groups[work.kind, work.source.dtype].append(work)
        for group, works in groups.items():
            if group is Kind.SUM:
                self._run_sums(works)
            else:
                self._RUN[group[0]](self, works)

    def _run_init(self, works: list[Work]) -> None:
        values = [work.source for work in works]
        self.machine.spread([Share(0, values, [[] if self.rank == 0 else [value] for value in values])])

    def _run_init_rows(self, works: list[Work]) -> None:
        for work in works:
            mine = self.values[work.key]
            everybody = gathered_rows(self.machine, mine if self.rank == 0 else no_rows(mine))
            self.values[work.key] = everybody[0]

    def _run_sums(self, tasks: list[list[Work] | list[PlannedSum]]) -> None:
        """Each task is a stream by itself, so that a planned one has the blocks that the same one unplanned has."""
        self.machine.allreduce_pieces([piece for works in tasks for piece in self._pieces(works)])
        self._count([key for works in tasks for work in works for key in self._complete(work)])

    def _pieces(self, works: list[Work] | list[PlannedSum]) -> Iterator[Piece]:
        streams: dict[torch.dtype, list[Work]] = defaultdict(list)
        for work in works:
            if isinstance(work, PlannedSum):
                yield from work.pieces()
            else:
                streams[work.source.dtype].append(work)
        for dtype, some in streams.items():
            yield from cut([work.source for work in some], [work.targets for work in some],
                           self.machine.sum_bytes // dtype.itemsize)

    def _run_coded_sum(self, works: list[Work]) -> None:
        self._sum_coded(works, [work.targets for work in works])
        self._settle_coded(works, [work.targets for work in works])
        self._count_works(works)

    def _sum_coded(self, works: list[Work], targets: list[list[Tensor]]) -> None:
        """Sums in few bits; what was left out waits in the key's residual."""
        assert self.codec is not None
        self._coded_sums(self.codec).allreduce([work.source for work in works], targets,
                                               [self._residual(work) for work in works])

    def _residual(self, work: Work) -> Tensor:
        """Where this worker keeps what its payloads left out.  out: float32[n]"""
        if work.key not in self._residuals:
            self._residuals[work.key] = torch.zeros(self.values[work.key].numel())
        return self._residuals[work.key][work.start:work.start + work.source.numel()]

    def _settle_coded(self, works: list[Work], targets: list[list[Tensor]]) -> None:
        assert self.codec is not None
        for work, arrays in zip(works, targets, strict=True):
            for position, array in enumerate(arrays):
                if position:
                    array.copy_(arrays[0])
                else:
                    self.codec.settle(array, self.results[work.key, work.start])

    def _run_parts(self, works: list[Work]) -> None:
        self.parts.run(works)
        self._count_works(works)

    def _run_update(self, works: list[Work]) -> None:
        self._gather_states(works)
        mine = [work for work in works if self.owners[work.key] == self.rank]
        sums = {work.key: self._sum_of(work) for work in mine}
        if self.codec is None:
            self.machine.reduce([Share(owner, [work.source for work in part],
                                        [[sums[work.key]] if work.key in sums else [] for work in part])
                                  for owner, part in self._by_owner(works)])
        else:
            targets = [[sums[work.key]] if work.key in sums else [] for work in works]
            self._sum_coded(works, targets)
            self._settle_coded(works, targets)
        keys = [work.key for work in mine]
        self.parts.count_elsewhere([work.key for work in works if work.key not in sums])
        self._apply([(key, [self.values[key]]) for key in keys],
                    [sums[key].view(self.values[key].shape) for key in keys])
        weights = {work.key: flat(self.values[work.key]) for work in works}
        for dtype in dict.fromkeys(weight.dtype for weight in weights.values()):
            self.machine.spread([self._share(owner, [weights[work.key] for work in part])
                                  for owner, part in self._by_owner(works) if weights[part[0].key].dtype == dtype])
        self._count_works(works)

    def _gather_states(self, works: list[Work]) -> None:
        """The owners of these keys need their whole states."""
        for work in works:
            self.parts.end(work.key, self.owners[work.key])

    def _share(self, owner: int, weights: list[Tensor]) -> Share:
        return Share(owner, weights, [[] if owner == self.rank else [weight] for weight in weights])

    def _by_owner(self, works: list[Work]) -> list[tuple[int, list[Work]]]:
        """Works by owner and dtype of the weight, owners in order."""
        groups: dict[tuple, list[Work]] = defaultdict(list)
        for work in works:
            groups[self.owners[work.key], self.values[work.key].dtype].append(work)
        return [(owner, part) for (owner, _), part in sorted(groups.items(), key=lambda group: group[0][0])]

    def _sum_of(self, work: Work) -> Tensor:
        """An array for the sum of a key that this worker owns."""
        if work.key not in self._sums or self._sums[work.key].dtype != work.source.dtype:
            self._sums[work.key] = torch.empty_like(work.source)
        return self._sums[work.key]

    def _run_rows(self, works: list[Work]) -> None:
        self._gather_states(works)
        for work in works:
            self._update_rows(work.key, sum_of_rows(self.machine, work.source))
        self._count_works(works)

    def _update_rows(self, key: Key, total: Tensor) -> None:
        """Every worker applies a sum of rows, but an optimizer runs where its states are: there, and the rows travel.

        total: row-sparse T[N, *S], coalesced
        """
        owner, weight = self.owners[key], self.values[key]
        if self.is_lazy() is None or owner == self.rank:
            self._apply([(key, [weight])], [total])
        else:
            self.parts.count_elsewhere([key])
        if self.is_lazy() is None:
            return
        ids = total.indices()[0] if self.is_lazy() else torch.arange(len(weight))
        rows = weight.index_select(0, ids)
        self.machine.spread([self._share(owner, [flat(rows)])])
        weight.index_copy_(0, ids, rows)

    def _run_barrier(self, works: list[Work]) -> None:
        """All workers have come: the round itself was the meeting."""

    def _run_bytes(self, works: list[Work]) -> None:
        for work in works:
            work.targets[:] = gathered(self.machine, work.source)

    _RUN: ClassVar[dict[Kind, Callable[[Any, list[Work]], None]]] = {
        Kind.BYTES: _run_bytes, Kind.INIT: _run_init, Kind.INIT_ROWS: _run_init_rows, Kind.SUM: _run_coded_sum,
        Kind.UPDATE: _run_update, Kind.PARTS: _run_parts, Kind.ROWS: _run_rows, Kind.BARRIER: _run_barrier}

    def _count_works(self, works: list[Work]) -> None:
        self._count([key for work in works for key in self._complete(work)])

    def _complete(self, work: Work | PlannedSum) -> Sequence[Key]:
        """The keys that this has all of, or the last slice of; slices go in order."""
        if isinstance(work, PlannedSum):
            return work.bundle.keys
        return [work.key] * (work.start + work.source.numel() == self.values[work.key].numel())

    def _count(self, keys: list[Key]) -> None:
        """Counts complete steps: a step is complete when every key that takes part in training was pushed in it."""
        if not keys:
            return
        self.pushes.update(keys)
        self._meeting.completed(min(self.pushes.values()) - 1)
