"""Rounds that can be done again without the dead: nothing that lasts changes before a round counts.

A round counts once every worker has carried it out.  Until then sums lie in arrays of their own, and what compression
left out lies beside the residuals: a round that is done again begins with the residuals that it began with before.
"""
from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import torch
from torch import Tensor

from .collective_choice import Task
from .collective_rows import sum_of_rows
from .dist_sync_rounds import Rounds
from .dist_sync_tasks import Kind, Work
from .elastic import NewcomersWait
from .keys import Key

UPDATED = Kind.UPDATE, Kind.ROWS, Kind.SUM


class ElasticRounds(Rounds):
    """Sums go to everybody, and everybody makes all updates once everybody has the sums."""

    def __init__(self, *arguments: Any):
        super().__init__(*arguments)
        self.parts.are_allowed = False
        self._left_out: dict[tuple[Key, int, int], Tensor] = {}      # by the round under way, of each key's slice

    def loads_of(self, works: list[Work]) -> tuple[int, ...]:
        return ()

    def _run_sums(self, tasks: list) -> None:
        self.machine.allreduce_pieces([piece for works in tasks for piece in self._pieces(works)])

    def _sum_whole(self, works: list[Work]) -> None:
        self.machine.allreduce([work.source for work in works], [work.targets for work in works])

    def _run_coded_sum(self, works: list[Work]) -> None:
        self._sum_coded(works, [work.targets for work in works])

    def _sum_for_update(self, works: list[Work]) -> None:
        targets = [[self._sum_of(work)] for work in works]
        if self.codec is None:
            self.machine.allreduce([work.source for work in works], targets)
        else:
            self._sum_coded(works, targets)

    def _residual(self, work: Work) -> Tensor:
        """A copy, which `_keep` puts in the residual's place."""
        kept = super()._residual(work)
        left = self._left_out.setdefault(_slice(work), torch.empty_like(kept))
        return left.copy_(kept)

    def _sum_rows(self, works: list[Work]) -> None:
        for work in works:
            work.targets[:] = [sum_of_rows(self.machine, work.source)]

    def _let_in(self, works: list[Work]) -> None:
        raise NewcomersWait()

    _RUN: ClassVar[dict[Kind, Callable[[Any, list[Work]], None]]] = {
        **Rounds._RUN, Kind.NEWS: _sum_whole, Kind.SUM: _run_coded_sum, Kind.UPDATE: _sum_for_update,
        Kind.ROWS: _sum_rows, Kind.LET_IN: _let_in}

    def settle(self, tasks: list[Task]) -> None:
        """Applies what a round summed, and counts it."""
        for works in (task.work for task in tasks if task.work[0].kind in UPDATED):
            kind, places = works[0].kind, [(work.key, [self.values[work.key]]) for work in works]
            if kind is not Kind.ROWS and self.codec is not None:
                self._keep(works)
            if kind is Kind.UPDATE:
                self._apply(places, [self._sums[work.key].view(self.values[work.key].shape) for work in works])
            elif kind is Kind.ROWS:
                self._apply(places, [work.targets[0] for work in works])
            self._count_works(works)

    def _keep(self, works: list[Work]) -> None:
        """What the round left out is what the next one begins with."""
        for work in works:
            super()._residual(work).copy_(self._left_out[_slice(work)])
        self._settle_coded(works, [[self._sums[work.key]] if work.kind is Kind.UPDATE else work.targets
                                   for work in works])


def _slice(work: Work) -> tuple[Key, int, int]:
    return work.key, work.start, work.source.numel()
