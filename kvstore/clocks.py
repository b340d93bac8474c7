"""Bounded staleness: how far each worker is, counted in pushes, and whether one must wait for the slowest."""
from __future__ import annotations

from collections import defaultdict

from .keys import Key


class Clocks:
    """One clock a session: the most pushes it made to one key, from where it began."""

    def __init__(self) -> None:
        self._pushes: defaultdict[int, defaultdict[Key, int]] = defaultdict(lambda: defaultdict(int))
        self._begin: dict[int, int] = {}
        self._clock: dict[int, int] = {}

    def slowest(self, session: int, living: set[int]) -> int | None:
        """The clock of the slowest other living session that pushed something; None: there is none."""
        others = [clock for other, clock in self._clock.items() if other in living and other != session]
        return min(others, default=None)

    def lead(self, session: int, living: set[int]) -> int:
        """How many pushes `session` would be ahead of the slowest after one more; a newcomer begins beside it."""
        slowest = self.slowest(session, living)
        if slowest is None:
            return 0
        return self._clock.get(session, slowest - 1) + 1 - slowest

    def count(self, session: int, keys: list[Key], living: set[int]) -> None:
        """One push of these keys was applied."""
        if session not in self._begin:
            slowest = self.slowest(session, living)
            self._begin[session] = 0 if slowest is None else slowest - 1
        counts = self._pushes[session]
        for key in keys:
            counts[key] += 1
        most = max((counts[key] for key in keys), default=0)
        self._clock[session] = max(self._clock.get(session, 0), self._begin[session] + most)
