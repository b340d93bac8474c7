"""The single-file build's kernel of every operator that copies elements from places with regular strides."""
from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch

from .loops_c import collapsed
from .operator import Operator


def emit_view(of: Operator | Callable) -> Callable:
    """The rule for an operator: it runs on a tensor without memory, and the strides of its views say what to copy.

    of: the operator, or a function of its inputs and attributes that gives the outputs' elements in order as a view.
    """
    def emit(call) -> str:
        inputs = [torch.empty(b.shape, device="meta") for b in call.inputs]
        outputs = (of.kernel if isinstance(of, Operator) else of)(*inputs, **call.attrs)
        outputs = outputs if isinstance(outputs, tuple) else (outputs,)
        statements = []
        for view, out in zip(outputs, call.outputs, strict=True):
            if out is not None and out.dtype != call.inputs[0].dtype:
                raise call.refuse("a change of dtype has no C kernel here")
            if view.untyped_storage()._cdata != inputs[0].untyped_storage()._cdata:
                raise call.refuse("this form of it is more than a view and has no C kernel")
            if out is not None:
                statements.append(copy_loops(call.inputs[0], out, view.shape, view.stride(), view.storage_offset()))
        return " ".join(statements)
    return emit


def emit_reversed(call, axes: Sequence[int]) -> str:
    """C of the first input with the order of elements reversed along `axes`."""
    data = torch.empty(call.inputs[0].shape, device="meta")
    axes = [i % data.dim() for i in axes]
    strides = [-s if i in axes else s for i, s in enumerate(data.stride())]
    offset = sum((data.shape[i] - 1) * data.stride(i) for i in axes)
    return copy_loops(call.inputs[0], call.outputs[0], data.shape, strides, offset)


def copy_loops(source: Any, target: Any, shape: Sequence[int], strides: Sequence[int], offset: int) -> str:
    """C that writes the elements source[offset + i0 * stride0 + ...] to `target` in order; both are buffers."""
    lengths, (steps,) = collapsed(shape, [strides])
    outer, n = range(len(lengths) - 1), lengths[-1]
    loops = "".join(f"for (ptrdiff_t i{k} = 0; i{k} < {lengths[k]}; ++i{k}) " for k in outer)
    place = " + ".join([str(offset), *(f"i{k} * {steps[k]}" for k in outer if steps[k])])
    row = f"const {source.element} *row = {source.address} + ({place});"
    if steps[-1] == 1:
        body = f"memcpy(to, row, {n} * sizeof *to);"
    else:
        body = f"for (ptrdiff_t i = 0; i < {n}; ++i) to[i] = row[i * ({steps[-1]})];"
    return f"{{ {target.element} *to = {target.address}; {loops}{{ {row} {body} to += {n}; }} }}"
