"""Who belongs to a job and who is still alive: the control server's book-keeping, without any input or output.

A *session* is one joining: the number is never used again, so a process that was declared dead stays out even if it
wakes up.  A *rank* is a place among the workers or servers: a replacement takes the place of a dead one in a session of
its own.  A *generation* is one agreed group of workers: it is counted up each time that a group forms.
"""
from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from .errors import DeadWorkerError, FrameError, JoinRefusedError
from .job import UNKNOWN, Job

ALIVE, DEAD, LEFT = "alive", "dead", "left"


@dataclass
class Member:
    """One session.  step: the last step that it told complete.   address: where a server listens, else ""."""

    session: int
    role: str
    rank: int
    host: str
    pid: int
    address: str = ""
    state: str = ALIVE
    step: int = -1
    reason: str = ""
    replaces: bool = False      # somebody had this place before

    def told(self) -> dict[str, Any]:
        return asdict(self)


class Membership:
    """The sessions of a job.

    timeout: seconds of silence after which a member is dead.   clock: seconds, for tests.
    """

    def __init__(self, job: Job, clock: Callable[[], float] = time.monotonic):
        self.job, self.timeout, self._clock = job, job.timeout, clock
        self.members: dict[int, Member] = {}
        self.generation = 0
        self.group: list[int] = []          # sessions of the generation's workers
        self._heard: dict[int, float] = {}

    def join(self, about: dict[str, Any]) -> Member:
        """A new session.  Raises JoinRefusedError where there is no place for it, FrameError where it is malformed."""
        told = _checked(about)
        if told["generation"] < self.job.generation:
            raise JoinRefusedError(f"join: the job was started again since; got a process of start "
                                   f"{told['generation']}, this is start {self.job.generation}; end that process")
        rank = self._place(told["role"], told["rank"])
        session = len(self.members) + 1
        member = Member(session, told["role"], rank, told["host"], told["pid"], told["address"])
        member.replaces = any(one.role == member.role and one.rank == rank for one in self.members.values())
        self.members[session] = member
        self._heard[session] = self._clock()
        return member

    def heard(self, session: int, step: int | None = None) -> None:
        """A sign of life."""
        self._heard[session] = self._clock()
        if step is not None:
            self.members[session].step = max(self.members[session].step, step)

    def lose(self, session: int, reason: str) -> bool:
        """Declares a living member dead; False where it was not alive."""
        return self._end(session, DEAD, reason)

    def leave(self, session: int) -> bool:
        """A member goes on its own account."""
        return self._end(session, LEFT, "it left")

    def expire(self) -> list[int]:
        """Declares dead whoever was silent for too long; their sessions."""
        late = [member.session for member in self.members.values()
                if member.state == ALIVE and self._clock() - self._heard[member.session] > self.timeout]
        for session in late:
            self.lose(session, f"it was silent for {self.timeout:g} s")
        return late

    def forgive(self) -> None:
        """Counts everybody's silence from now on."""
        self._heard = dict.fromkeys(self._heard, self._clock())

    def living(self, role: str = "worker") -> list[Member]:
        """In the order of ranks."""
        found = [one for one in self.members.values() if one.role == role and one.state == ALIVE]
        return sorted(found, key=lambda one: one.rank)

    def never_came(self) -> list[int]:
        """Ranks of workers that no session had yet."""
        seen = {one.rank for one in self.members.values() if one.role == "worker"}
        return [rank for rank in range(self.job.num_workers) if rank not in seen]

    def to_form(self, waiting: dict[int, bool], minimum: int) -> list[int]:
        """Sessions that may form a group now, at least `minimum`, in the order of ranks; empty: not yet.

        waiting: who asks for a group, and whether it would have newcomers in it.  While a living member of the present
        group would not, the present group goes on alone and newcomers wait; otherwise all living workers form one.
        """
        living = [one.session for one in self.living()]
        present = [session for session in living if session in self.group]
        alone = not all(waiting.get(session, True) for session in present)
        wanted = present if alone else living
        return wanted if len(wanted) >= minimum and waiting.keys() >= set(wanted) else []

    def form(self, sessions: list[int]) -> int:
        """Makes these living workers the group of a new generation; its number."""
        self.group = list(sessions)
        self.generation += 1
        return self.generation

    def gone(self) -> DeadWorkerError | None:
        """What to raise where the group lost somebody, else None."""
        lost = [self.members[session] for session in self.group if self.members[session].state != ALIVE]
        if not lost:
            return None
        lost = [one for one in lost if one.state == DEAD] or lost      # others left because of the dead
        steps = [self.members[session].step for session in self.group]
        reason = "; ".join(dict.fromkeys(one.reason for one in lost))
        return DeadWorkerError(sorted(one.rank for one in lost), min(steps), reason)

    def _end(self, session: int, state: str, reason: str) -> bool:
        member = self.members[session]
        if member.state != ALIVE:
            return False
        member.state, member.reason = state, reason
        return True

    def _place(self, role: str, wanted: int) -> int:
        size = self.job.num_workers if role == "worker" else max(1, self.job.num_servers)
        taken = {one.rank: one for one in self.living(role)}
        if wanted == UNKNOWN:
            free = [rank for rank in range(size) if rank not in taken]
            if not free:
                raise JoinRefusedError(f"join: the job has its {size} {role}s already")
            return free[0]
        if wanted >= size:
            raise JoinRefusedError(f"join: the job has {size} {role}s; got rank {wanted}")
        if wanted in taken:
            other = taken[wanted]
            raise JoinRefusedError(f"join: {role} {wanted} is alive already (process {other.pid} on {other.host}); "
                                   f"a replacement can join once that one is gone")
        return wanted


_ABOUT = {"role": str, "rank": int, "host": str, "pid": int, "address": str, "generation": int}


def _checked(about: dict[str, Any]) -> dict[str, Any]:
    for name, kind in _ABOUT.items():
        if not isinstance(about.get(name), kind) or isinstance(about[name], bool):
            raise FrameError(f"JOIN: {name} is no {kind.__name__}; got {about.get(name)!r}")
    if about["role"] not in ("worker", "server") or not UNKNOWN <= about["rank"] < 1 << 20:
        raise FrameError(f"JOIN: no such place; got {about['role']!r} {about['rank']}")
    return about
