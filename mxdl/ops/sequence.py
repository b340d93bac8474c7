"""Batches of sequences of different lengths: mask, last element, reverse.

Letters: T steps, N batch.  Sequences lie along `axis` (0 or 1), the batch along the other of the two.
"""
from __future__ import annotations

import math

import numpy as np
import torch

from ..errors import ShapeError
from .c_text import c_text
from .families import c_literal
from .indices_c import whole_index
from .operator import operator
from .samples import Sample
from .strided import emit_reversed, emit_view
from .traits import CHEAP, Traits

COPY = Traits(recompute=CHEAP)
LENGTHS = np.array([1, 3, 2], "float32")


def data_and_lengths(attrs):
    return ("data", "sequence_length") if attrs["use_sequence_length"] else ("data",)


def length_of_each_sequence(shapes, *, axis, **_):
    return {"sequence_length": (shapes["data"][1 - axis],)}


def steps(data: torch.Tensor, axis: int) -> torch.Tensor:
    """0, 1, ..., T - 1 along `axis`, to broadcast against data's first two axes."""
    return torch.arange(data.shape[checked(data, axis)], device=data.device).unsqueeze(1 - axis)


def checked(data: torch.Tensor, axis: int) -> int:
    """`axis`.  Raises ShapeError where sequences cannot lie along it."""
    if axis not in (0, 1) or data.dim() < 2:
        raise ShapeError(f"sequences lie along axis 0 or 1, the batch along the other; got axis={axis} for "
                         f"data{list(data.shape)}; transpose first")
    return axis


def lengths(sequence_length: torch.Tensor, axis: int) -> torch.Tensor:
    """The lengths along the batch, to broadcast against data's first two axes."""
    return sequence_length.long().unsqueeze(axis)


def widened(x: torch.Tensor, data: torch.Tensor) -> torch.Tensor:
    """x over data's first two axes, with axes of length 1 for the others."""
    return x.reshape(*x.shape, *[1] * (data.dim() - 2))


@operator("SequenceMask", aliases=("_npx_sequence_mask",), traits=COPY,
          samples=[Sample((4, 3, 2), LENGTHS, use_sequence_length=True, value=-1.0, differentiable=(0,)),
                   Sample((3, 4), LENGTHS, use_sequence_length=True, axis=1, differentiable=(0,)), Sample((4, 3))])
def sequence_mask(data, sequence_length=None, *, use_sequence_length: bool = False, value: float = 0.0, axis: int = 0):
    """data with `value` at the steps past each sequence's length.  data, out: T[T, N, ...]   sequence_length: [N]"""
    if not use_sequence_length:
        return data.clone()
    inside = steps(data, axis) < lengths(sequence_length, axis)
    return torch.where(widened(inside, data), data, value)


@sequence_mask.gradient
def _(call):
    if not call.attrs["use_sequence_length"]:
        return [call.douts[0]]
    return [sequence_mask(call.douts[0], call.inputs[1], use_sequence_length=True, value=0.0,
                          axis=call.attrs["axis"]), None]


@operator("SequenceLast", traits=COPY,
          samples=[Sample((4, 3, 2), LENGTHS, use_sequence_length=True, differentiable=(0,)),
                   Sample((3, 4, 2), LENGTHS, use_sequence_length=True, axis=1, differentiable=(0,)),
                   Sample((4, 3, 2), parity="MXNet's gradient writes outside its memory")])
def sequence_last(data, sequence_length=None, *, use_sequence_length: bool = False, axis: int = 0):
    """The last step of each sequence.  data: T[T, N, ...]   sequence_length: [N]   out: T[N, ...]"""
    if not use_sequence_length:
        return data.select(axis, data.shape[axis] - 1).clone()
    last = (lengths(sequence_length, checked(data, axis)) - 1).clamp(min=0)
    index = widened(last, data).expand(*last.shape, *data.shape[2:])
    return data.gather(axis, index).squeeze(axis)


@operator("SequenceReverse", traits=COPY,
          samples=[Sample((4, 3, 2), LENGTHS, use_sequence_length=True, differentiable=(0,)), Sample((4, 3, 2))])
def sequence_reverse(data, sequence_length=None, *, use_sequence_length: bool = False, axis: int = 0):
    """Each sequence in reverse, the steps past its length in place.  data, out: T[T, N, ...]   sequence_length: [N]"""
    if not use_sequence_length:
        return torch.flip(data, (axis,))
    step, length = steps(data, axis), lengths(sequence_length, axis)
    source = torch.where(step < length, length - 1 - step, step)
    return data.gather(axis, widened(source, data).expand(data.shape))


@sequence_reverse.gradient
def _(call):
    flags = {name: call.attrs[name] for name in ("use_sequence_length", "axis")}
    return [sequence_reverse(call.douts[0], *call.inputs[1:], **flags), *[None] * (len(call.inputs) - 1)]


for op in (sequence_mask, sequence_last, sequence_reverse):
    op.inputs(data_and_lengths)
    op.complete(length_of_each_sequence)


def emit_sequences(call, text: str, *arguments) -> str:
    """C that walks sequences whose lengths are given."""
    data, given = call.inputs
    shape = data.shape
    name = f"{text}_{data.dtype}_within_{given.dtype}"
    c = call.fill(c_text(text), name=name, element=data.element, index=given.element,
                  at=whole_index(call, given, "lengths[k]"))
    return call.call(name, c, data.address, given.address, call.outputs[0].address, *shape[:2], math.prod(shape[2:]),
                     call.attrs["axis"], *arguments)


@sequence_mask.emit_c
def _(call):
    if not call.attrs["use_sequence_length"]:
        return call.elementwise("x")
    return emit_sequences(call, "sequence", 0, c_literal(float(call.attrs["value"])))


@sequence_reverse.emit_c
def _(call):
    if not call.attrs["use_sequence_length"]:
        return emit_reversed(call, (call.attrs["axis"],))
    return emit_sequences(call, "sequence", 1, 0)


@sequence_last.emit_c
def _(call):
    if call.attrs["use_sequence_length"]:
        return emit_sequences(call, "sequence_last")
    return emit_view(lambda data, axis, **_: data.select(axis, data.shape[axis] - 1))(call)
