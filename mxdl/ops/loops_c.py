"""Loops over arrays that stretch to one shape, with as few axes as their strides allow."""
from __future__ import annotations

from collections.abc import Sequence

#: the widest vector: rows of a multiple of it have no rest, whatever the width
MOST_LANES = 16


def strides(shape: Sequence[int], out: Sequence[int]) -> list[int]:
    """Elements from one place of `out` to the next in an array of `shape` that broadcasts to it; 0 where it stays."""
    found, step = [], 1
    for length in reversed(shape):
        found.append(0 if length == 1 else step)
        step *= length
    return [0] * (len(out) - len(shape)) + found[::-1]


def collapsed(out: Sequence[int], arrays: Sequence[Sequence[int]]) -> tuple[list[int], list[list[int]]]:
    """(lengths, strides of each array) with axes of length 1 dropped and axes merged that every array walks as one."""
    lengths: list[int] = []
    steps: list[list[int]] = [[] for _ in arrays]
    for axis, length in enumerate(out):
        now = [array[axis] for array in arrays]
        if length == 1:
            continue
        if lengths and all(step[-1] == s * length for step, s in zip(steps, now, strict=True)):
            lengths[-1] *= length
            for step, s in zip(steps, now, strict=True):
                step[-1] = s
            continue
        lengths.append(length)
        for step, s in zip(steps, now, strict=True):
            step.append(s)
    return lengths or [1], [step or [1] for step in steps]


def elementwise_loops(out: tuple[str, str], shape: Sequence[int], inputs: Sequence[tuple[str, str, str, Sequence[int]]],
                      expression: str) -> str:
    """C that writes `expression` for each element in order.

    out: (C type, pointer).   inputs: (variable in the expression, C type, pointer, shape), broadcast to `shape`.
    """
    lengths, steps = collapsed(shape, [strides(s, shape) for _, _, _, s in inputs])
    outer, n = range(len(lengths) - 1), lengths[-1]
    heads = "".join(f"for (size_t i{k} = 0; i{k} < {lengths[k]}; ++i{k}) " for k in outer)
    rows, loads = [], []
    for (name, element, pointer, _), step in zip(inputs, steps, strict=True):
        place = "".join(f" + i{k} * {step[k]}" for k in outer if step[k])
        rows.append(f"const {element} *{name}_ = {pointer}{place};")
        at = {0: "0", 1: "i"}.get(step[-1], f"i * {step[-1]}")
        loads.append(f"const {element} {name} = {name}_[{at}];")
    return (f"{out[0]} *to = {out[1]}; {heads}{{ {' '.join(rows)} "
            f"for (size_t i = 0; i < {n}; ++i) {{ {' '.join(loads)} to[i] = {expression}; }} to += {n}; }}")


def vector_loops(out: str, shape: Sequence[int], inputs: Sequence[tuple[str, str, Sequence[int]]],
                 expression: str) -> str:
    """As `elementwise_loops` of float32, with `expression` in the words of vectors (simd.c.in).

    inputs: (variable in the expression, pointer, shape), broadcast to `shape`.
    """
    lengths, steps = collapsed(shape, [strides(s, shape) for _, _, s in inputs])
    outer, n = range(len(lengths) - 1), lengths[-1]
    heads = "".join(f"for (size_t i{k} = 0; i{k} < {lengths[k]}; ++i{k}) " for k in outer)
    rows, loads, parts = [], [], []
    for (name, pointer, _), step in zip(inputs, steps, strict=True):
        place = "".join(f" + i{k} * {step[k]}" for k in outer if step[k])
        rows.append(f"const float *{name}_ = {pointer}{place};")
        same = f"const vf {name} = v_set({name}_[0]);"
        loads.append(f"const vf {name} = v_load({name}_ + i);" if step[-1] else same)
        parts.append(f"const vf {name} = v_load_part({name}_ + i, {n} - i);" if step[-1] else same)
    whole = f"for (; i + VW <= {n}; i += VW) {{ {' '.join(loads)} v_store(to + i, {expression}); }}"
    rest = f"if (i < {n}) {{ {' '.join(parts)} v_store_part(to + i, {expression}, {n} - i); }}"
    return (f"float *to = {out}; {heads}{{ {' '.join(rows)} size_t i = 0; {whole} "
            f"{'' if n % MOST_LANES == 0 else rest} to += {n}; }}")
