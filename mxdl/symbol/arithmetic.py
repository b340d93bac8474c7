"""Python's operators on symbols, with the graph operators that MXNet chooses for each."""
from __future__ import annotations

from numbers import Number
from typing import Any


class Arithmetic:
    """``a + b`` of two symbols is `elemwise_add` (equal shapes); with a number it is `_plus_scalar`."""

    __slots__ = ()

    def _apply(self, name: str, hint: str, *inputs: Any, **attrs: Any) -> Any:
        raise NotImplementedError  # Symbol's

    def _binary(self, other: Any, name: str, hint: str, scalar_name: str, scalar_hint: str) -> Any:
        if isinstance(other, Arithmetic):
            return self._apply(name, hint, self, other)
        return self._scalar(other, scalar_name, scalar_hint)

    def _scalar(self, other: Any, name: str, hint: str) -> Any:
        if not isinstance(other, Number):
            raise TypeError(f"Symbol: an operand is neither symbol nor number; got {type(other).__name__}; "
                            f"make it a symbol: mx.sym.var(...)")
        return self._apply(name, hint, self, scalar=other)

    def __add__(self, other: Any) -> Any:
        return self._binary(other, "elemwise_add", "_plus", "_plus_scalar", "_plusscalar")

    __radd__ = __add__

    def __sub__(self, other: Any) -> Any:
        return self._binary(other, "elemwise_sub", "_minus", "_minus_scalar", "_minusscalar")

    def __rsub__(self, other: Any) -> Any:
        return self._scalar(other, "_rminus_scalar", "_rminusscalar")

    def __mul__(self, other: Any) -> Any:
        return self._binary(other, "elemwise_mul", "_mul", "_mul_scalar", "_mulscalar")

    __rmul__ = __mul__

    def __truediv__(self, other: Any) -> Any:
        return self._binary(other, "elemwise_div", "_div", "_div_scalar", "_divscalar")

    def __rtruediv__(self, other: Any) -> Any:
        return self._scalar(other, "_rdiv_scalar", "_rdivscalar")

    def __mod__(self, other: Any) -> Any:
        return self._binary(other, "_mod", "_mod", "_mod_scalar", "_modscalar")

    def __rmod__(self, other: Any) -> Any:
        return self._scalar(other, "_rmod_scalar", "_rmodscalar")

    def __pow__(self, other: Any) -> Any:
        return self._binary(other, "_power", "_power", "_power_scalar", "_powerscalar")

    def __rpow__(self, other: Any) -> Any:
        return self._scalar(other, "_rpower_scalar", "_rpower_scalar")

    def __neg__(self) -> Any:
        return self._apply("_mul_scalar", "_mulscalar", self, scalar=-1.0)

    def __abs__(self) -> Any:
        return self._apply("abs", "abs", self)

    def __eq__(self, other: Any) -> Any:
        return self._binary(other, "_equal", "_equal", "_equal_scalar", "_equal_scalar")

    def __ne__(self, other: Any) -> Any:
        return self._binary(other, "_not_equal", "_not_equal", "_not_equal_scalar", "_not_equal_scalar")

    def __gt__(self, other: Any) -> Any:
        return self._binary(other, "_greater", "_greater", "_greater_scalar", "_greater_scalar")

    def __ge__(self, other: Any) -> Any:
        return self._binary(other, "_greater_equal", "_greater_equal", "_greater_equal_scalar",
                            "_greater_equal_scalar")

    def __lt__(self, other: Any) -> Any:
        return self._binary(other, "_lesser", "_lesser", "_lesser_scalar", "_lesser_scalar")

    def __le__(self, other: Any) -> Any:
        return self._binary(other, "_lesser_equal", "_lesser_equal", "_lesser_equal_scalar", "_lesser_equal_scalar")

    __hash__ = object.__hash__
