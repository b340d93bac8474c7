"""Reading the memory of another process of this machine: Linux's process_vm_readv, where the kernel allows it.

The kernel allows it among processes of one user that see each other's ids.  Where its module Yama restricts that to
descendants (kernel.yama.ptrace_scope=1, as on Ubuntu), a process may name one other whose descendants are allowed too:
workers name their parent, which is the launcher of all of them.
"""
from __future__ import annotations

import ctypes
import os
import secrets
import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

STRETCH_BYTES = 16
MOST_STRETCHES = 1024       # IOV_MAX
PR_SET_PTRACER = 0x59616D61
YAMA = Path("/proc/sys/kernel/yama/ptrace_scope")
PROBE_BYTES = 32

Stretches = NDArray[np.uint64]      # uint64[n, 2]: address and length in bytes of stretches of memory (struct iovec)


class PeerMemory:
    """The memory of one process, by its id."""

    def __init__(self, pid: int):
        self.pid = pid
        self._read = ctypes.CDLL(None, use_errno=True).process_vm_readv
        self._read.restype = ctypes.c_ssize_t
        self._read.argtypes = [ctypes.c_int, ctypes.c_void_p, ctypes.c_ulong, ctypes.c_void_p, ctypes.c_ulong,
                               ctypes.c_ulong]

    def read(self, remote: int, remote_count: int, local: int, local_count: int) -> int:
        """Copies stretches of its memory, one after the other, to stretches of ours, until either end.

        remote, local: where `Stretches` lie.   counts: how many, at most MOST_STRETCHES.   out: bytes copied; fewer
        where some of its memory is gone.   Raises OSError where nothing can be read.
        """
        done = self._read(self.pid, local, local_count, remote, remote_count, 0)
        if done < 0:
            error = ctypes.get_errno()
            raise OSError(error, os.strerror(error))
        return done


class Probe:
    """What a process shows so that others find out whether they read its memory, and not another's."""

    def __init__(self) -> None:
        self._secret = np.frombuffer(secrets.token_bytes(PROBE_BYTES), np.uint8)
        self.shown = np.array([os.getpid(), self._secret.ctypes.data], np.int64)

    def digits(self) -> NDArray[np.int64]:
        """Process, address and what lies there.  out: int64[2 + PROBE_BYTES // 8]"""
        return np.concatenate([self.shown, self._secret.view(np.int64)])


def is_there() -> bool:
    """Whether this system has the call at all."""
    return sys.platform == "linux" and hasattr(ctypes.CDLL(None), "process_vm_readv")


def allow_siblings() -> None:
    """Where Yama is in the way: lets the descendants of this process's parent read this one."""
    if YAMA.exists() and YAMA.read_text().strip() == "1":
        ctypes.CDLL(None).prctl(PR_SET_PTRACER, ctypes.c_ulong(os.getppid()), 0, 0, 0)


def opened(digits: NDArray[np.int64]) -> PeerMemory | None:
    """The memory of the process that showed these `Probe.digits`; None: it cannot be read from here."""
    pid, address, *_ = digits.tolist()
    found = np.zeros(PROBE_BYTES, np.uint8)
    memory = PeerMemory(pid)
    try:
        there, here = stretches([address], [PROBE_BYTES]), stretches([found.ctypes.data], [PROBE_BYTES])
        memory.read(there.ctypes.data, 1, here.ctypes.data, 1)
    except OSError:         # another container, user or kernel setting: the caller has another way
        return None
    return memory if np.array_equal(found.view(np.int64), digits[2:]) else None


def stretches(addresses, lengths) -> Stretches:
    """addresses, lengths: int[n]; out: uint64[n, 2]"""
    return np.ascontiguousarray(np.stack([np.asarray(addresses, np.uint64), np.asarray(lengths, np.uint64)], axis=1))
