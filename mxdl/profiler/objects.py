"""What a program notes of its own in a profile: tasks, frames and events (spans), counters and markers."""
from __future__ import annotations

import time

from ..errors import MXNetError
from ..recorder import recorder
from .running import run

_SCOPES = {"global": "g", "process": "p", "thread": "t", "task": "t", "marker": "t"}


class Domain:
    """A name for things that belong together: their category in the trace, their table in `dumps`."""

    def __init__(self, name: str):
        self.name = name

    def __str__(self) -> str:
        return self.name

    def new_task(self, name: str) -> Task:
        return Task(self, name)

    def new_frame(self, name: str) -> Frame:
        return Frame(self, name)

    def new_counter(self, name: str, value: float | None = None) -> Counter:
        return Counter(self, name, value)

    def new_marker(self, name: str) -> Marker:
        return Marker(self, name)


class _Span:
    """Something between `start` and `stop`; also as ``with span:``."""

    def __init__(self, name: str, category: str):
        self.name, self._category = name, category
        self._began: float | None = None

    def start(self) -> None:
        self._began = time.perf_counter()

    def stop(self) -> None:
        """Raises MXNetError where it was not started."""
        if self._began is None:
            raise MXNetError(f"profiler: {self.name!r} is stopped without a start; call start() first")
        if run.is_noting:
            recorder.span(self.name, self._category, self._began, time.perf_counter())
        self._began = None

    def __enter__(self) -> _Span:
        self.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.stop()

    def __str__(self) -> str:
        return self.name


class Task(_Span):
    """Something that the program does, perhaps more than once, in a domain."""

    def __init__(self, domain: Domain, name: str):
        super().__init__(name, str(domain))


class Frame(Task):
    """One of many equal passes, as a picture of a film or a batch, in a domain."""


class Event(_Span):
    """Something that the program does, in no domain."""

    def __init__(self, name: str):
        super().__init__(name, "event")


class Counter:
    """A number over time.  value: what it begins with; None: nothing is noted before it is set."""

    def __init__(self, domain: Domain, name: str, value: float | None = None):
        self.name, self._category = name, str(domain)
        self._value: float = 0
        if value is not None:
            self.set_value(value)

    def set_value(self, value: float) -> None:
        self._value = value
        if run.is_noting:
            recorder.value(self.name, self._category, value)

    def increment(self, delta: float = 1) -> None:
        self.set_value(self._value + delta)

    def decrement(self, delta: float = 1) -> None:
        self.set_value(self._value - delta)

    def __iadd__(self, delta: float) -> Counter:
        self.increment(delta)
        return self

    def __isub__(self, delta: float) -> Counter:
        self.decrement(delta)
        return self

    def __str__(self) -> str:
        return self.name


class Marker:
    """A moment."""

    def __init__(self, domain: Domain, name: str):
        self.name, self._category = name, str(domain)

    def mark(self, scope: str = "process") -> None:
        """Notes that it is now.  scope: how far it concerns others, "global", "process", "thread", "task", "marker"."""
        if scope not in _SCOPES:
            raise MXNetError(f"profiler: a marker's scope is one of {', '.join(_SCOPES)}; got {scope!r}")
        if run.is_noting:
            recorder.instant(self.name, self._category, _SCOPES[scope])
