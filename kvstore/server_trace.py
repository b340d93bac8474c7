"""What a parameter server did and when, in the format of Chrome's tracing (about:tracing, Perfetto)."""
from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from .errors import KVStoreError

MOST_EVENTS = 50_000        # kept; later ones are only counted
COMMANDS = ("run", "stop", "pause", "resume", "dump")


class ServerTrace:
    """Requests, each with its kind, session, bytes and time.  clock: seconds since 1970, equal on machines in step."""

    def __init__(self, rank: int, clock: Callable[[], float] = time.time):
        self._rank, self._clock = rank, clock
        self._events: list[dict[str, Any]] = []
        self._left_out = 0
        self.is_running = False

    def now(self) -> float:
        return self._clock()

    def note(self, kind: str, began: float, session: int, num_bytes: int) -> None:
        """A request that began at `began` has been answered."""
        if len(self._events) >= MOST_EVENTS:
            self._left_out += 1
            return
        self._events.append({"name": kind, "ph": "X", "ts": round(1e6 * began),
                             "dur": round(1e6 * (self.now() - began)), "pid": self._rank, "tid": session,
                             "args": {"bytes": num_bytes}})

    def command(self, command: str) -> dict[str, Any]:
        """Carries out "run" (begins anew), "stop", "pause", "resume" or "dump", which alone tells the events.

        Raises KVStoreError."""
        if command not in COMMANDS:
            raise KVStoreError(f"server profiler: a command is one of {', '.join(COMMANDS)}; got {command!r:.40}")
        if command == "dump":
            name = {"name": "process_name", "ph": "M", "pid": self._rank,
                    "args": {"name": f"parameter server {self._rank}"}}
            return {"events": [name, *self._events], "left_out": self._left_out}
        self.is_running = command in ("run", "resume")
        if command == "run":
            self._events, self._left_out = [], 0
        return {}
