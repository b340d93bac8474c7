"""The keys that the processes of a job share while they find each other: what a torch.distributed.Store keeps."""
from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from .errors import FrameError
from .frames import Frame, Kind, decode, take

MAX_KEYS = 1 << 20
MAX_BYTES = 256 << 20


class SharedKeys:
    """A map of names to bytes with waits.  `changed` is set by the event loop that serves it."""

    changed: asyncio.Condition

    def __init__(self) -> None:
        self._values: dict[str, bytes] = {}
        self._bytes = 0
        self.answers: dict[Kind, Callable[[int, Frame], Awaitable[list[Any]]]] = {
            Kind.SET: self._set, Kind.GET: self._get, Kind.ADD: self._add, Kind.CHECK: self._check,
            Kind.WAIT: self._wait, Kind.COMPARE_SET: self._compare_set, Kind.DELETE: self._delete,
            Kind.NUM_KEYS: self._num_keys, Kind.APPEND: self._append}

    async def _write(self, key: str, value: bytes) -> None:
        size = self._bytes + len(value) - len(self._values.get(key, b""))
        if size > MAX_BYTES or len(self._values) >= MAX_KEYS:
            raise FrameError(f"the shared keys are full: {len(self._values)} keys, {self._bytes} bytes")
        self._values[key], self._bytes = value, size
        async with self.changed:
            self.changed.notify_all()

    async def _present(self, keys: list[str], timeout_ms: int) -> None:
        async with self.changed:
            try:
                await asyncio.wait_for(self.changed.wait_for(lambda: all(key in self._values for key in keys)),
                                       timeout_ms / 1e3)
            except TimeoutError:
                missing = [key for key in keys if key not in self._values]
                raise TimeoutError(f"waited {timeout_ms / 1e3:g} s for the keys {missing[:8]}") from None

    async def _set(self, _session: int, frame: Frame) -> list[Any]:
        await self._write(*take(frame, str, bytes))
        return []

    async def _get(self, _session: int, frame: Frame) -> list[Any]:
        key, timeout_ms = take(frame, str, int)
        await self._present([key], timeout_ms)
        return [self._values[key]]

    async def _add(self, _session: int, frame: Frame) -> list[Any]:
        key, amount = take(frame, str, int)
        text = self._values.get(key, b"0")
        if not text.lstrip(b"-").isdigit():
            raise FrameError(f"ADD: {key!r} holds no number")
        total = int(text) + amount
        await self._write(key, b"%d" % total)
        return [total]

    async def _check(self, _session: int, frame: Frame) -> list[Any]:
        keys = [decode(frame, field, str) for field in frame.fields]
        return [int(all(key in self._values for key in keys))]

    async def _wait(self, _session: int, frame: Frame) -> list[Any]:
        if not frame.fields:
            raise FrameError("WAIT: needs a time; got no field")
        keys = [decode(frame, field, str) for field in frame.fields[1:]]
        await self._present(keys, decode(frame, frame.fields[0], int))
        return []

    async def _compare_set(self, _session: int, frame: Frame) -> list[Any]:
        """Sets the value where the present one is as expected (or there is none and none is expected); the value."""
        key, expected, desired = take(frame, str, bytes, bytes)
        present = self._values.get(key)
        if present == expected or present is None and not expected:
            await self._write(key, desired)
        return [self._values.get(key, expected)]

    async def _delete(self, _session: int, frame: Frame) -> list[Any]:
        value = self._values.pop(take(frame, str)[0], None)
        self._bytes -= len(value or b"")
        return [int(value is not None)]

    async def _num_keys(self, _session: int, frame: Frame) -> list[Any]:
        return [len(self._values)]

    async def _append(self, _session: int, frame: Frame) -> list[Any]:
        key, more = take(frame, str, bytes)
        await self._write(key, self._values.get(key, b"") + more)
        return []
