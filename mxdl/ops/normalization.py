"""LayerNorm, GroupNorm, InstanceNorm, L2Normalization, LRN.

Letters: N batch, C channels, X... spatial axes, G groups.
"""
from __future__ import annotations

import math
from typing import Literal

import torch
import torch.nn.functional as F

from ..types import TensorType
from .c_text import c_text
from .families import c_literal
from .operator import operator
from .samples import Sample
from .traits import CHEAP, Loop, Traits

_CHEAP = Traits(recompute=CHEAP, loop=Loop.APPLIED)
_aten = torch.ops.aten


def _num_visible(attrs):
    return 3 if attrs["output_mean_var"] else 1


def _affine_gradient(call, backward, **attrs):
    """Gradients of (data, gamma, beta) by the saved mean and inverse deviation (third output; its inverse if shown)."""
    if not any(call.needs):
        return [None] * 3
    data, gamma, _ = call.inputs
    return call.spread(backward(call.douts[0], data, gamma, *call.outputs[1:3], needs=call.needs,
                                inverted=call.attrs["output_mean_var"], **attrs))


def _needed(grads, needs):
    needed = tuple(grad for grad, need in zip(grads, needs, strict=True) if need)
    return needed if len(needed) > 1 else needed[0]


@operator("LayerNorm", aliases=("_npx_layer_norm",), traits=_CHEAP, num_outputs=3, num_visible=_num_visible,
          output_names=("output", "mean", "std"),
          samples=[Sample((2, 3, 4), (4,), (4,)), Sample((2, 3, 4), (3,), (3,), axis=1, eps=1e-3),
                   Sample((5, 6), (6,), (6,), low=1, high=3)])
def layer_norm(data, gamma, beta, *, axis: int = -1, eps: float = 1e-5, output_mean_var: bool = False):
    """(data - mean) / sqrt(var + eps) * gamma + beta, by the statistics along `axis`.

    data, out: float[..., C, ...];   gamma, beta: float[C];   further outputs, with length 1 for C: the mean, and
    sqrt(var + eps) where output_mean_var shows it, else its inverse.
    """
    x = data.movedim(axis, -1)
    out, mean, inverse = torch.native_layer_norm(x, [x.shape[-1]], gamma, beta, eps)
    spread = 1 / inverse if output_mean_var else inverse
    return tuple(part.movedim(-1, axis) for part in (out, mean, spread))


@layer_norm.complete
def _(shapes, *, axis, **_):
    return {name: (shapes["data"][axis],) for name in ("gamma", "beta")}


@layer_norm.gradient
def _(call):
    return _affine_gradient(call, layer_norm_backward, axis=call.attrs["axis"])


@operator("_backward_LayerNorm", traits=_CHEAP, num_outputs=lambda attrs: sum(attrs["needs"]), parity=None)
def layer_norm_backward(dout, data, gamma, mean, spread, *, needs: tuple[bool, ...], axis: int = -1,
                        inverted: bool = False):
    """Gradients of LayerNorm for those of (data, gamma, beta) marked in `needs`."""
    spread = 1 / spread if inverted else spread
    # ATen's backward kernels read memory as if it were contiguous.
    dout, data, mean, spread = (part.movedim(axis, -1).contiguous() for part in (dout, data, mean, spread))
    dx, dgamma, dbeta = _aten.native_layer_norm_backward(
        dout, data, [data.shape[-1]], mean, spread, gamma, gamma, list(needs))
    return _needed((dx.movedim(-1, axis) if needs[0] else None, dgamma, dbeta), needs)


@operator("GroupNorm", traits=_CHEAP, num_outputs=3, num_visible=_num_visible, output_names=("output", "mean", "std"),
          samples=[Sample((2, 6, 3), (3,), (3,), num_groups=3, tolerance=2e-5),
                   Sample((2, 4, 3, 2), (1,), (1,), eps=1e-3),
                   Sample((2, 4, 3, 2), (4,), (4,), num_groups=4)])
def group_norm(data, gamma, beta, *, num_groups: int = 1, eps: float = 1e-5, output_mean_var: bool = False):
    """(data - mean) / sqrt(var + eps) * gamma + beta, by the statistics of each group of channels.

    data, out: float[N, C, X...];   gamma, beta: float[G] (one an entire group);   further outputs float[N, G]: the
    mean, and sqrt(var + eps) where output_mean_var shows it, else its inverse.
    """
    out, mean, inverse = torch.native_group_norm(_groups(data, num_groups), gamma.contiguous(), beta.contiguous(),
                                                 *_group_sizes(data, num_groups), num_groups, eps)
    return out.reshape(data.shape), mean, 1 / inverse if output_mean_var else inverse


@group_norm.complete
def _(shapes, *, num_groups, **_):
    return {"gamma": (num_groups,), "beta": (num_groups,)}


@group_norm.gradient
def _(call):
    return _affine_gradient(call, group_norm_backward, num_groups=call.attrs["num_groups"])


@operator("_backward_GroupNorm", traits=_CHEAP, num_outputs=lambda attrs: sum(attrs["needs"]), parity=None)
def group_norm_backward(dout, data, gamma, mean, spread, *, needs: tuple[bool, ...], num_groups: int = 1,
                        inverted: bool = False):
    """Gradients of GroupNorm for those of (data, gamma, beta) marked in `needs`."""
    dx, dgamma, dbeta = _aten.native_group_norm_backward(
        _groups(dout, num_groups), _groups(data, num_groups), mean.contiguous(),
        (1 / spread if inverted else spread).contiguous(), gamma.contiguous(), *_group_sizes(data, num_groups),
        num_groups, list(needs))
    return _needed((dx.reshape(data.shape) if needs[0] else None, dgamma, dbeta), needs)


def _groups(data: torch.Tensor, num_groups: int) -> torch.Tensor:
    """[N, C, X...] as contiguous [N, G, the rest]: a group counts as one channel."""
    return data.reshape(data.shape[0], num_groups, -1).contiguous()


def _group_sizes(data: torch.Tensor, num_groups: int) -> tuple[int, int, int]:
    return data.shape[0], num_groups, math.prod(data.shape[1:]) // num_groups


@operator("InstanceNorm", traits=_CHEAP, output_names=("output", "mean", "var"), mxnet_outputs=3,
          samples=[Sample((2, 3, 4, 3), (3,), (3,)), Sample((2, 3, 5), (3,), (3,), eps=1e-5)])
def instance_norm(data, gamma, beta, *, eps: float = 1e-3):
    """(data - mean) / sqrt(var + eps) * gamma + beta, by the statistics over X... of each channel of each instance.

    data, out: float[N, C, X...];   gamma, beta: float[C]
    """
    n, c = data.shape[:2]
    out, _, _ = torch.native_group_norm(data.contiguous(), gamma.contiguous(), beta.contiguous(), n, c,
                                        math.prod(data.shape[2:]), c, eps)
    return out


@instance_norm.complete
def _(shapes, **_):
    return {name: (shapes["data"][1],) for name in ("gamma", "beta")}


@operator("L2Normalization", traits=_CHEAP, output_names=("output", "norm"), mxnet_outputs=2,
          samples=[Sample((2, 3, 4)), Sample((2, 3, 4, 2), low=0.5, mode="channel"),
                   Sample((2, 3, 4, 2), mode="spatial")])
def l2_normalization(data, *, eps: float = 1e-10, mode: Literal["channel", "instance", "spatial"] = "instance"):
    """data / sqrt(sum of squares + eps), summed over an instance, over its channels, or over its spatial axes.

    data, out: float[N, C, X...]
    """
    axes = {"instance": range(1, data.dim()), "channel": (1,), "spatial": range(2, data.dim())}[mode]
    return data / torch.sqrt(torch.sum(data * data, list(axes), keepdim=True) + eps)


@operator("LRN", traits=Traits(recompute=CHEAP), output_names=("output", "tmp_norm"), mxnet_outputs=2,
          samples=[Sample((2, 5, 3, 3), nsize=3, alpha=0.1), Sample((1, 4, 2, 2), nsize=5, beta=0.5)])
def lrn(data, *, alpha: float = 1e-4, beta: float = 0.75, knorm: float = 2.0, nsize: int):
    """data / (knorm + alpha / nsize * sum of squares over nsize neighbouring channels) ** beta.

    data, out: float[N, C, H, W]
    """
    return F.local_response_norm(data, nsize, alpha, beta, knorm)


@layer_norm.infer
def _(inputs, attrs):
    data = inputs[0]
    axis = attrs["axis"] % len(data.shape)
    statistics = TensorType((*data.shape[:axis], 1, *data.shape[axis + 1:]), data.dtype)
    return data, statistics, statistics


def _emit_normalize(call, outer: int, n: int, inner: int, period: int, step: int, every: int) -> str:
    """C of statistics over the middle of [outer, n, inner]; see normalization.c.in for where gamma is read."""
    if call.attrs.get("output_mean_var"):
        raise call.refuse("output_mean_var=True has no C kernel")
    data, gamma, beta = call.inputs
    return call.call("normalize", c_text("normalization"), data.pointer, gamma.pointer, beta.pointer,
                     call.outputs[0].pointer, outer, n, inner, f"{call.attrs['eps']!r}f", period, step, every)


@layer_norm.emit_c
def _(call):
    shape = call.inputs[0].shape
    axis = call.attrs["axis"] % len(shape)
    if axis == len(shape) - 1 and not call.attrs["output_mean_var"]:
        (data, gamma, beta), n = call.inputs, shape[axis]
        row = call.kernel("row_normalize", f"{data.pointer} + r * {n}", gamma.pointer, beta.pointer,
                          f"{call.outputs[0].pointer} + r * {n}", n, f"{call.attrs['eps']!r}f")
        return call.parted(math.prod(shape[:axis]), 16 * math.prod(shape),
                           lambda first, last: f"for (ptrdiff_t r = {first}; r < {last}; ++r) {row}")
    return _emit_normalize(call, math.prod(shape[:axis]), shape[axis], math.prod(shape[axis + 1:]), 1, 0, 1)


@group_norm.emit_c
def _(call):
    shape, groups = call.inputs[0].shape, call.attrs["num_groups"]
    size = math.prod(shape[1:]) // groups
    return _emit_normalize(call, shape[0] * groups, size, 1, groups, 1, size)


@instance_norm.emit_c
def _(call):
    shape = call.inputs[0].shape
    size = math.prod(shape[2:])
    return _emit_normalize(call, shape[0] * shape[1], size, 1, shape[1], 1, size)


@l2_normalization.emit_c
def _(call):
    shape = call.inputs[0].shape
    n, c, size = shape[0], shape[1], math.prod(shape[2:])
    lengths = {"instance": (n, c * size, 1), "channel": (n, c, size), "spatial": (n * c, size, 1)}[call.attrs["mode"]]
    return call.call("l2_normalize", c_text("l2_normalization"), call.inputs[0].pointer, call.outputs[0].pointer,
                     *lengths, f"{call.attrs['eps']!r}f")


@lrn.emit_c
def _(call):
    data, attrs = call.inputs[0], call.attrs
    numbers = (c_literal(float(attrs[name])) for name in ("alpha", "beta", "knorm"))
    return call.call("local_response", c_text("local_response"), data.pointer, call.outputs[0].pointer,
                     *data.shape[:2], math.prod(data.shape[2:]), attrs["nsize"], *numbers)
