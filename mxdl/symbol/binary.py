"""Functions of two operands, each a symbol or a number."""
from __future__ import annotations

from numbers import Number
from typing import Any

from .symbol import Symbol


def _two(left: Any, right: Any, operator: str, scalar: str, reversed_scalar: str) -> Any:
    if isinstance(left, Symbol) and isinstance(right, Symbol):
        return left._apply(operator, operator, left, right)
    if isinstance(left, Symbol) and isinstance(right, Number):
        return left._apply(scalar, scalar.replace("_scalar", "scalar"), left, scalar=right)
    if isinstance(left, Number) and isinstance(right, Symbol):
        return right._apply(reversed_scalar, reversed_scalar.replace("_scalar", "scalar"), right, scalar=left)
    raise TypeError(f"{operator.strip('_')}: one operand must be a symbol, the other a symbol or a number; "
                    f"got {type(left).__name__} and {type(right).__name__}")


def pow(base: Any, exp: Any) -> Any:  # noqa: A001 - MXNet's name
    """base ** exp."""
    return _two(base, exp, "_power", "_power_scalar", "_rpower_scalar")


power = pow


def maximum(left: Any, right: Any) -> Any:
    """The greater of each pair."""
    return _two(left, right, "_maximum", "_maximum_scalar", "_maximum_scalar")


def minimum(left: Any, right: Any) -> Any:
    """The lesser of each pair."""
    return _two(left, right, "_minimum", "_minimum_scalar", "_minimum_scalar")


def hypot(left: Any, right: Any) -> Any:
    """sqrt(left^2 + right^2)."""
    return _two(left, right, "_hypot", "_hypot_scalar", "_hypot_scalar")
