"""``mx.random``: the seeds of all random operators, and the draws of ``mx.nd.random`` under a second name.

Every random operator takes a whole number as its seed.  Seeds come from one stream: number k of it is a hash of
(start, k), so that the same ``mx.random.seed(n)`` gives the same numbers, eager and hybridized alike.
"""
from __future__ import annotations

import importlib
import threading
from typing import Any

_MASK = (1 << 64) - 1


class _Stream:
    """Starts at seed 0, as in MXNet: a program that never seeds draws the same numbers at every run."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.start = self.counter = 0


_stream = _Stream()


def _mix(x: int) -> int:
    """splitmix64's output function (Steele, Lea, Flood, OOPSLA 2014)."""
    x = (x + 0x9E3779B97F4A7C15) & _MASK
    x = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) & _MASK
    return x ^ (x >> 31)


def seed(seed_state: int, ctx: object = "all") -> None:
    """Start the stream anew; all devices share it, so `ctx` is accepted and changes nothing."""
    with _stream.lock:
        _stream.start, _stream.counter = int(seed_state) & _MASK, 0


def reserve(count: int) -> list[int]:
    """The next `count` seeds: what a compiled graph with that many random nodes draws in one call."""
    with _stream.lock:
        first = _stream.counter
        _stream.counter += count
        start = _mix(_stream.start)   # mixed, so that the streams of seeds 1 and 2 do not overlap after one draw
    return [_mix(start + first + i) >> 1 for i in range(count)]   # 63 bits: what torch.Generator takes


def next_seed() -> int:
    """The next seed of the stream."""
    return reserve(1)[0]


def get_state() -> tuple[int, int]:
    """(start, counter): hand it to `set_state` to draw the same numbers again."""
    with _stream.lock:
        return _stream.start, _stream.counter


def set_state(state: tuple[int, int]) -> None:
    """Go on where `get_state` was asked."""
    with _stream.lock:
        _stream.start, _stream.counter = int(state[0]), int(state[1])


def __getattr__(name: str) -> Any:
    """uniform, normal, ...: ``mx.random.NAME`` is ``mx.nd.random.NAME`` (loaded late: seeds need no arrays)."""
    if name.startswith("_"):
        raise AttributeError(f"module 'mxdl.random' has no attribute {name!r}")
    return getattr(importlib.import_module("mxdl.ndarray.random"), name)
