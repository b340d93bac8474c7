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


def position_loops(data, out, axes: Sequence[int], better: str) -> str:
    """C of the first place of the extreme along `axes`, which are one or all; what is no number counts as extreme."""
    shape, axis = data.shape, axes[0]
    outer, n, inner = (1, data.size, 1) if len(axes) > 1 else (
        math.prod(shape[:axis]), shape[axis], math.prod(shape[axis + 1:]))
    nan = " || (v != v && best == best)" if data.is_float else ""
    return (f"for (size_t o = 0; o < {outer}; ++o) for (size_t i = 0; i < {inner}; ++i) {{ "
            f"const {data.element} *from = {data.address} + o * {n * inner} + i; {data.element} best = from[0]; "
            f"size_t at = 0; for (size_t k = 1; k < {n}; ++k) {{ const {data.element} v = from[k * {inner}]; "
            f"if (v {better} best{nan}) best = v, at = k; }} "
            f"{out.address}[o * {inner} + i] = ({out.element})at; }}")


def running_sums(data, out, outer: int, n: int, inner: int) -> str:
    """C of the sums of all elements up to each one along n."""
    return (f"for (size_t o = 0; o < {outer}; ++o) for (size_t i = 0; i < {inner}; ++i) {{ "
            f"{'double' if out.is_float else 'int64_t'} sum = 0; for (size_t k = 0; k < {n}; ++k) {{ "
            f"const size_t at = (o * {n} + k) * {inner} + i; sum += {data.address}[at]; "
            f"{out.address}[at] = ({out.element})sum; }} }}")
