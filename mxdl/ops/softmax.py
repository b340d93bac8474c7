"""softmax and its relatives."""
from __future__ import annotations

import math
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F

from ..types import TORCH_DTYPES, DType, TensorType
from .c_text import c_text
from .families import c_literal
from .operator import operator
from .samples import Sample
from .traits import CHEAP, Loop, Traits

_aten = torch.ops.aten
_IN_PLACE = Traits(recompute=CHEAP, inplace=((0, 0),), loop=Loop.APPLIED)
_LENGTHS = np.array([[3, 1, 2], [0, 4, 1]], "int32")


def _scaled(data: torch.Tensor, temperature: float | None, dtype: str | None, sign: float = 1.0) -> torch.Tensor:
    """data * sign / temperature, in the precision of the result: dtype, else that of the data, float32 of integers."""
    if dtype or not data.is_floating_point():
        data = data.to(TORCH_DTYPES[dtype or "float32"])
    factor = sign / (temperature or 1.0)
    return data if factor == 1.0 else data * factor


def _gradient(call, backward, sign: float = 1.0):
    """The gradient by `backward(dout, out)`; the data goes along where its dtype is not the result's."""
    data = call.inputs[:1] if call.attrs["dtype"] else ()
    grad = backward(call.douts[0], call.outputs[0], *data, axis=call.attrs["axis"],
                    scale=sign / (call.attrs["temperature"] or 1.0))
    return [grad, *[None] * (len(call.inputs) - 1)]


def _of_dtype(grad: torch.Tensor, scale: float, data: torch.Tensor | None) -> torch.Tensor:
    grad = grad if scale == 1.0 else grad * scale
    return grad if data is None else grad.to(data.dtype)


@operator("softmax", aliases=("_npx_softmax",), traits=_IN_PLACE,
          samples=[Sample((2, 3, 4)), Sample((2, 3, 4), axis=1, temperature=2.0), Sample((3, 5), axis=0),
                   Sample((2, 3), dtype="float64", parity="MXNet computes in the precision of the data"),
                   Sample((2, 4, 3), _LENGTHS, use_length=True, axis=1, differentiable=(0,))])
def softmax(data, length=None, *, axis: int = -1, temperature: float | None = None, dtype: DType | None = None,
            use_length: bool | None = False):
    """exp(data / temperature) / its sum along `axis`.  data, out: float[..., C, ...]

    length: int[the data's shape without `axis`]; under use_length only the first `length` of C take part, and the
    others are 0.
    """
    x = _scaled(data, temperature, dtype)
    if not use_length:
        return torch.softmax(x, axis)
    valid = _valid(x, length, axis)
    out = torch.softmax(x.masked_fill(~valid, -torch.inf), axis)
    return out.masked_fill(~valid, 0)


@softmax.inputs
def _(attrs):
    return ("data", "length") if attrs["use_length"] else ("data",)


@softmax.complete
def _(shapes, *, axis, **_):
    lengths = list(shapes["data"])
    del lengths[axis]
    return {"length": tuple(lengths)}


@softmax.gradient
def _(call):
    return _gradient(call, softmax_backward)


@operator("_backward_softmax", traits=_IN_PLACE, parity=None)
def softmax_backward(dout, out, data=None, *, axis: int = -1, scale: float = 1.0):
    """Gradient of softmax by its output."""
    return _of_dtype(_aten._softmax_backward_data(dout, out, axis, out.dtype), scale, data)


@operator("log_softmax", aliases=("_npx_log_softmax",), traits=_IN_PLACE,
          samples=[Sample((2, 3, 4)), Sample((2, 3, 4), axis=1, temperature=2.0), Sample((3, 5), axis=0)])
def log_softmax(data, *, axis: int = -1, temperature: float | None = None, dtype: DType | None = None,
                use_length: bool | None = False):
    """log(softmax(data / temperature)) along `axis`.  data, out: float[..., C, ...]"""
    return torch.log_softmax(_scaled(data, temperature, dtype), axis)


@log_softmax.gradient
def _(call):
    return _gradient(call, log_softmax_backward)


@operator("_backward_log_softmax", traits=_IN_PLACE, parity=None)
def log_softmax_backward(dout, out, data=None, *, axis: int = -1, scale: float = 1.0):
    """Gradient of log_softmax by its output."""
    return _of_dtype(_aten._log_softmax_backward_data(dout, out, axis, out.dtype), scale, data)


@log_softmax_backward.in_place
def _(dout, out, data=None, *, axis: int = -1, scale: float = 1.0):
    if not (dout.is_contiguous() and dout.dtype is out.dtype):   # torch would write through the wrong strides
        return log_softmax_backward.kernel(dout, out, data, axis=axis, scale=scale)
    # a third less time where the arrays are large: no new memory is brought into the cache
    return _of_dtype(_aten._log_softmax_backward_data.out(dout, out, axis, out.dtype, out=dout), scale, data)


@operator("softmin", traits=_IN_PLACE, samples=[Sample((2, 3, 4)), Sample((2, 3, 4), axis=1, temperature=0.5)])
def softmin(data, *, axis: int = -1, temperature: float | None = None, dtype: DType | None = None,
            use_length: bool | None = False):
    """exp(-data / temperature) / its sum along `axis`.  data, out: float[..., C, ...]"""
    return torch.softmax(_scaled(data, temperature, dtype, -1.0), axis)


@softmin.gradient
def _(call):
    return _gradient(call, softmax_backward, -1.0)


@operator("SoftmaxActivation", traits=_IN_PLACE,
          samples=[Sample((2, 3)), Sample((2, 3, 4), parity="MXNet's is over the last axis only"),
                   Sample((2, 3, 4), mode="channel")])
def softmax_activation(data, *, mode: Literal["channel", "instance"] = "instance"):
    """softmax over all of an instance, or over the channels.  data, out: float[N, C, ...]"""
    if mode == "channel":
        return torch.softmax(data, 1)
    return torch.softmax(data.reshape(data.shape[0], -1), 1).reshape(data.shape)


@operator("softmax_cross_entropy", traits=Traits(recompute=CHEAP),
          samples=[Sample((4, 5), np.array([0, 4, 2, 2], "float32"), differentiable=(0,))])
def softmax_cross_entropy(data, label):
    """Sum over the batch of -log softmax(data)[label].  data: float[N, C];   label: [N];   out: float[1]"""
    return F.cross_entropy(data, label.long(), reduction="sum").reshape(1)


def _valid(x: torch.Tensor, length: torch.Tensor, axis: int) -> torch.Tensor:
    """bool[like x]: position along `axis` < length."""
    axis = axis % x.dim()
    places = torch.arange(x.shape[axis], device=x.device).reshape([-1 if i == axis else 1 for i in range(x.dim())])
    return places < length.unsqueeze(axis)


def emit_softmax(call, outer: int, n: int, inner: int, scale: float = 1.0, log: bool = False, lengths=None) -> str:
    """C of softmax(scale * data) over n of data[outer, n, inner]; `lengths` [outer, inner] end each line early."""
    name = f"softmax_within_{lengths.dtype}" if lengths else "softmax_axis"
    text = call.fill(c_text("softmax"), name=name, index=lengths.element if lengths else "float")
    return call.call(name, text, call.inputs[0].pointer, lengths.address if lengths else "NULL",
                     call.outputs[0].pointer, outer, n, inner, c_literal(float(scale)), int(log))


def _emit(sign: float = 1.0, log: bool = False):
    def emit(call):
        data, attrs = call.inputs[0], call.attrs
        axis = attrs["axis"] % len(data.shape)
        return emit_softmax(call, math.prod(data.shape[:axis]), data.shape[axis], math.prod(data.shape[axis + 1:]),
                            sign / (attrs["temperature"] or 1.0), log, call.inputs[1] if attrs["use_length"] else None)
    return emit


softmax.emit_c(_emit())
log_softmax.emit_c(_emit(log=True))
softmin.emit_c(_emit(sign=-1.0))


@softmax_activation.emit_c
def _(call):
    shape = call.inputs[0].shape
    if call.attrs["mode"] == "channel":
        return emit_softmax(call, shape[0], shape[1], math.prod(shape[2:]))
    return emit_softmax(call, shape[0], math.prod(shape[1:]), 1)


def _infer_softmax(inputs, attrs):
    data = inputs[0]
    kept = data.dtype if data.dtype.startswith(("float", "bfloat")) else "float32"
    return (TensorType(data.shape, attrs["dtype"] or kept),)


for _operator in (softmax, log_softmax, softmin):
    _operator.infer(_infer_softmax)
