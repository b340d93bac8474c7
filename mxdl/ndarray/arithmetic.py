"""Python's operators on arrays."""
from __future__ import annotations

import numbers
from collections.abc import Callable
from typing import Any

from ..autograd.state import state
from ..ops import get
from .invoke import invoke
from .ndarray import NDArray

#: method -> (operator of two arrays, operator of an array and a number, the same with the number on the left)
TABLE = {
    "add": ("broadcast_add", "_plus_scalar", "_plus_scalar"),
    "sub": ("broadcast_sub", "_minus_scalar", "_rminus_scalar"),
    "mul": ("broadcast_mul", "_mul_scalar", "_mul_scalar"),
    "truediv": ("broadcast_div", "_div_scalar", "_rdiv_scalar"),
    "mod": ("broadcast_mod", "_mod_scalar", "_rmod_scalar"),
    "pow": ("broadcast_power", "_power_scalar", "_rpower_scalar"),
}
COMPARISONS = {
    "eq": ("broadcast_equal", "_equal_scalar"), "ne": ("broadcast_not_equal", "_not_equal_scalar"),
    "gt": ("broadcast_greater", "_greater_scalar"), "ge": ("broadcast_greater_equal", "_greater_equal_scalar"),
    "lt": ("broadcast_lesser", "_lesser_scalar"), "le": ("broadcast_lesser_equal", "_lesser_equal_scalar"),
}


def _method(arrays: str, scalar: str, swap: bool = False) -> Callable:
    binary, with_scalar = get(arrays), get(scalar)
    kernel = binary.kernel
    fast = binary.traits.elementwise

    def method(self: NDArray, other: Any) -> Any:
        if type(other) is NDArray:
            a, b = self._data, other._data
            if fast and state.tracer is None and a.dtype is b.dtype and self._ctx is other._ctx \
                    and (state.recording or not (a.requires_grad or b.requires_grad)) and a.shape == b.shape:
                return NDArray._wrap(kernel(b, a) if swap else kernel(a, b), self._ctx)
            return invoke(binary, (other, self) if swap else (self, other), {})
        if isinstance(other, NDArray):
            return invoke(binary, (other, self) if swap else (self, other), {})
        if isinstance(other, numbers.Number):
            return invoke(with_scalar, (self,), {"scalar": float(other)})
        return NotImplemented
    return method


def install() -> None:
    """Give NDArray the operators."""
    for name, (arrays, scalar, reflected) in TABLE.items():
        setattr(NDArray, f"__{name}__", _method(arrays, scalar))
        setattr(NDArray, f"__r{name}__", _method(arrays, reflected, swap=True))
        setattr(NDArray, f"__i{name}__", _in_place(getattr(NDArray, f"__{name}__"), name))
    for name, (arrays, scalar) in COMPARISONS.items():
        setattr(NDArray, f"__{name}__", _method(arrays, scalar))
    NDArray.__hash__ = object.__hash__  # type: ignore[method-assign]  # __eq__ is elementwise; identity hashes
    NDArray.__neg__ = lambda self: invoke(get("_mul_scalar"), (self,), {"scalar": -1.0})
    NDArray.__abs__ = lambda self: invoke(get("abs"), (self,), {})


def _in_place(method: Callable, name: str) -> Callable:
    def in_place(self: NDArray, other: Any) -> NDArray:
        result = method(self, other)
        if result is NotImplemented:
            return result
        self._assign(result._data, f"i{name}")
        return self
    return in_place
