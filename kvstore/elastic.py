"""A group of workers that outlives its members: the living go on without the dead, and newcomers come in between steps.

A round counts when everybody has carried it out (`Machine.meet`); only then updates are applied.  So after a death the
living differ by one round at most: whoever passed the meeting proves that all others have the round's sums, and they
apply them too; otherwise all do the round again, without the dead.  No sum is half of one group and half of another.
"""
from __future__ import annotations

import logging
from collections.abc import Callable

import torch
from torch import Tensor

from .collective import Machine
from .collective_group import Meeting
from .collective_rows import gathered
from .control_client import Control
from .errors import DeadWorkerError

log = logging.getLogger("mxdl.kvstore")

NOTHING = -1        # rounds of a newcomer


class NewcomersWait(Exception):
    """Between two steps: all workers agreed to let those in who wait."""


class Elastic:
    """This worker's part in forming groups, from the first on.

    least: workers without whom the job does not begin (where the others are late) or go on.   patience: seconds that a
    newcomer waits to be let in.
    settle: takes up what a round computed, once everybody has carried it out.   give: the state for newcomers, uint8[n]
    """

    def __init__(self, control: Control, least: int, patience: float):
        self.control, self.least = control, least
        self.settle: Callable[[list], None] = lambda tasks: None
        self.give: Callable[[], Tensor] = lambda: torch.empty(0, dtype=torch.uint8)
        self._told: list[int] = []
        wait = control.job.join_timeout
        group = control.form(least, wait, wait + patience if control.generation else wait + 1)
        while not hasattr(self, "meeting"):
            try:
                self.meeting = Meeting(control, group)
            except DeadWorkerError as error:
                log.warning("worker %d: not all came (%s)", control.job.rank, error.reason)
                group = control.form(least, 0, newcomers=False)

    @property
    def machine(self) -> Machine:
        return self.meeting.machine

    def begin(self) -> Tensor | None:
        """What a newcomer takes over; None: all begin."""
        while True:
            try:
                self.compare(NOTHING)
                return self.share()
            except DeadWorkerError as error:
                self.form(error)

    def form(self, error: Exception) -> bool:
        """Forms the next group because of `error`.  Whether newcomers were let in.

        Raises DeadWorkerError when another worker dies meanwhile, TimeoutError when too few are left.
        """
        newcomers = isinstance(error, NewcomersWait)
        if not newcomers:
            lost, why = (error.ranks, error.reason) if isinstance(error, DeadWorkerError) else ([], error)
            log.warning("worker %d: workers %s are lost (%s); the others go on", self.control.job.rank, lost, why)
        self.machine.close()
        group = self.control.form(self.least, 0, newcomers=newcomers)
        self.meeting.meet(group)
        return not group.is_rest

    def compare(self, rounds: int) -> int:
        """The most rounds that a worker of the group has carried out, where this one has `rounds`."""
        told = torch.zeros(len(self.machine.places), dtype=torch.int64)
        told[self.machine.rank] = rounds - NOTHING
        self.machine.allreduce([told], [[told]])
        self._told = [count + NOTHING for count in told.tolist()]
        return max(self._told)

    def share(self) -> Tensor | None:
        """Hands the state of a worker to newcomers, after `compare`.  out: uint8[n]; None: nobody is new, or all."""
        most = max(self._told)
        if most == NOTHING or min(self._told) > NOTHING:
            return None
        donor = self._told.index(most)
        mine = self.give() if donor == self.machine.rank else torch.empty(0, dtype=torch.uint8)
        return gathered(self.machine, mine)[donor]

    @property
    def rounds(self) -> int:
        """Rounds that everybody has carried out, once all share."""
        return max(0, *self._told)
