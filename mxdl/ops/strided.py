"""The single-file build's kernel of every operator that copies elements from places with regular strides."""
from __future__ import annotations

from collections.abc import Callable, Sequence

import torch

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
            if view.untyped_storage()._cdata != inputs[0].untyped_storage()._cdata:
                raise call.refuse("this form of it is more than a view and has no C kernel")
            if out is not None:
                statements.append(copy_loops(call.inputs[0].pointer, out.pointer, view.shape, view.stride(),
                                             view.storage_offset()))
        return " ".join(statements)
    return emit


def copy_loops(source: str, target: str, shape: Sequence[int], strides: Sequence[int], offset: int) -> str:
    """C loops that write the elements source[offset + i0 * stride0 + ...] to `target` in order."""
    loops = "".join(f"for (size_t i{k} = 0; i{k} < {length}; ++i{k}) " for k, length in enumerate(shape))
    place = " + ".join([str(offset), *(f"i{k} * {stride}" for k, stride in enumerate(strides) if stride)])
    return f"{{ float *RESTRICT to = {target}; {loops}*to++ = {source}[{place}]; }}"
