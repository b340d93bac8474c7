"""Python's operators on arrays, and the functions ``mx.nd.add(a, b)`` of arrays and numbers."""
from __future__ import annotations

import operator
from collections.abc import Callable
from numbers import Number
from typing import Any

from ..autograd.state import state
from ..errors import MXNetError
from ..ops import get
from .invoke import invoke
from .ndarray import NDArray

#: method -> (operator of two arrays, of an array and a number, of a number and an array)
ARITHMETIC = {
    "add": ("broadcast_add", "_plus_scalar", "_plus_scalar"),
    "sub": ("broadcast_sub", "_minus_scalar", "_rminus_scalar"),
    "mul": ("broadcast_mul", "_mul_scalar", "_mul_scalar"),
    "truediv": ("broadcast_div", "_div_scalar", "_rdiv_scalar"),
    "mod": ("broadcast_mod", "_mod_scalar", "_rmod_scalar"),
    "pow": ("broadcast_power", "_power_scalar", "_rpower_scalar"),
}
COMPARISONS = {
    "eq": ("broadcast_equal", "_equal_scalar", "_equal_scalar"),
    "ne": ("broadcast_not_equal", "_not_equal_scalar", "_not_equal_scalar"),
    "gt": ("broadcast_greater", "_greater_scalar", "_lesser_scalar"),
    "ge": ("broadcast_greater_equal", "_greater_equal_scalar", "_lesser_equal_scalar"),
    "lt": ("broadcast_lesser", "_lesser_scalar", "_greater_scalar"),
    "le": ("broadcast_lesser_equal", "_lesser_equal_scalar", "_greater_equal_scalar"),
}
#: mx.nd.NAME(lhs, rhs) -> (the table's operators, what two numbers give)
FUNCTIONS: dict[str, tuple[tuple[str, str, str], Callable]] = {
    "add": (ARITHMETIC["add"], operator.add), "subtract": (ARITHMETIC["sub"], operator.sub),
    "multiply": (ARITHMETIC["mul"], operator.mul), "divide": (ARITHMETIC["truediv"], operator.truediv),
    "true_divide": (ARITHMETIC["truediv"], operator.truediv), "modulo": (ARITHMETIC["mod"], operator.mod),
    "power": (ARITHMETIC["pow"], operator.pow),
    "maximum": (("broadcast_maximum", "_maximum_scalar", "_maximum_scalar"), max),
    "minimum": (("broadcast_minimum", "_minimum_scalar", "_minimum_scalar"), min),
    "equal": (COMPARISONS["eq"], lambda a, b: float(a == b)),
    "not_equal": (COMPARISONS["ne"], lambda a, b: float(a != b)),
    "greater": (COMPARISONS["gt"], lambda a, b: float(a > b)),
    "greater_equal": (COMPARISONS["ge"], lambda a, b: float(a >= b)),
    "lesser": (COMPARISONS["lt"], lambda a, b: float(a < b)),
    "lesser_equal": (COMPARISONS["le"], lambda a, b: float(a <= b)),
    "logical_and": (("broadcast_logical_and", "_logical_and_scalar", "_logical_and_scalar"),
                    lambda a, b: float(bool(a) and bool(b))),
    "logical_or": (("broadcast_logical_or", "_logical_or_scalar", "_logical_or_scalar"),
                   lambda a, b: float(bool(a) or bool(b))),
    "logical_xor": (("broadcast_logical_xor", "_logical_xor_scalar", "_logical_xor_scalar"),
                    lambda a, b: float(bool(a) != bool(b))),
}
wrap = NDArray._wrap


def _method(name: str, arrays: str, scalar: str, swap: bool = False) -> Callable:
    """The method of a binary operator; `swap` for the reflected one."""
    binary, with_scalar = get(arrays), get(scalar)
    kernel, scalar_kernel = binary.kernel, with_scalar.kernel

    def method(self: NDArray, other: Any) -> Any:
        # The fast way: what invoke() would do for two plain arrays, or an array and a number, without its loops.
        # Whatever is not plain, or fails, goes through invoke(), which knows every case and words the error.
        data = self._data
        if state.taker is None and (state.recording or not data.requires_grad):
            try:
                if type(other) is NDArray:
                    right = other._data
                    if self._ctx is other._ctx and (state.recording or not right.requires_grad):
                        return wrap(kernel(right, data) if swap else kernel(data, right), self._ctx)
                elif type(other) is float or type(other) is int:
                    return wrap(scalar_kernel(data, scalar=float(other)), self._ctx)
            except (RuntimeError, MXNetError):
                pass
        if isinstance(other, NDArray):
            return invoke(binary, (other, self) if swap else (self, other), {})
        if isinstance(other, Number):
            return invoke(with_scalar, (self,), {"scalar": float(other)})  # type: ignore[arg-type]
        if hasattr(type(other), f"__r{name}__") and not isinstance(other, (list, str)) and not hasattr(other, "dtype"):
            return NotImplemented   # an object with its own idea of this operator
        raise TypeError(f"{name}: the other side is neither array nor number; got {type(other).__name__}; "
                        f"make it one with mx.nd.array")
    method.__name__ = method.__qualname__ = f"__{'r' if swap else ''}{name}__"
    return method


def _in_place(method: Callable, name: str) -> Callable:
    def in_place(self: NDArray, other: Any) -> NDArray:
        result = method(self, other)
        if result._data.shape != self._data.shape:
            raise MXNetError(f"i{name}: the result does not fit into the left side; got {result.shape} for "
                             f"{self.shape}; write x = x ... to make a new array")
        if state.tracer is not None:
            self._data, self._value = result._data, result._value
        else:
            self._write(result._data, f"i{name}")
        return self
    in_place.__name__ = in_place.__qualname__ = f"__i{name}__"
    return in_place


def _function(name: str, operators: tuple[str, str, str], of_numbers: Callable) -> Callable:
    binary, scalar, reflected = (get(n) for n in operators)

    def function(lhs: Any, rhs: Any) -> Any:
        if isinstance(lhs, NDArray):
            if isinstance(rhs, NDArray):
                return invoke(binary, (lhs, rhs), {})
            if isinstance(rhs, Number):
                return invoke(scalar, (lhs,), {"scalar": float(rhs)})  # type: ignore[arg-type]
        elif isinstance(lhs, Number):
            if isinstance(rhs, NDArray):
                return invoke(reflected, (rhs,), {"scalar": float(lhs)})  # type: ignore[arg-type]
            if isinstance(rhs, Number):
                return of_numbers(lhs, rhs)
        raise TypeError(f"{name}: arguments must be arrays or numbers; got {type(lhs).__name__} and "
                        f"{type(rhs).__name__}; make them arrays with mx.nd.array")
    function.__name__ = function.__qualname__ = name
    function.__doc__ = f"{binary.doc}  Either side may be a number.  See `{binary.name}`."
    function.__module__ = "mxdl.ndarray"
    return function


def functions() -> dict[str, Callable]:
    """The functions of arrays and numbers, by their names in mx.nd."""
    return {name: _function(name, operators, of_numbers) for name, (operators, of_numbers) in FUNCTIONS.items()}


def install() -> None:
    """Give NDArray Python's operators."""
    for name, (arrays, scalar, reflected) in ARITHMETIC.items():
        method = _method(name, arrays, scalar)
        setattr(NDArray, f"__{name}__", method)
        setattr(NDArray, f"__r{name}__", _method(name, arrays, reflected, swap=True))
        setattr(NDArray, f"__i{name}__", _in_place(method, name))
    for name, (arrays, scalar, _) in COMPARISONS.items():
        setattr(NDArray, f"__{name}__", _method(name, arrays, scalar))
    NDArray.__hash__ = object.__hash__  # type: ignore[method-assign]  # __eq__ is elementwise; identity hashes
    NDArray.__neg__ = lambda self: self._apply("_mul_scalar", scalar=-1.0)  # type: ignore[misc,assignment]
    NDArray.__abs__ = lambda self: self._apply("abs")  # type: ignore[misc,assignment]
