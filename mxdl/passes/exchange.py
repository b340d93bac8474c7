"""Improvement of a choice by small changes, each counted exactly: for plans of some dozens of nodes."""
from __future__ import annotations

from itertools import combinations
from typing import Protocol

from .facts import Facts
from .recompute import Choice, Outcome

#: how many nodes are counted at most, over all changes that are tried
_EFFORT = 80_000


class Counting(Protocol):
    """What counts choices (`Search`)."""

    facts: Facts

    def evaluate(self, choice: Choice) -> Outcome: ...

    def peak(self, outcome: Outcome) -> int: ...

    def by_peak(self, outcome: Outcome) -> tuple[int, float]: ...


class Exchange:
    """Changes of one and two nodes, and chains of them: keep one more, then drop others until it fits again.

    limit: the peak that is allowed, under which the time is to be least; None to make the peak itself least.
    """

    def __init__(self, counting: Counting, limit: int | None):
        self._counting, self._limit = counting, limit
        facts = counting.facts
        self._free = [p for p in range(len(facts.weight)) if not facts.fixed[p] and facts.weight[p]]
        self._left = _EFFORT // max(len(facts.weight), 1)

    def improved(self, outcome: Outcome) -> Outcome:
        """The best that changes lead to, as long as one is better and the effort lasts."""
        while self._left > 0:
            before = outcome
            for size in (1, 2):
                for move in combinations(self._free, size):
                    outcome = self._better(self._flipped(outcome, move), outcome)
            if self._limit is not None:
                for p in self._free:
                    if not outcome.choice.keep[p]:
                        outcome = self._better(self._fitting(self._flipped(outcome, (p,)), p, outcome.time), outcome)
            if outcome is before:
                break
        return outcome

    def _flipped(self, outcome: Outcome, move: tuple[int, ...]) -> Outcome | None:
        if self._left <= 0:
            return None
        self._left -= 1
        keep = bytearray(outcome.choice.keep)
        for p in move:
            keep[p] ^= 1
        return self._counting.evaluate(Choice(bytes(keep)))

    def _better(self, tried: Outcome | None, outcome: Outcome) -> Outcome:
        peak = self._counting.peak
        if tried is None:
            return outcome
        if self._limit is None:
            return min(outcome, tried, key=self._counting.by_peak)
        if peak(tried) > self._limit:
            return outcome
        return min(outcome, tried, key=lambda o: (o.time, peak(o)))

    def _fitting(self, outcome: Outcome | None, pinned: int, time: float) -> Outcome | None:
        """`outcome` with more nodes dropped until it fits, the cheapest for each byte first; None where that takes at
        least `time`."""
        assert self._limit is not None
        while outcome is not None and self._counting.peak(outcome) > self._limit:
            excess = self._counting.peak(outcome) - self._limit
            best, least = None, float("inf")
            for p in self._free:
                tried = self._flipped(outcome, (p,)) if outcome.choice.keep[p] and p != pinned else None
                gain = 0 if tried is None else self._counting.peak(outcome) - self._counting.peak(tried)
                if tried is not None and gain > 0 and tried.time < time:
                    price = (tried.time - outcome.time) / min(gain, excess)
                    if price < least:
                        best, least = tried, price
            outcome = best
        return outcome
