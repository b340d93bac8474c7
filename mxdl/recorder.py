"""What ran and when, noted while somebody asks (`mx.profiler`): events in the words of Chrome's tracing."""
from __future__ import annotations

import os
import threading
import time
from collections.abc import Mapping
from typing import Any

MOST_EVENTS = 1_000_000        # kept; later ones are only counted

#: seconds since 1970 where `time.perf_counter` was 0
_ORIGIN = time.time() - time.perf_counter()


class Recorder:
    """Events since the last `clear`, in the order of their ends.

    programs: whether the steps of programs are to be noted; who runs them asks.   left_out: events beyond MOST_EVENTS.
    Times are seconds of `time.perf_counter`.  Any thread may note.
    """

    def __init__(self) -> None:
        self.programs = False
        self.clear()

    def clear(self) -> None:
        self.events: list[dict[str, Any]] = []
        self.left_out = 0

    def span(self, name: str, category: str, began: float, ended: float, args: Mapping[str, Any] | None = None) -> None:
        """Something took from `began` to `ended`."""
        self._note({"name": name, "cat": category, "ph": "X", "ts": _microseconds(began),
                    "dur": max(0.0, 1e6 * (ended - began)), **({"args": dict(args)} if args else {})})

    def value(self, name: str, category: str, value: float) -> None:
        """A number has changed."""
        self._note({"name": name, "cat": category, "ph": "C", "ts": _microseconds(time.perf_counter()),
                    "args": {name: value}})

    def instant(self, name: str, category: str, scope: str) -> None:
        """Something happened.  scope: "g", "p" or "t" (everywhere, in the process, in the thread)."""
        self._note({"name": name, "cat": category, "ph": "i", "s": scope, "ts": _microseconds(time.perf_counter())})

    def _note(self, event: dict[str, Any]) -> None:
        if len(self.events) >= MOST_EVENTS:
            self.left_out += 1
            return
        event["pid"], event["tid"] = os.getpid(), threading.get_ident()
        self.events.append(event)


def _microseconds(moment: float) -> float:
    """Since 1970."""
    return 1e6 * (_ORIGIN + moment)


recorder = Recorder()
