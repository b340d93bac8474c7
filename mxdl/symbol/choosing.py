"""Functions whose arguments choose the operator: two operands of which one may be a number, splitting, counting."""
from __future__ import annotations

from collections.abc import Mapping
from numbers import Number
from typing import Any

from ..ops import registry
from .compose import make_node, visible_outputs
from .symbol import Symbol, one_value


def call(op_name: str, inputs: Mapping[str, Symbol], attrs: Mapping[str, Any], name: str | None = None,
         attr: Mapping[str, str] | None = None) -> Symbol:
    """A node of that operator on symbols by name."""
    values = {n: one_value(s, f"{op_name}: {n}") for n, s in inputs.items()}
    return Symbol(visible_outputs(make_node(registry.get(op_name), op_name, values, attrs, name, attr)))


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


def histogram(a: Symbol, bins: Any = 10, range: Any = None, **kwargs: Any) -> Symbol:  # noqa: A002 - NumPy's name
    """(counts, edges) of the elements of `a`: `bins` equal ones over `range`, or edges given as a symbol."""
    if isinstance(bins, Symbol):
        return call("_histogram", {"data": a, "bins": bins}, {}, **kwargs)
    if range is None:
        raise ValueError("histogram: equal bins need their range; got range=None; give (lowest, highest)")
    return call("_histogram", {"data": a}, {"bin_cnt": bins, "range": range}, **kwargs)


def split_v2(ary: Symbol, indices_or_sections: Any, axis: int = 0, squeeze_axis: bool = False) -> Symbol:
    """Parts of `ary` along `axis`: that many equal ones, or cut before each of the indices."""
    if isinstance(indices_or_sections, int):
        attrs = {"indices": [], "axis": axis, "squeeze_axis": squeeze_axis, "sections": indices_or_sections}
    else:
        attrs = {"indices": [0, *indices_or_sections], "axis": axis, "squeeze_axis": squeeze_axis, "sections": 0}
    return call("_split_v2", {"data": ary}, attrs)


def hypot(left: Any, right: Any) -> Any:
    """sqrt(left^2 + right^2)."""
    return _two(left, right, "_hypot", "_hypot_scalar", "_hypot_scalar")
