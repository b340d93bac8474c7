"""Sleeping until another process changes a number in shared memory: Linux's futex, elsewhere short sleeps.

A waiter gives the number that it saw: the kernel puts it to sleep only if the number is still that, so a change between
its look and its sleep is not missed.
"""
from __future__ import annotations

import ctypes
import mmap
import platform
import sys
import time

WAIT, WAKE = 0, 1
EVERYBODY = (1 << 31) - 1
#: number of the system call by machine; on others a waiter sleeps and looks
CALLS = {"x86_64": 202, "aarch64": 98, "riscv64": 98, "ppc64le": 221}
SLEEP_S = 100e-6


class Timespec(ctypes.Structure):
    _fields_ = (("seconds", ctypes.c_long), ("nanoseconds", ctypes.c_long))


class Futex:
    """The 64-bit numbers at the beginning of a shared mapping, of which the low 32 bits are compared."""

    def __init__(self, memory: mmap.mmap):
        self._address = ctypes.addressof(ctypes.c_char.from_buffer(memory))
        self._number = CALLS.get(platform.machine()) if sys.platform == "linux" else None
        if self._number is not None:
            self._call = ctypes.CDLL(None).syscall
            self._call.argtypes = [ctypes.c_long, ctypes.c_void_p, ctypes.c_int, ctypes.c_uint32, ctypes.c_void_p]

    def wait(self, at: int, seen: int, seconds: float) -> None:
        """Returns when number `at` was changed after it was `seen`, after `seconds`, or for no reason: look again."""
        if self._number is None:
            time.sleep(min(SLEEP_S, seconds))
            return
        limit = Timespec(int(seconds), int(seconds % 1 * 1e9))
        self._call(self._number, self._address + 8 * at, WAIT, seen & 0xFFFFFFFF, ctypes.byref(limit))

    def wake(self, at: int) -> None:
        """Wakes everybody who waits for number `at`, after it was changed."""
        if self._number is not None:
            self._call(self._number, self._address + 8 * at, WAKE, EVERYBODY, None)
