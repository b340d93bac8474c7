"""Cross entropy with class numbers for labels: log_softmax and the pick of one class, as one operator in training."""
from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch

from ..types import TensorType
from .indexing import pick, picked_index
from .operator import operator
from .samples import Sample
from .softmax import log_softmax
from .traits import CHEAP, Traits

_aten = torch.ops.aten
#: elements of a block that stays in the cache beside what is read and written
_CACHED = 1 << 18


@operator("_log_softmax_pick", traits=Traits(recompute=CHEAP), num_outputs=3, num_visible=1, parity=None,
          samples=[Sample((2, 3, 4), np.array([[0, 3, 2], [1, 1, 0]], "float32"), differentiable=(0,)),
                   Sample((2, 3, 4), np.array([[0, 1, 2, 1], [2, 1, 0, 0]], "float32"), axis=1, keepdims=True,
                          differentiable=(0,))])
def log_softmax_pick(data, index, *, axis: int = -1, keepdims: bool = False, mode: str = "clip"):
    """pick(log_softmax(data), index).  data: float[..., C, ...]   index: [...]   out: float[...]

    Further outputs, for the gradient: log_softmax(data), and `index` as int64 with length 1 at `axis`.
    """
    logs = torch.log_softmax(data, axis)
    place = picked_index(logs, index, axis, mode)
    out = logs.gather(axis, place)
    if not keepdims:
        out = out.squeeze(axis) if out.dim() > 1 else out
    return out, logs, place


@log_softmax_pick.gradient
def _(call):
    return [log_softmax_pick_gradient(call.douts[0], *call.outputs[1:], axis=call.attrs["axis"]), None]


@log_softmax_pick.infer
def _(inputs, attrs):
    data, lengths = inputs[0], list(inputs[0].shape)
    axis = attrs["axis"] % len(lengths)
    lengths[axis] = 1
    out = lengths if attrs["keepdims"] else lengths[:axis] + lengths[axis + 1:]
    return TensorType(tuple(out) or (1,), data.dtype), data, TensorType(tuple(lengths), "int64")


@operator("_backward_log_softmax_pick", traits=Traits(recompute=CHEAP), parity=None)
def log_softmax_pick_gradient(dout, logs, place, *, axis: int = -1):
    """Gradient by data: dout at the places picked, less softmax times dout.  out: float[logs.shape]"""
    dout = dout.reshape(place.shape)
    if logs.is_cpu and logs.is_contiguous() and _has_blocks(logs.shape, axis):
        return _by_blocks(dout, logs, place)
    picked = torch.zeros_like(logs).scatter_(axis, place, dout)
    if not picked.is_contiguous():    # torch would write through the wrong strides
        return _aten._log_softmax_backward_data(picked, logs, axis, logs.dtype)
    return _aten._log_softmax_backward_data.out(picked, logs, axis, logs.dtype, out=picked)


@log_softmax_pick_gradient.infer
def _(inputs, attrs):
    return inputs[1:2]


@log_softmax_pick_gradient.scratch
def _(inputs, attrs):
    logs = inputs[1]
    if not _has_blocks(logs.shape, attrs["axis"]):
        return 0
    return _rows_of_block(logs.shape[-1]) * logs.shape[-1] * logs.num_bytes // logs.size


def _has_blocks(shape: Sequence[int], axis: int) -> bool:
    return axis % len(shape) == len(shape) - 1 and math.prod(shape) > max(_CACHED, shape[-1])


def _rows_of_block(columns: int) -> int:
    return max(1, _CACHED // columns)


def _by_blocks(dout: torch.Tensor, logs: torch.Tensor, place: torch.Tensor) -> torch.Tensor:
    """The same for classes on the last axis: the gradient of the pick, which is all but zeros, is made for a block of
    rows at a time, so that it stays in the cache: two passes over large memory instead of four."""
    grad = torch.empty_like(logs)
    columns = logs.shape[-1]
    parts = [tensor.reshape(-1, tensor.shape[-1]) for tensor in (dout, logs, place, grad)]
    zeros = logs.new_zeros((_rows_of_block(columns), columns))
    for dout_, logs_, place_, grad_ in zip(*(part.split(len(zeros)) for part in parts), strict=True):
        picked = zeros[:len(logs_)].scatter_(1, place_, dout_)
        _aten._log_softmax_backward_data.out(picked, logs_, 1, logs.dtype, out=grad_)
        picked.scatter_(1, place_, 0.0)
    return grad


@log_softmax.followed_by(pick)
def _(attrs, pick_attrs):
    if attrs["temperature"] or attrs["dtype"] or attrs["use_length"] or attrs["axis"] != pick_attrs["axis"]:
        return None
    return log_softmax_pick, {name: pick_attrs[name] for name in ("axis", "keepdims", "mode")}
