"""Seeds: one global stream of them, so that the same seed gives the same numbers, eager and hybridized alike."""
from __future__ import annotations

import secrets
import threading

_MASK = (1 << 64) - 1


class _Stream:
    """Seed number k is splitmix64(start + k): a fresh 63-bit seed for each random operator that runs."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.start = secrets.randbits(63)
        self.counter = 0


_stream = _Stream()


def _mix(x: int) -> int:
    """splitmix64's output function (Steele, Lea, Flood, OOPSLA 2014), cut to 63 bits for torch.Generator."""
    x = (x + 0x9E3779B97F4A7C15) & _MASK
    x = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) & _MASK
    return (x ^ (x >> 31)) >> 1


def seed(seed_state: int, ctx: object = "all") -> None:
    """Start the stream anew; all devices share it, so `ctx` is accepted and changes nothing."""
    with _stream.lock:
        _stream.start, _stream.counter = int(seed_state) & _MASK, 0


def reserve(count: int) -> list[int]:
    """The next `count` seeds: what a compiled graph with that many random nodes draws in one call."""
    with _stream.lock:
        first = _stream.start * 0x2545F4914F6CDD1D + _stream.counter
        _stream.counter += count
    return [_mix((first + i) & _MASK) for i in range(count)]


def next_seed() -> int:
    """The next seed of the stream."""
    return reserve(1)[0]


def get_state() -> tuple[int, int]:
    """(start, counter): hand it to `set_state` to draw the same numbers again."""
    return _stream.start, _stream.counter


def set_state(state: tuple[int, int]) -> None:
    with _stream.lock:
        _stream.start, _stream.counter = int(state[0]), int(state[1])
