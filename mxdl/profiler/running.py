"""Whether the profiler runs, and what it then listens to."""
from __future__ import annotations

import os
from pathlib import Path

import torch

from ..autograd import tape
from ..kvstore import spans
from ..ndarray import takers
from ..recorder import recorder

_STATM = Path("/proc/self/statm")
_PAGE = os.sysconf("SC_PAGE_SIZE")


class Run:
    """imperative, symbolic, memory: what is listened to.   is_running: between "run" and "stop".   is_paused: within
    that, nothing is noted for a while."""

    def __init__(self) -> None:
        self.imperative = self.symbolic = True
        self.memory = False
        self.is_running = self.is_paused = False

    @property
    def is_noting(self) -> bool:
        return self.is_running and not self.is_paused

    def listen(self) -> None:
        """Begins or ends to listen, as the fields say."""
        on = self.is_noting
        takers.listen(_operator if on and self.imperative else None)
        tape.listen(_backward if on and self.imperative else None)
        recorder.programs = on and self.symbolic
        spans.observe(_store if on else None)


run = Run()


def _operator(name: str, began: float, ended: float) -> None:
    recorder.span(name, "operator", began, ended)
    if run.memory:
        _note_memory()


def _backward(began: float, ended: float) -> None:
    recorder.span("backward", "autograd", began, ended)
    if run.memory:
        _note_memory()


def _store(name: str, began: float, ended: float, num_bytes: int) -> None:
    recorder.span(name, "kvstore", began, ended, {"bytes": num_bytes})


def _note_memory() -> None:
    """Bytes of the GPU's tensors, or what the process has in memory (Linux tells)."""
    if torch.cuda.is_initialized():
        recorder.value(f"Memory: gpu/{torch.cuda.current_device()}", "memory", torch.cuda.memory_allocated())
    elif _STATM.exists():
        recorder.value("Memory: cpu/0", "memory", _PAGE * int(_STATM.read_text().split()[1]))
