"""Cross entropy with class numbers for labels: log_softmax and the pick of one class, as one operator in training."""
from __future__ import annotations

import numpy as np
import torch

from ..types import TensorType
from .indexing import pick, picked_index
from .operator import operator
from .samples import Sample
from .softmax import log_softmax
from .traits import CHEAP, Traits

_aten = torch.ops.aten


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
    picked = torch.zeros_like(logs).scatter_(axis, place, dout.reshape(place.shape))
    if not picked.is_contiguous():    # torch would write through the wrong strides
        return _aten._log_softmax_backward_data(picked, logs, axis, logs.dtype)
    return _aten._log_softmax_backward_data.out(picked, logs, axis, logs.dtype, out=picked)


@log_softmax_pick_gradient.infer
def _(inputs, attrs):
    return inputs[1:2]


@log_softmax.followed_by(pick)
def _(attrs, pick_attrs):
    if attrs["temperature"] or attrs["dtype"] or attrs["use_length"] or attrs["axis"] != pick_attrs["axis"]:
        return None
    return log_softmax_pick, {name: pick_attrs[name] for name in ("axis", "keepdims", "mode")}
