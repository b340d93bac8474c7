"""Static memory: every intermediate value has a fixed offset in one arena; values that never live at once share."""
from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

ALIGNMENT = 64


class Interval(NamedTuple):
    """A buffer of `size` bytes that lives from step `start` to step `end`, both included."""

    start: int
    end: int
    size: int


def place(intervals: Mapping[str, Interval]) -> tuple[dict[str, int], int]:
    """Offsets in bytes and the arena's size.  Largest first, each at the lowest offset free during its whole life
    (greedy by size, Pisarchyk and Lee, arXiv 2001.03288)."""
    offsets: dict[str, int] = {}
    placed: list[tuple[int, int, Interval]] = []
    total = 0
    for name, interval in sorted(intervals.items(), key=lambda item: (-item[1].size, item[1].start, item[0])):
        size = -(-interval.size // ALIGNMENT) * ALIGNMENT
        offset = _lowest_gap(sorted((a, b) for a, b, other in placed if _overlap(interval, other)), size)
        offsets[name] = offset
        placed.append((offset, offset + size, interval))
        total = max(total, offset + size)
    return offsets, total


def _overlap(a: Interval, b: Interval) -> bool:
    return a.start <= b.end and b.start <= a.end


def _lowest_gap(taken: Sequence[tuple[int, int]], size: int) -> int:
    offset = 0
    for begin, end in taken:
        if offset + size <= begin:
            break
        offset = max(offset, end)
    return offset
