"""Contexts: where an array lives.  ``cpu(1)`` and ``cpu(0)`` are the same memory, told apart as MXNet does."""
from __future__ import annotations

import functools
import re
import threading
from typing import ClassVar

import torch

from .errors import DeviceError


class Context:
    """A device: cpu, gpu, cpu_pinned or cpu_shared, and a number.  ``with mx.gpu(0): ...`` sets the default."""

    __slots__ = ("device_id", "device_type", "torch_device")
    devtype2str: ClassVar[dict[int, str]] = {1: "cpu", 2: "gpu", 3: "cpu_pinned", 5: "cpu_shared"}
    devstr2type: ClassVar[dict[str, int]] = {name: number for number, name in devtype2str.items()}

    device_type: str
    device_id: int

    def __init__(self, device_type: str | Context, device_id: int = 0):
        if isinstance(device_type, Context):
            device_id, device_type = device_type.device_id, device_type.device_type
        if device_type not in self.devstr2type:
            raise DeviceError(f"Context: unknown device type; got {device_type!r}; use one of {[*self.devstr2type]}")
        self.device_type = device_type
        self.device_id = int(device_id)
        if device_type != "gpu":
            self.torch_device = torch.device("cpu")
        elif self.device_id < num_gpus():
            self.torch_device = torch.device("cuda", self.device_id)

    def __getattr__(self, name: str) -> torch.device:
        """Reached for `torch_device` of a GPU that is not there: such a context can be named, but holds no array."""
        if name != "torch_device":
            raise AttributeError(f"Context: no attribute {name!r}")
        raise DeviceError(f"{self}: no such GPU; this machine has {num_gpus()} that can be used; give mx.cpu(), or "
                          f"mx.gpu(n) with n below mx.context.num_gpus()")

    @property
    def device_typeid(self) -> int:
        return self.devstr2type[self.device_type]

    def __eq__(self, other: object) -> bool:
        return self is other or (isinstance(other, Context) and self.device_id == other.device_id
                                 and self.device_type == other.device_type)

    def __hash__(self) -> int:
        return hash((self.device_type, self.device_id))

    def __repr__(self) -> str:
        return f"{self.device_type}({self.device_id})"

    __str__ = __repr__

    def __reduce__(self) -> tuple:
        return context, (self.device_type, self.device_id)

    def __enter__(self) -> Context:
        _thread.contexts.append(self)
        return self

    def __exit__(self, *exc: object) -> None:
        _thread.contexts.pop()

    def empty_cache(self) -> None:
        """Give cached device memory back to the driver; nothing to do on a CPU."""
        if self.device_type == "gpu":
            torch.cuda.empty_cache()


class _Thread(threading.local):
    """The ``with`` contexts that this thread is in, the innermost last."""

    def __init__(self) -> None:
        self.contexts = [cpu(0)]


@functools.cache
def context(device_type: str, device_id: int = 0) -> Context:
    """The context of that name: always the same object, so that `is` decides quickly where it is the same."""
    return Context(device_type, device_id)


def cpu(device_id: int = 0) -> Context:
    return context("cpu", device_id)


def cpu_pinned(device_id: int = 0) -> Context:
    return context("cpu_pinned", device_id)


def gpu(device_id: int = 0) -> Context:
    return context("gpu", device_id)


_thread = _Thread()


@functools.cache
def parse_context(text: str) -> Context:
    """The context that MXNet writes as "gpu(0)" (also "gpu0" and "gpu").  Raises DeviceError."""
    match = re.fullmatch(r"(\w+?)\(?(\d+)?\)?", text)
    if match is None:
        raise DeviceError(f"ctx: not a context; got {text!r}; write cpu(0) or gpu(0)")
    return context(match[1], int(match[2] or 0))


def num_gpus() -> int:
    """How many GPUs this process can use."""
    return torch.cuda.device_count()


def gpu_memory_info(device_id: int = 0) -> tuple[int, int]:
    """(free, total) bytes of a GPU."""
    if device_id >= num_gpus():
        raise DeviceError(f"gpu_memory_info: no such GPU; got {device_id}; this machine has {num_gpus()}")
    return torch.cuda.mem_get_info(device_id)


def wait_for_gpus() -> None:
    """Return when what was started on GPUs is done; at once where none was used."""
    if torch.cuda.is_initialized():
        torch.cuda.synchronize()


def current_context() -> Context:
    """The innermost ``with`` context, cpu(0) outside any."""
    return _thread.contexts[-1]
