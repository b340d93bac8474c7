"""``mx.util``: questions about devices and about MXNet's NumPy mode, which is never on here."""
from __future__ import annotations

from typing import Any

from . import device
from .errors import NotBuiltError


def get_gpu_count() -> int:
    return device.num_gpus()


def get_gpu_memory(gpu_dev_id: int) -> tuple[int, int]:
    """(free, total) bytes of a GPU."""
    return device.gpu_memory_info(gpu_dev_id)


def is_np_array() -> bool:
    """Whether Gluon works on mx.np arrays: not built, so it works on NDArrays."""
    return False


def is_np_shape() -> bool:
    """Whether 0 in a shape is a length and not "unknown"."""
    return False


def set_np(shape: bool = True, array: bool = True, dtype: bool = False) -> None:
    """MXNet's NumPy mode."""
    if shape or array:
        raise NotBuiltError("util.set_np: mx.np is not built; got set_np(); use mx.nd")


def reset_np() -> None:
    """Leave the NumPy mode, which is never on."""


def use_np(func: Any) -> Any:
    """Marks code for MXNet's NumPy mode."""
    raise NotBuiltError(f"util.use_np: mx.np is not built; got {getattr(func, '__name__', func)}; use mx.nd")


def set_module(module: str) -> Any:
    """A decorator that sets an object's ``__module__``."""
    def decorate(thing: Any) -> Any:
        thing.__module__ = module
        return thing
    return decorate
