"""What a store did and when, told to whoever asks (mx.profiler); while nobody does, nothing is kept."""
from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any

#: given a name, when it began and ended (`time.perf_counter`) and how many bytes of values it moved
Observer = Callable[[str, float, float, int], None]

_observer: Observer | None = None
_newest: weakref.ref | None = None


def observe(observer: Observer | None) -> None:
    """`observer` is told of every span from now on, in whatever thread it happens; None: nobody is."""
    global _observer
    _observer = observer


def tell(name: str, began: float, ended: float, num_bytes: int = 0) -> None:
    """Something took from `began` to `ended`."""
    if _observer is not None:
        _observer(name, began, ended, num_bytes)


def created(store: Any) -> None:
    """A store was made; it is the one whose servers a profiler means."""
    global _newest
    _newest = weakref.ref(store)


def newest() -> Any:
    """The store that was made last, if it lives."""
    return None if _newest is None else _newest()
