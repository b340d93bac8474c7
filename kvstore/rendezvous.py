"""Meeting the other processes of a job: `connect(job)` joins, `store(job)` is where torch's process groups meet."""
from __future__ import annotations

import threading
from collections import defaultdict
from datetime import timedelta
from typing import Any

import torch.distributed as dist

from .control_client import Control
from .frames import Kind
from .job import Job


class SharedStore(dist.Store):
    """torch's key-value store over the control server: process groups of any backend can meet in it.

    prefix: goes before every key, so that a generation does not see an older one's keys.
    """

    def __init__(self, control: Control, prefix: str = ""):
        super().__init__()
        self.control, self.prefix = control, prefix
        self._seconds = control.job.join_timeout

    def _ask(self, kind: Kind, *fields: Any, seconds: float | None = None) -> tuple[bytes, ...]:
        return self.control.ask(kind, list(fields), seconds).fields

    def _name(self, key: str) -> str:
        return f"{self.prefix}/{key}"

    def set(self, key: str, value: str | bytes) -> None:
        self._ask(Kind.SET, self._name(key), value)

    def get(self, key: str) -> bytes:
        return self._ask(Kind.GET, self._name(key), int(self._seconds * 1e3), seconds=self._seconds)[0]

    def add(self, key: str, amount: int) -> int:
        return int.from_bytes(self._ask(Kind.ADD, self._name(key), amount)[0], "big", signed=True)

    def check(self, keys: list[str]) -> bool:
        return bool(int.from_bytes(self._ask(Kind.CHECK, *map(self._name, keys))[0], "big"))

    def wait(self, keys: list[str], timeout: timedelta | None = None) -> None:
        seconds = self._seconds if timeout is None else timeout.total_seconds()
        self._ask(Kind.WAIT, int(seconds * 1e3), *map(self._name, keys), seconds=seconds)

    def compare_set(self, key: str, expected_value: str | bytes, desired_value: str | bytes) -> bytes:
        return self._ask(Kind.COMPARE_SET, self._name(key), expected_value, desired_value)[0]

    def delete_key(self, key: str) -> bool:
        return bool(int.from_bytes(self._ask(Kind.DELETE, self._name(key))[0], "big"))

    def num_keys(self) -> int:
        return int.from_bytes(self._ask(Kind.NUM_KEYS)[0], "big")

    def append(self, key: str, value: str | bytes) -> None:
        self._ask(Kind.APPEND, self._name(key), value)

    def multi_get(self, keys: list[str]) -> list[bytes]:
        return [self.get(key) for key in keys]

    def multi_set(self, keys: list[str], values: list[str | bytes]) -> None:
        for key, value in zip(keys, values, strict=True):
            self.set(key, value)

    def has_extended_api(self) -> bool:
        return True

    def set_timeout(self, timeout: timedelta) -> None:
        self._seconds = timeout.total_seconds()

    @property
    def timeout(self) -> timedelta:
        return timedelta(seconds=self._seconds)


_connections: dict[Job, Control] = {}
_locks: defaultdict[Job, threading.Lock] = defaultdict(threading.Lock)


def connect(job: Job | None = None) -> Control:
    """This process's membership of the job (default: the one that the environment describes); joins at the first call.

    Raises JobError, JoinRefusedError, ControlLostError.
    """
    job = Job.from_environment() if job is None else job
    with _locks[job]:
        if job not in _connections or _connections[job].is_closed:
            _connections[job] = Control(job)
        return _connections[job]


def store(job: Job | None = None) -> SharedStore:
    """The torch.distributed store of a job: `ProcessGroupGloo(store(job), rank, size, timeout)` and the like."""
    return SharedStore(connect(job))
