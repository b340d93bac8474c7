"""One value everywhere."""
from __future__ import annotations

from .. import ndarray
from ..ndarray import NDArray
from .base import Initializer, alias, register


@alias("zeros", "zero")
class Zero(Initializer):
    """0 everywhere."""

    def __init__(self):
        super().__init__()

    def _init_weight(self, name: str, arr: NDArray) -> None:
        arr[:] = 0


@alias("ones", "one")
class One(Initializer):
    """1 everywhere."""

    def __init__(self):
        super().__init__()

    def _init_weight(self, name: str, arr: NDArray) -> None:
        arr[:] = 1


@register
class Constant(Initializer):
    """A value everywhere, or the values of an array of the parameter's shape."""

    def __init__(self, value):
        super().__init__(value=value)
        self.value = value

    def _init_weight(self, name: str, arr: NDArray) -> None:
        value = ndarray.array(self.value) if isinstance(self.value, (list, tuple)) else self.value
        if isinstance(value, NDArray):
            value = value.astype(arr.dtype).as_in_context(arr.context).reshape(arr.shape)
        arr[:] = value
