"""The single-file build's kernel of every reduction: one accumulator over loops, floats added up in double."""
from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

from .loops_c import collapsed, strides


class Fold(NamedTuple):
    """C expressions: where the accumulator `sum` starts, its next value by the element `v`, the result
    (of `$count` elements).   exact: the accumulator has the data's dtype, not double or int64_t."""

    start: str
    step: str
    finish: str = "sum"
    exact: bool = False


TOTAL = Fold("0", "sum + v")
MEAN = Fold("0", "sum + v", "sum / $count")
PRODUCT = Fold("1", "sum * v")
LARGEST = Fold("from[0]", "v > sum || v != v ? v : sum", exact=True)
SMALLEST = Fold("from[0]", "v < sum || v != v ? v : sum", exact=True)
NAN_TOTAL = Fold("0", "v == v ? sum + v : sum")
NAN_PRODUCT = Fold("1", "v == v ? sum * v : sum")
SQUARES = Fold("0", "sum + (double)v * v")
LENGTH = Fold("0", "sum + (double)v * v", "sqrt(sum)")
DISTANCE = Fold("0", "sum + fabs((double)v)")


def emit_fold(fold: Fold, axes_of: Callable) -> Callable:
    """The rule for a reduction over axes_of(call)."""
    return lambda call: fold_loops(call.inputs[0], call.outputs[0], axes_of(call), fold)


def fold_loops(data, out, axes: Sequence[int], fold: Fold) -> str:
    """C of one element of `out` after the other; both are buffers."""
    walk = strides(data.shape, data.shape)
    kept = [i for i in range(len(data.shape)) if i not in axes]
    outer, (steps,) = collapsed([data.shape[i] for i in kept], [[walk[i] for i in kept]])
    inner, (places,) = collapsed([data.shape[i] for i in axes], [[walk[i] for i in axes]])
    accumulator = data.element if fold.exact else "double" if data.is_float else "int64_t"
    heads = "".join(f"for (size_t i{k} = 0; i{k} < {n}; ++i{k}) " for k, n in enumerate(outer))
    loops = "".join(f"for (size_t j{k} = 0; j{k} < {n}; ++j{k}) " for k, n in enumerate(inner))
    start = " + ".join(["0", *(f"i{k} * {s}" for k, s in enumerate(steps) if s)])
    place = " + ".join(["0", *(f"j{k} * {s}" for k, s in enumerate(places) if s)])
    finish = fold.finish.replace("$count", str(math.prod(inner)))
    return (f"{out.element} *to = {out.address}; {heads}{{ const {data.element} *from = {data.address} + ({start}); "
            f"{accumulator} sum = {fold.start}; "
            f"{loops}{{ const {data.element} v = from[{place}]; sum = {fold.step}; }} "
            f"*to++ = ({out.element})({finish}); }}")
