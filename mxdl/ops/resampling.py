"""Planes at another size: UpSampling, bilinear resizing, adaptive mean pooling.

Letters: N batch, C channels, H x W the data's plane, Y x X the output's.
"""
from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Literal

import torch

from ..errors import AttributeValueError, ShapeError
from .c_text import c_text
from .combine import add_n, concat, repeat
from .convolution import deconvolution
from .families import c_literal
from .operator import operator
from .samples import Sample
from .traits import CHEAP, Traits

_aten = torch.ops.aten
_SPATIAL = Traits(recompute=CHEAP, layout="spatial")
#: gradients of linear maps ask for the data's shape only
_BY_SHAPE = Traits(recompute=CHEAP, layout="spatial", shape_only=(1,))
ResizeMode = Literal["like", "odd_scale", "size", "to_even_down", "to_even_up", "to_odd_down", "to_odd_up"]


@operator("UpSampling", traits=_SPATIAL, ignored=("workspace",),
          initializers=dict.fromkeys(("weight", "arg1"), '["bilinear", {}]'),
          samples=[Sample((2, 3, 2, 3), scale=2, sample_type="nearest"),
                   Sample((1, 2, 2, 2), (1, 3, 4, 4), scale=4, sample_type="nearest"),
                   Sample((1, 2, 4, 4), (1, 2, 2, 2), scale=2, sample_type="nearest", multi_input_mode="sum"),
                   Sample((2, 3, 3, 2), (3, 1, 4, 4), scale=2, sample_type="bilinear", num_filter=3)])
def upsampling(*data, scale: int, num_filter: int = 0, sample_type: Literal["bilinear", "nearest"],
               multi_input_mode: Literal["concat", "sum"] = "concat"):
    """Planes `scale` times as large: each element repeated ("nearest"), or a transposed convolution ("bilinear").

    nearest: any number of float[N, C, H, W], all brought to the size of the first one's result, then joined along C or
    added.  bilinear: float[N, C, H, W] and a weight float[C, 1, K, K] of K = 2 scale - scale % 2.
    out: float[N, C, scale H, scale W]
    """
    first = data[0]
    if sample_type == "bilinear":
        if len(data) != 2:
            raise ShapeError(f"UpSampling: 'bilinear' takes the data and its weight; got {len(data)} inputs; give the "
                             f"weight, or sample_type='nearest'")
        return deconvolution.kernel(first, data[1], **_as_deconvolution(scale, first.shape[1]))
    size = [length * scale for length in first.shape[2:]]
    parts = [_aten.upsample_nearest2d(part, size) for part in data]
    if multi_input_mode == "sum":
        total = parts[0]
        for part in parts[1:]:
            total = total + part
        return total
    return parts[0] if len(parts) == 1 else torch.cat(parts, 1)


def _as_deconvolution(scale: int, channels: int) -> dict[str, Any]:
    kernel, pad = 2 * scale - scale % 2, math.ceil((scale - 1) / 2)
    return {"kernel": (kernel, kernel), "stride": (scale, scale), "pad": (pad, pad), "num_filter": channels,
            "num_group": channels}


@upsampling.inputs
def _(attrs):
    return ("data", "weight") if attrs["sample_type"] == "bilinear" else None


@upsampling.complete
def _(shapes, *, scale, sample_type, **_):
    if sample_type == "nearest":
        return {}
    kernel = _as_deconvolution(scale, 1)["kernel"]
    return {"weight": (shapes["data"][1], 1, *kernel)}


@operator("_contrib_BilinearResize2D", traits=_SPATIAL,
          samples=[Sample((2, 3, 4, 5), height=7, width=3),
                   Sample((2, 3, 4, 5), scale_height=0.5, scale_width=1.5, resizable=False),
                   Sample((1, 2, 5, 4), height=3, width=8, align_corners=False),
                   Sample((1, 2, 4, 4), (1, 1, 7, 3), mode="like", differentiable=(0,)),
                   *[Sample((1, 2, 5, 4), scale_height=1.5, scale_width=0.5, mode=mode, resizable=False)
                     for mode in ("odd_scale", "to_even_down", "to_even_up", "to_odd_down", "to_odd_up")]])
def bilinear_resize(data, like=None, *, height: int = 1, width: int = 1, scale_height: float | None = None,
                    scale_width: float | None = None, mode: ResizeMode = "size", align_corners: bool = True):
    """Bilinear interpolation to height x width; to multiples of H and W where scales are given; else by `mode`.

    data: float[N, C, H, W];   like: an array of the size wanted (mode "like");   out: float[N, C, Y, X]
    odd_scale keeps odd lengths odd while scaling; to_odd_up and the others go to the next odd or even length.
    """
    size = _resized(data.shape[2:], like, (height, width), (scale_height, scale_width), mode)
    return _aten.upsample_bilinear2d(data, size, align_corners)


@bilinear_resize.inputs
def _(attrs):
    return ("data", "like") if attrs["mode"] == "like" else ("data",)


@bilinear_resize.gradient
def _(call):
    grad = bilinear_resize_backward(call.douts[0], call.inputs[0], align_corners=call.attrs["align_corners"])
    return [grad, None][:len(call.inputs)]


@operator("_backward_contrib_bilinear_resize", traits=_BY_SHAPE, parity=None)
def bilinear_resize_backward(dout, data, *, align_corners: bool = True):
    """Gradient of BilinearResize2D by its data."""
    return _aten.upsample_bilinear2d_backward(dout, list(dout.shape[2:]), list(data.shape), align_corners)


def _resized(lengths, like, size, scales, mode: str) -> list[int]:
    if mode == "like":
        return list(like.shape[2:])
    if mode == "size" and scales[0] is None and scales[1] is None:
        return list(size)
    if mode in ("size", "odd_scale") and None in scales:
        raise AttributeValueError(f"BilinearResize2D: one scale is missing; got scale_height={scales[0]}, "
                                  f"scale_width={scales[1]}; give both")
    return [_RESIZED[mode](length, scale) for length, scale in zip(lengths, scales, strict=True)]


_RESIZED: Mapping[str, Any] = {
    "size": lambda length, scale: int(length * scale),
    "odd_scale": lambda length, scale: int((length - length % 2) * scale) + length % 2,
    "to_even_down": lambda length, scale: length - length % 2,
    "to_even_up": lambda length, scale: length + length % 2,
    "to_odd_down": lambda length, scale: length - 1 + length % 2,
    "to_odd_up": lambda length, scale: length + 1 - length % 2,
}


@operator("_contrib_AdaptiveAvgPooling2D", traits=_SPATIAL,
          samples=[Sample((2, 3, 5, 7), output_size=(2, 3), resizable=False),
                   Sample((2, 3, 5, 4), output_size=(3,), resizable=False),
                   Sample((2, 3, 4, 4))])
def adaptive_avg_pooling(data, *, output_size: tuple[int, ...] = ()):
    """Means of Y x X regions that cover the plane evenly; output_size is (Y, X), (Y,) for squares, () for 1 x 1.

    data: float[N, C, H, W];   out: float[N, C, Y, X]
    """
    size = (*output_size, *output_size, 1, 1)[:2] if len(output_size) < 2 else output_size
    return torch.nn.functional.adaptive_avg_pool2d(data, size)


@adaptive_avg_pooling.gradient
def _(call):
    return [adaptive_avg_pooling_backward(call.douts[0], call.inputs[0])]


@operator("_backward_contrib_AdaptiveAvgPooling2D", traits=_BY_SHAPE, parity=None)
def adaptive_avg_pooling_backward(dout, data):
    """Gradient of AdaptiveAvgPooling2D by its data."""
    return _aten._adaptive_avg_pool2d_backward(dout.contiguous(), data)


@bilinear_resize.emit_c
def _(call):
    data, out = call.inputs[0], call.outputs[0]
    n, c, h, w = data.shape
    align = call.attrs["align_corners"]
    steps = [((old - 1) / (new - 1) if new > 1 else 0.0) if align else old / new
             for old, new in zip((h, w), out.shape[2:], strict=True)]
    shift = "0.0f" if align else "0.5f"
    return call.call("bilinear_resize", c_text("bilinear_resize"), data.pointer, out.pointer, n * c, h, w,
                     *out.shape[2:], *(c_literal(float(step)) for step in steps), shift, shift)


@adaptive_avg_pooling.emit_c
def _(call):
    data, out = call.inputs[0], call.outputs[0]
    n, c, h, w = data.shape
    return call.call("adaptive_mean", c_text("adaptive_mean"), data.pointer, out.pointer, n * c, h, w, *out.shape[2:])


@upsampling.lower_c
def _(inputs, types, attrs):
    scale, channels = attrs["scale"], types[0].shape[1]
    if attrs["sample_type"] == "bilinear":
        return [deconvolution(*inputs, **_as_deconvolution(scale, channels))]
    size = [length * scale for length in types[0].shape[2:]]
    factors = [[new // old for old, new in zip(t.shape[2:], size, strict=True)] for t in types]
    if any(f[0] * t.shape[2] != size[0] or f[1] * t.shape[3] != size[1] for f, t in zip(factors, types, strict=True)):
        return None
    parts = [repeat(repeat(x, repeats=down, axis=2), repeats=right, axis=3)
             for x, (down, right) in zip(inputs, factors, strict=True)]
    if len(parts) == 1:
        return parts
    return [add_n(*parts) if attrs["multi_input_mode"] == "sum" else concat(*parts, dim=1)]
