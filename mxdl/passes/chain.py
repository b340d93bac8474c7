"""Segments within segments by dynamic programming: where to cut a chain of leaves so that the least is run again.

A leaf is a run of forward nodes.  The backward pass over leaves i..j, with what crosses into i at hand, runs i
forward and either keeps its values (all, or the costly ones) until it comes back to them, or runs i..k-1, keeps what
crosses into k alone, does k..j, and then i..k-1 anew in the memory that this leaves.
Beaumont, Eyraud-Dubois, Herrmann, Joly, Shilova: Optimal checkpointing for heterogeneous chains (2019).
The bytes of a chain are an estimate (a skip over several leaves is counted where it crosses a cut); the exact count of
what is chosen is `recompute.evaluate`'s.
"""
from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from .facts import Facts
from .recompute import Choice, Outcome, Problem

#: leaves of a chain at most, and units into which the memory is divided: the table then takes seconds
MOST_LEAVES, UNITS = 360, 160
#: parts of a leaf's time that it may take to make again those of its values that it does not keep
_AGAIN = (0.15, 0.3, 0.6)


class Keeping(NamedTuple):
    """A way to keep a leaf's values.   num_bytes: that it takes.   seconds: to make the rest (positions) again."""

    num_bytes: float
    seconds: float
    rest: tuple[int, ...]


class Chain(NamedTuple):
    """Leaves of a forward pass.   ends: the last position of each.   seconds: to run each.   need: bytes at the most
    while the backward pass is in a leaf, its recomputed values included, beside what earlier leaves keep.
    keepings: the ways to keep its values, all of them first.   crossing[i, k]: bytes of values made in leaves i..k-1
    that k or later leaves read."""

    ends: list[int]
    seconds: np.ndarray
    need: np.ndarray
    keepings: list[list[Keeping]]
    crossing: np.ndarray


def leaf_ends(facts: Facts) -> list[int]:
    """Where to cut into at most `MOST_LEAVES` leaves: everywhere, or where fewer bytes cross than at neighbouring cuts.
    Returns the last positions of all leaves but the last."""
    crossing = _crossing_bytes(facts)
    cuts = list(range(len(crossing) - 1))
    while len(cuts) >= MOST_LEAVES:
        low = [c for a, c, b in zip((-1, *cuts), cuts, (*cuts[1:], -1), strict=False)
               if (a < 0 or crossing[c] <= crossing[a]) and (b < 0 or crossing[c] <= crossing[b])]
        if len(low) == len(cuts):
            step = -(-len(cuts) // (MOST_LEAVES - 1))
            return cuts[step - 1::step]
        cuts = low
    return cuts


def _crossing_bytes(facts: Facts) -> np.ndarray:
    """After each position: bytes made so far, and not kept in any case, that later positions read."""
    change = np.zeros(len(facts.weight) + 1)
    for position, (weight, last, fixed) in enumerate(zip(facts.weight, facts.last_use, facts.fixed, strict=True)):
        if not fixed:
            change[position] += weight
            change[last] -= weight
    return change.cumsum()[:-1]


def leaf_numbers(cuts: Sequence[int], num_nodes: int) -> np.ndarray:
    """For each position, its leaf."""
    return np.repeat(np.arange(len(cuts) + 1), np.diff([-1, *cuts, num_nodes - 1]))


def chain_of(facts: Facts, seconds: Sequence[float], cuts: Sequence[int], need: np.ndarray) -> Chain:
    """The chain whose leaves end at the cuts.   seconds: of each node.   need: of each leaf (see `Chain`)."""
    leaf_of = leaf_numbers(cuts, len(facts.weight))
    count, last, held = len(cuts) + 1, np.asarray(facts.last_use), np.asarray(facts.held, np.float64)
    weight = np.where(np.frombuffer(facts.fixed, np.uint8) > 0, 0, facts.weight).astype(np.float64)
    reader = leaf_of[last]
    crosses = (reader > leaf_of) & (weight > 0)
    used = (held > 0) | (last > np.arange(len(last)))
    spent = np.bincount(leaf_of, np.asarray(seconds) * used, count)
    made = np.zeros((count, count + 1))   # bytes by the leaf that makes them and the last leaf that reads them
    np.add.at(made, (leaf_of, reader), np.where(crosses, weight, 0))
    total = np.vstack([np.zeros(count + 1), made[:, ::-1].cumsum(1)[:, ::-1].cumsum(0)])
    i, k = np.arange(count)[:, None], np.arange(count + 1)[None, :]
    crossing = np.where(k > i, total[np.maximum(k, i), k] - total[i, k], 0)
    kept = np.bincount(leaf_of, np.where(weight == 0, 0, np.where(crosses, weight, held)), count)
    droppable = [p for p in np.flatnonzero((held > 0) & ~crosses & (weight > 0)) if p not in facts.minor]
    inside: list[list[int]] = [[] for _ in range(count)]
    for p in sorted(droppable, key=lambda p: facts.times[p] / weight[p]):
        inside[leaf_of[p]].append(int(p))
    keepings = [_keepings(facts, kept[leaf], spent[leaf], inside[leaf]) for leaf in range(count)]
    return Chain([*cuts, len(last) - 1], spent, need, keepings, crossing)


def _keepings(facts: Facts, kept: float, spent: float, cheapest_first: list[int]) -> list[Keeping]:
    """All values kept, and all but those that are the cheapest a byte and take at most parts of the leaf's time."""
    found = [Keeping(kept, 0.0, ())]
    for part in _AGAIN:
        again, freed, rest = 0.0, 0, []
        for p in cheapest_first:
            if again + facts.times[p] > part * spent:
                break
            again, freed = again + facts.times[p], freed + facts.weight[p]
            rest.append(p)
        if freed > found[0].num_bytes - found[-1].num_bytes:
            found.append(Keeping(kept - freed, again, tuple(rest)))
    return found


class Table:
    """The least seconds of running leaves for every interval and every amount of memory up to `most` bytes."""

    def __init__(self, chain: Chain, most: float):
        self._chain = chain
        self.unit = most / UNITS
        count = len(chain.ends)
        self._crossing = self._units(chain.crossing)
        self._keepings = [[(int(self._units(k.num_bytes)), k) for k in ways] for ways in chain.keepings]
        self._need = np.minimum(np.ceil(chain.need / self.unit), UNITS + 1).astype(int)
        self._before = np.concatenate([[0], chain.seconds.cumsum()]).astype(np.float32)
        self._cost = np.full((count, count, UNITS + 1), np.inf, np.float32)
        for i in range(count - 1, -1, -1):
            self._fill(i)

    def _units(self, num_bytes):
        return np.minimum(np.rint(num_bytes / self.unit), UNITS + 1).astype(int)

    def _fill(self, i: int) -> None:
        """The costs of all intervals that begin at leaf i, those of later leaves known."""
        cost, row = self._cost, self._cost[i]
        row[i, self._need[i]:] = self._chain.seconds[i]
        for size, way in self._keepings[i]:
            begin = max(size, self._need[i])
            if begin <= UNITS and i + 1 < len(row):
                seconds = np.float32(self._chain.seconds[i] + way.seconds)
                kept = cost[i + 1, i + 1:, begin - size:UNITS + 1 - size] + seconds
                np.minimum(row[i + 1:, begin:], kept, out=row[i + 1:, begin:])
        for k in range(i + 1, len(row)):
            size = self._crossing[i, k]
            if size <= UNITS:
                again = cost[k, k:, :UNITS + 1 - size] + (row[k - 1, size:] + (self._before[k] - self._before[i]))
                np.minimum(row[k:, size:], again, out=row[k:, size:])

    def seconds(self) -> np.ndarray:
        """Seconds of running leaves again, for each amount of memory in units; infinite where it is too little."""
        return self._cost[0, -1] - self._before[-1]

    def choice(self, facts: Facts, units: int) -> Choice:
        """What to keep and until when, for that much memory, for which `seconds` is finite."""
        count = len(self._chain.ends)
        intervals: list[list[int]] = []   # by depth: for each leaf the number of the interval in which it is
        depth_of = [0] * count            # of the innermost interval around a leaf
        rest: set[int] = set()            # positions whose values stay only while the backward pass is in their leaf
        number = 0
        waiting = [(0, 0, count - 1, units)]
        while waiting:
            depth, i, j, room = waiting.pop()
            _number(intervals, depth, range(i, j + 1), number)
            depth_of[i:j + 1] = [depth] * (j + 1 - i)
            number += 1
            for step in self._steps(i, j, room):
                if isinstance(step, Keeping):
                    rest.update(step.rest)
                else:
                    waiting.append((depth + 1, *step))
        for p in reversed(facts.leading):   # in running order, so that what leads to what leads to them is found too
            if not rest.isdisjoint(facts.leading[p]):
                rest.add(p)
        return _choice_of(facts, self._chain, intervals, depth_of, rest)

    def _steps(self, i: int, j: int, room: int) -> Iterator[tuple[int, int, int] | Keeping]:
        """What is done for leaves i..j, from the first on: a leaf is kept so, or (first, last, memory) are run anew."""
        while i < j:
            seconds, size, way = min(self._kept(i, j, room), key=lambda option: option[0], default=(np.inf, 0, None))
            k = np.arange(i + 1, j + 1)
            left = room - self._crossing[i, k]
            again = np.where(left >= 0, self._cost[k, j, np.maximum(left, 0)], np.inf)
            again = again + self._cost[i, k - 1, room] + (self._before[k] - self._before[i])
            if way is not None and seconds <= again.min():
                yield way
                room -= size
                i += 1
            else:
                cut = int(k[again.argmin()])
                yield i, cut - 1, room
                room -= self._crossing[i, cut]
                i = cut

    def _kept(self, i: int, j: int, room: int) -> Iterator[tuple[float, int, Keeping]]:
        for size, way in self._keepings[i]:
            if room >= max(size, self._need[i]):
                yield self._cost[i + 1, j, room - size] + self._chain.seconds[i] + way.seconds, size, way


def _number(intervals: list[list[int]], depth: int, leaves: range, number: int) -> None:
    """Note the interval of those leaves; where a leaf has none of that depth, a number of a lower depth stands."""
    if len(intervals) == depth:
        intervals.append(list(intervals[-1]) if depth else [0] * len(leaves))
    intervals[depth][leaves.start:leaves.stop] = [number] * len(leaves)


def _choice_of(facts: Facts, chain: Chain, intervals: list[list[int]], depth_of: list[int],
               rest: set[int]) -> Choice:
    """A value stays in the innermost interval that holds the leaf of its maker and of its last reader."""
    leaf_of = leaf_numbers(chain.ends[:-1], len(facts.weight)).tolist()
    if len(intervals) == 1:
        return Choice(bytes(f or (leaf_of[last] != leaf_of[p]) or p not in rest for p, (f, last) in
                            enumerate(zip(facts.fixed, facts.last_use, strict=True))))
    free = max(map(max, intervals)) + 1
    for leaf in {leaf_of[p] for p in rest}:   # an interval of its own for what stays in its leaf alone
        _number(intervals, depth_of[leaf] + 1, range(leaf, leaf + 1), free + leaf)
    keep, level = bytearray(facts.fixed), []
    for p, last in enumerate(facts.last_use):
        made, read = leaf_of[p], leaf_of[last]
        depth = depth_of[made] + (p in rest)
        while intervals[depth][made] != intervals[depth][read]:
            depth -= 1
        level.append(depth)
        keep[p] = keep[p] or depth == 0
    return Choice(bytes(keep), level, [[row[leaf] for leaf in leaf_of] for row in intervals])


def needs(problem: Problem, outcome: Outcome, cuts: Sequence[int]) -> np.ndarray:
    """`Chain.need` of each leaf.   outcome: of keeping what crosses the cuts."""
    curve = outcome.curve
    num_steps = len(curve.activations)
    is_copy = np.zeros(num_steps - curve.num_forward, bool)
    is_copy[[step - curve.num_forward for _, step in outcome.cloned]] = True
    following = np.minimum(np.cumsum(~is_copy) - ~is_copy, len(problem.cursors) - 1)
    leaf_of = leaf_numbers(cuts, problem.num_nodes)
    leaf_at = leaf_of[np.asarray(problem.cursors)[following]]    # of each backward step; it never rises
    count = len(cuts) + 1
    begin = curve.num_forward + np.searchsorted(-leaf_at, -np.arange(count), "left")
    end = curve.num_forward + np.searchsorted(-leaf_at, -np.arange(count), "right")
    other = np.zeros(num_steps + 1)                              # bytes of what the forward pass of other leaves kept
    for block in curve.blocks:
        maker = problem.makers[block.value] if block.value < len(problem.makers) else -1
        if maker >= 0:
            leaf = leaf_of[maker]
            own = min(max(begin[leaf], block.start), block.end), min(max(end[leaf], block.start), block.end)
            for start, stop in ((block.start, own[0]), (own[1], block.end)):
                other[start] += block.num_bytes
                other[stop] -= block.num_bytes
    beside = (np.asarray(curve.activations) - other.cumsum()[:-1])[curve.num_forward:]
    found = np.zeros(count)
    np.maximum.at(found, leaf_at, beside)
    return found
