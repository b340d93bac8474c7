"""Pooling over windows of one, two or three spatial axes.

Letters: N batch, C channels, X... spatial, K... window, Y... output.  Kernels keep the memory format of the data.
"""
from __future__ import annotations

import math
from typing import Any, Literal

import torch
import torch.nn.functional as F

from ..allocator import never_read
from ..errors import AttributeValueError
from ..types import TensorType
from .blocked import Pool
from .c_text import c_text
from .convolution import channels_first, channels_last, is_channels_last, per_axis, planes_channels_last
from .operator import operator
from .samples import Sample
from .traits import CHEAP, Traits
from .windows import Windows, out_length, windows_of

PoolType = Literal["avg", "lp", "max", "sum"]
Convention = Literal["full", "same", "valid"]
_aten = torch.ops.aten
_FORWARD_MAX = {2: _aten.max_pool2d_with_indices, 3: _aten.max_pool3d_with_indices}
_BACKWARD_MAX = {2: _aten.max_pool2d_with_indices_backward, 3: _aten.max_pool3d_with_indices_backward}
_FORWARD_AVG = {2: _aten.avg_pool2d, 3: _aten.avg_pool3d}
_BACKWARD_AVG = {2: _aten.avg_pool2d_backward, 3: _aten.avg_pool3d_backward}


def _mxnet_outputs(attrs):
    """MXNet (with oneDNN) counts the workspace of its maximum kernel, which takes channels-first arrays only."""
    channels_last = (attrs["layout"] or "").endswith("C")
    return 2 if attrs["pool_type"] == "max" and attrs["kernel"] and not channels_last else 1


@operator("Pooling", aliases=("Pooling_v1", "_npx_pooling"), traits=Traits(recompute=CHEAP, layout="spatial"),
          ignored=("cudnn_off",), num_visible=1, num_outputs=lambda attrs: 2 if attrs["pool_type"] == "max" else 1,
          output_names=("output",), mxnet_outputs=_mxnet_outputs,
          samples=[Sample((2, 3, 6, 7), kernel=(2, 3), stride=(2, 2), pool_type="max", training=True),
                   Sample((2, 3, 7, 6), kernel=(3, 3), stride=(2, 2), pad=(1, 1), pool_type="max", training=True),
                   Sample((2, 3, 8, 6), kernel=(3, 3), stride=(2, 2), pool_type="max", pooling_convention="full",
                          training=True),
                   Sample((2, 3, 5, 5), kernel=(2, 2), stride=(3, 3), pad=(1, 1), pool_type="avg",
                          pooling_convention="full"),
                   Sample((2, 3, 6, 6), kernel=(3, 3), stride=(2, 2), pad=(1, 1), pool_type="avg"),
                   Sample((2, 3, 6, 6), kernel=(3, 3), stride=(2, 2), pad=(2, 2), pool_type="avg",
                          count_include_pad=False, pooling_convention="full"),
                   Sample((2, 3, 6, 5), kernel=(3, 2), pool_type="sum", pad=(1, 0)),
                   Sample((2, 3, 6, 5), kernel=(2, 2), pool_type="lp", p_value=2, low=0.1),
                   Sample((2, 3, 4, 5), global_pool=True, pool_type="max", training=True),
                   Sample((2, 3, 4, 5), global_pool=True, pool_type="avg", kernel=(2, 2)),
                   Sample((2, 3, 7), kernel=(3,), stride=(2,), pad=(1,), pool_type="max", training=True),
                   Sample((2, 3, 7), kernel=(2,), stride=(2,), pool_type="avg"),
                   Sample((2, 5, 7, 3), kernel=(3, 2), stride=(2, 2), pad=(1, 0), pool_type="max", layout="NHWC",
                          training=True, parity="MXNet has channels-last layouts on GPUs only"),
                   Sample((2, 3, 6, 7), kernel=(3, 2), stride=(2, 2), pool_type="max", pooling_convention="same",
                          training=True, parity="MXNet 1.9.1 fails on 'same'"),
                   Sample((1, 2, 4, 5, 4), kernel=(2, 3, 2), stride=(2, 1, 2), pool_type="max", training=True),
                   Sample((1, 2, 4, 5, 4), kernel=(2, 3, 2), pad=(1, 1, 0), pool_type="avg")])
def pooling(data, *, kernel: tuple[int, ...] = (), pool_type: PoolType = "max", global_pool: bool = False,
            pooling_convention: Convention = "valid", stride: tuple[int, ...] = (), pad: tuple[int, ...] = (),
            p_value: int | None = None, count_include_pad: bool | None = None, layout: str | None = None):
    """Maximum, mean, sum or p-norm of each window.  data: float[N, C, X...];   out: float[N, C, Y...]

    Y is rounded down ("valid") or up ("full"), or is X / stride rounded up ("same").  Maxima have a hidden second
    output, their places, from which the gradient follows.  Under a layout that ends in C the channels are last.
    """
    last = is_channels_last(layout)
    data = channels_first(data) if last else data
    if not global_pool:  # torch pools channels-first planes three times slower, even when the copy is counted
        data = planes_channels_last(data)
    windows = windows_of(data.shape[2:], kernel, stride, pad, pooling_convention, global_pool)
    outs = _forward(_padded(data, windows, pool_type), windows, pool_type, p_value, count_include_pad)
    outs = tuple(windows.from_planes(out) for out in outs)
    outs = tuple(channels_last(out) for out in outs) if last else outs
    return outs if pool_type == "max" else outs[0]


@pooling.gradient
def _(call):
    attrs = {name: value for name, value in call.attrs.items() if name in pooling.attributes}
    data, (out, *places) = call.inputs[0], call.outputs
    if attrs["pool_type"] == "lp":
        return [lp_pooling_backward(call.douts[0], data, out, **attrs)]
    return [pooling_backward(call.douts[0], data, *(places if attrs["pool_type"] == "max" else ()), **attrs)]


def _gradient(dout, data, saved=None, *, kernel: tuple[int, ...] = (), pool_type: PoolType = "max",
              global_pool: bool = False, pooling_convention: Convention = "valid", stride: tuple[int, ...] = (),
              pad: tuple[int, ...] = (), p_value: int | None = None, count_include_pad: bool | None = None,
              layout: str | None = None):
    """Gradient of Pooling by its data, of which only lp needs more than the shape.

    saved: the places of the maxima (max) or the output (lp).
    """
    last = is_channels_last(layout)
    if last:
        dout, data = channels_first(dout), channels_first(data)
        saved = None if saved is None else channels_first(saved)
    windows = windows_of(data.shape[2:], kernel, stride, pad, pooling_convention, global_pool)
    dout = windows.to_planes(planes_channels_last(dout))
    saved = None if saved is None else windows.to_planes(saved)
    padded = _padded(data, windows, pool_type)
    padded = padded if pool_type == "lp" else _in_format_of(dout, padded)
    grad = windows.from_planes(_backward(dout, padded, saved, windows, pool_type, p_value, count_include_pad))
    if windows.margins:
        for axis, (left, _) in enumerate(windows.margins, 2):
            grad = grad.narrow(axis, left, data.shape[axis])
    return channels_last(grad) if last else grad


pooling_backward = operator("_backward_Pooling", traits=Traits(recompute=CHEAP, layout="spatial", shape_only=(1,)),
                            parity=None)(_gradient)


lp_pooling_backward = operator("_backward_lp_Pooling", traits=Traits(recompute=CHEAP, layout="spatial"),
                               parity=None)(_gradient)


@pooling_backward.infer
def _(inputs, attrs):
    return inputs[1:2]


lp_pooling_backward.infer(pooling_backward.infer_rule)


def _in_format_of(dout: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    """Something of the shape of x, whose values do not matter: channels-last for planes, as convolutions left them,
    else in dout's format.  x itself, or a place without memory."""
    planes = x.dim() == 4 and x.dtype is not torch.float64
    kind = torch.channels_last if x.dim() == 4 else torch.channels_last_3d
    if not planes and (any(x.stride()) or dout.is_contiguous() or not dout.is_contiguous(memory_format=kind)):
        return x
    if any(x.stride()) and x.is_contiguous(memory_format=kind):
        return x
    return never_read(x.shape, x.dtype, x.device, kind)


def _padded(data: torch.Tensor, windows: Windows, pool_type: str) -> torch.Tensor:
    if windows.margins:
        fill = -math.inf if pool_type == "max" else 0.0
        data = F.pad(data, [length for margin in reversed(windows.margins) for length in margin], value=fill)
    return windows.to_planes(data)


def _forward(x: torch.Tensor, windows: Windows, pool_type: str, p_value: int | None,
             include_pad: bool | None) -> tuple[torch.Tensor, ...]:
    kernel, stride, pad, ceil = windows[:4]
    rank, include = x.dim() - 2, include_pad is not False
    if pool_type == "max" and not x.numel():  # the maximum of nothing
        out = x.new_full((*x.shape[:2], *[1] * rank), torch.finfo(x.dtype).min)
        return out, torch.zeros_like(out, dtype=torch.int64)
    if pool_type == "max":
        return tuple(_FORWARD_MAX[rank](x, kernel, stride, pad, [1] * rank, ceil))
    if pool_type == "lp":
        x = x ** _power(p_value)
    if list(x.shape[2:]) == kernel and not any(pad):  # one window: a reduction is faster
        axes = list(range(2, x.dim()))
        out = x.mean(axes, keepdim=True) if pool_type == "avg" else x.sum(axes, keepdim=True)
    elif pool_type == "avg" and not windows.margins:
        out = _average(x, kernel, stride, pad, ceil, include, None)
    else:
        out = _average(x, kernel, stride, pad, ceil, True, 1)
        out = out / windows.sizes(out, include) if pool_type == "avg" else out
    return (out ** (1 / p_value),) if pool_type == "lp" and p_value else (out,)


def _backward(dout: torch.Tensor, x: torch.Tensor, saved: torch.Tensor | None, windows: Windows, pool_type: str,
              p_value: int | None, include_pad: bool | None) -> torch.Tensor:
    kernel, stride, pad, ceil = windows[:4]
    rank, include = x.dim() - 2, include_pad is not False
    if not x.numel():
        return torch.zeros_like(x)
    if pool_type == "max":
        return _BACKWARD_MAX[rank](dout, x, kernel, stride, pad, [1] * rank, ceil, saved)
    if pool_type == "lp":
        p = _power(p_value)
        inner = torch.where(saved == 0, 0, dout * saved ** (1 - p))
        return x ** (p - 1) * _average_backward(inner, x, kernel, stride, pad, ceil, True, 1)
    if list(x.shape[2:]) == kernel and not any(pad):
        scaled = dout / math.prod(kernel) if pool_type == "avg" else dout
        return torch.empty_like(x).copy_(scaled)
    if pool_type == "avg" and not windows.margins:
        return _average_backward(dout, x, kernel, stride, pad, ceil, include, None)
    scaled = dout / windows.sizes(dout, include) if pool_type == "avg" else dout
    return _average_backward(scaled, x, kernel, stride, pad, ceil, True, 1)


def _average(x: torch.Tensor, *settings: Any) -> torch.Tensor:
    if _lacks_kernel(x):
        return _aten.avg_pool3d(x.float(), *settings).to(x.dtype)
    return _FORWARD_AVG[x.dim() - 2](x, *settings)


def _average_backward(dout: torch.Tensor, x: torch.Tensor, *settings: Any) -> torch.Tensor:
    if _lacks_kernel(x):
        return _aten.avg_pool3d_backward(dout.float(), x.float(), *settings).to(x.dtype)
    return _BACKWARD_AVG[x.dim() - 2](dout, x, *settings)


def _lacks_kernel(x: torch.Tensor) -> bool:
    """torch has no 3-d mean of float16 on CPUs."""
    return x.dtype == torch.float16 and x.dim() == 5 and x.device.type == "cpu"


def _power(p_value: int | None) -> int:
    if p_value is None:
        raise AttributeValueError("Pooling: pool_type='lp' needs the power; got p_value=None; give p_value=1, 2 or 3")
    return p_value


@pooling.blocked
def _(inputs, attrs):
    kind, spatial = attrs["pool_type"], inputs[0].shape[2:]
    if len(spatial) != 2 or is_channels_last(attrs["layout"]) or kind == "lp" or attrs["pooling_convention"] == "same":
        return None
    kernel, stride, pad = (spatial, (1, 1), (0, 0)) if attrs["global_pool"] else (
        attrs["kernel"], per_axis(attrs["stride"], 2, 1), per_axis(attrs["pad"], 2, 0))
    return Pool(kind, tuple(kernel), tuple(stride), tuple(pad), attrs["count_include_pad"] is not False)


@pooling.emit_c
def _(call):
    attrs, data, out = call.attrs, call.inputs[0], call.outputs[0]
    kinds = {"max": 0, "avg": 1, "sum": 2}
    if len(data.shape) != 4 or is_channels_last(attrs["layout"]) or attrs["pool_type"] not in kinds \
            or attrs["pooling_convention"] == "same":
        raise call.refuse(f"only 2-D max, avg and sum pooling of layout NCHW have a C kernel; got "
                          f"pool_type={attrs['pool_type']}, layout={attrs['layout']}, "
                          f"pooling_convention={attrs['pooling_convention']}, {len(data.shape) - 2} spatial axes")
    n, c, h, w = data.shape
    kernel, stride, pad = ((h, w), (1, 1), (0, 0)) if attrs["global_pool"] else (
        attrs["kernel"], per_axis(attrs["stride"], 2, 1), per_axis(attrs["pad"], 2, 0))
    return call.call("pooling_2d", c_text("pooling"), data.pointer, out.pointer, n * c, h, w, *out.shape[2:], *kernel,
                     *stride, *pad, kinds[attrs["pool_type"]], int(attrs["count_include_pad"] is not False))


@pooling.infer
def _(inputs, attrs):
    data, last = inputs[0], is_channels_last(attrs["layout"])
    spatial = data.shape[1:-1] if last else data.shape[2:]
    rank = len(spatial)
    if attrs["global_pool"] or (not data.size and attrs["pool_type"] == "max"):
        lengths = [1] * rank
    else:
        if len(attrs["kernel"]) != rank:
            raise AttributeValueError(f"Pooling: kernel has not one length for each spatial axis; got "
                                      f"kernel={attrs['kernel']} for {data}; give {rank} lengths or global_pool=True")
        lengths = [out_length(x, k, s, p, attrs["pooling_convention"]) for x, k, s, p in zip(
            spatial, attrs["kernel"], per_axis(attrs["stride"], rank, 1), per_axis(attrs["pad"], rank, 0), strict=True)]
    batch, channels = data.shape[0], data.shape[-1 if last else 1]
    shape = (batch, *lengths, channels) if last else (batch, channels, *lengths)
    return (TensorType(shape, data.dtype), TensorType(shape, "int64"))[:2 if attrs["pool_type"] == "max" else 1]
