"""Cuts of the forward pass in segments: what crosses a cut is kept, the rest is recomputed segment by segment.

A cut c lies after position c; a value crosses it where it is made at or before c and read after.
"""
from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence

from .facts import Facts
from .recompute import Choice


def cuts_for(facts: Facts, room: int, shrinking: bool) -> list[int] | None:
    """Cuts such that a segment's values, when recomputed, and the gradients beside them take at most `room` bytes
    (where one node does not by itself).

    shrinking: what is kept before a segment counts too, so that segments become shorter towards the end of the pass,
    when most is kept; None where that leaves no room.   In the second half of each segment the cheapest cut is taken.
    """
    cuts: list[int] = []
    start, kept, num_nodes = 0, 0, len(facts.weight)
    while True:
        left = room - kept if shrinking else room
        if left <= 0:
            return None
        cut, crossing = _next_cut(facts, start, left)
        if cut >= num_nodes - 1:
            return cuts
        cuts.append(cut)
        kept += crossing
        start = cut + 1


def _next_cut(facts: Facts, start: int, room: int) -> tuple[int, int]:
    """The best cut of a segment that begins at `start`, and the bytes of the segment that cross it."""
    size = need = alive = 0
    ends: dict[int, int] = {}
    best, crossing = -1, 0
    weight, held, last_use = facts.weight, facts.held, facts.last_use
    for i in range(start, len(weight)):
        size += held[i]
        need = max(need, size + facts.beside[i])
        if need > room and best >= 0:
            return best, crossing
        alive -= ends.pop(i, 0)
        if last_use[i] > i:
            alive += weight[i]
            ends[last_use[i]] = ends.get(last_use[i], 0) + weight[i]
        if best < 0 or 2 * need <= room or alive <= crossing:
            best, crossing = i, alive
        if need > room:
            return best, crossing
    return len(weight) - 1, 0


def keep_crossing(facts: Facts, cuts: Sequence[int]) -> Choice:
    """Keep what crosses a cut."""
    keep = bytearray(facts.fixed)
    for i, last in enumerate(facts.last_use):
        if last > i and is_cut_between(cuts, i, last):
            keep[i] = 1
    return Choice(bytes(keep))


def is_cut_between(cuts: Sequence[int], start: int, end: int) -> bool:
    """Whether some cut c has start <= c < end (cuts ascending)."""
    i = bisect_left(cuts, start)
    return i < len(cuts) and cuts[i] < end


def tree(facts: Facts, levels: Sequence[Sequence[int]]) -> Choice:
    """Segments within segments: `levels` are the cuts of each level, the coarsest first, each a part of the next.

    What crosses a cut of the first level is kept; what crosses one of level j > 1 is recomputed and stays while the
    backward pass is in its segment of level j - 1; the rest stays while it is in its innermost segment.
    """
    segments = [_numbers(cuts, len(facts.weight)) for cuts in ((), *levels)]
    keep = bytearray(facts.fixed)
    level = [len(levels)] * len(facts.weight)
    innermost = segments[-1]
    for i, last in enumerate(facts.last_use):
        if innermost[last] != innermost[i]:
            level[i] = next(j for j, numbers in enumerate(segments) if numbers[i] != numbers[last]) - 1
            keep[i] = keep[i] or level[i] == 0
    return Choice(bytes(keep), level, segments)


def _numbers(cuts: Sequence[int], num_nodes: int) -> list[int]:
    """For each position, the number of its segment."""
    numbers: list[int] = []
    for segment, (start, end) in enumerate(zip((-1, *cuts), (*cuts, num_nodes - 1), strict=True)):
        numbers.extend([segment] * (end - start))
    return numbers


def even_levels(cuts: Sequence[int], depth: int) -> list[list[int]]:
    """`depth` levels of cuts, the innermost ones given, each level's segments made of equally many of the next.

    Griewank: Achieving logarithmic growth of temporal and spatial complexity in reverse automatic differentiation
    (1992).
    """
    arity = 2
    while arity ** depth < len(cuts) + 1:
        arity += 1
    return [list(cuts[arity ** (depth - j) - 1::arity ** (depth - j)]) for j in range(1, depth + 1)]
