"""BatchNorm: normalization by batch statistics in training, by running statistics else.

Letters: N batch, C channels (the length of `axis`), X... the other axes.
"""
from __future__ import annotations

import functools
import math
from dataclasses import replace

import torch

from ..errors import ShapeError
from ..types import TensorType
from .activation import activation_backward
from .c_text import c_text
from .families import c_literal
from .operator import operator
from .registry import get
from .samples import Sample
from .traits import CHEAP, Loop, Traits

_SPATIAL = Traits(recompute=CHEAP, layout="spatial", loop=Loop.APPLIED)
_STATES = {3: "moving_mean", 4: "moving_var"}
_AUXILIARY = ("moving_mean", "moving_var")
_INITIALIZERS = {"moving_mean": '["zero", {}]', "moving_var": '["one", {}]'}
_IGNORED = ("cudnn_off", "mkldnn_off", "min_calib_range", "max_calib_range")


def _num_visible(attrs):
    return 3 if attrs["output_mean_var"] else 1


@operator("BatchNorm", aliases=("BatchNorm_v1", "_npx_batch_norm"), traits=_SPATIAL, ignored=_IGNORED, num_outputs=5,
          num_visible=_num_visible, updates=_STATES, auxiliary=_AUXILIARY, initializers=_INITIALIZERS,
          output_names=("output", "mean", "var"),
          samples=[Sample((4, 3, 2, 3), (3,), (3,), (3,), (3,), low=0.5, high=2, fix_gamma=False, training=True),
                   Sample((4, 3, 2, 3), (3,), (3,), (3,), (3,), low=0.5, high=2, fix_gamma=False),
                   Sample((4, 3, 2, 3), (3,), (3,), (3,), (3,), low=0.5, high=2, training=True, momentum=0.5),
                   Sample((4, 3), (3,), (3,), (3,), (3,), low=0.5, high=2, fix_gamma=False, training=True, eps=1e-5),
                   Sample((4, 2, 3), (3,), (3,), (3,), (3,), low=0.5, high=2, fix_gamma=False, axis=-1,
                          training=True),
                   Sample((4, 3, 2), (3,), (3,), (3,), (3,), low=0.5, high=2, fix_gamma=False, training=True,
                          use_global_stats=True)])
def batch_norm(data, gamma, beta, moving_mean, moving_var, *, eps: float = 1e-3, momentum: float = 0.9,
               fix_gamma: bool = True, use_global_stats: bool = False, output_mean_var: bool = False, axis: int = 1,
               training: bool = False):
    """(data - mean) / sqrt(var + eps) * gamma + beta along `axis`; gamma counts as 1 under fix_gamma.

    data, out: float[N, C, X...];   gamma, beta, moving_mean, moving_var: float[C] (float32 for 16-bit data)
    Outputs: out, mean, 1 / sqrt(var + eps), and the running statistics after this batch:
    moving = momentum * moving + (1 - momentum) * batch, where var is the biased one.
    """
    if fix_gamma:
        gamma = torch.ones_like(gamma)
    x = _channels_second(data, axis)
    if not training or use_global_stats:
        out = torch.native_batch_norm(x, gamma, beta, moving_mean, moving_var, False, 0.0, eps)[0]
        spread = torch.rsqrt(moving_var + eps) if output_mean_var else moving_var
        return _channels_at(out, axis), moving_mean, spread, moving_mean, moving_var
    mean_after, unbiased_after = moving_mean.clone(), moving_var.clone()
    out, mean, inverse_std = torch.native_batch_norm(x, gamma, beta, mean_after, unbiased_after, True, 1 - momentum,
                                                     eps)
    count = math.prod(x.shape) // max(x.shape[1], 1)
    if count > 1:  # torch mixes in the unbiased variance
        var_after = torch.add(unbiased_after * ((count - 1) / count), moving_var, alpha=momentum / count)
    else:
        var_after = moving_var * momentum
    return _channels_at(out, axis), mean, inverse_std, mean_after, var_after


def _channels_second(tensor: torch.Tensor, axis: int) -> torch.Tensor:
    return tensor if axis == 1 else tensor.movedim(axis, 1)


def _channels_at(tensor: torch.Tensor, axis: int) -> torch.Tensor:
    """The reverse of `_channels_second`."""
    return tensor if axis == 1 else tensor.movedim(1, axis)


@batch_norm.complete
def _(shapes, *, axis, **_):
    return {name: (shapes["data"][axis],) for name in ("gamma", "beta", *_AUXILIARY)}


@batch_norm.gradient
def _gradient(call):
    data, gamma, _, moving_mean, moving_var = call.inputs
    global_stats = call.attrs["use_global_stats"] or not call.attrs["training"]
    needs = (call.needs[0], call.needs[1] and not call.attrs["fix_gamma"], call.needs[2])
    if not any(needs):
        return [None] * 5
    statistics = (moving_mean, moving_var) if global_stats else call.outputs[1:3]
    wanted = {name: call.attrs[name] for name in ("eps", "fix_gamma", "axis")}
    grads = batch_norm_backward(call.douts[0], data, gamma, *statistics, global_stats=global_stats, needs=needs,
                                **wanted)
    return [*call._replace(needs=needs).spread(grads), None, None]


@operator("_backward_BatchNorm", traits=_SPATIAL, num_outputs=lambda attrs: sum(attrs["needs"]), parity=None)
def batch_norm_backward(dout, data, gamma, mean, spread, *, needs: tuple[bool, ...], eps: float = 1e-3,
                        fix_gamma: bool = True, axis: int = 1, global_stats: bool = False):
    """Gradients of BatchNorm for those of (data, gamma, beta) marked in `needs`.

    mean, spread: running mean and variance under global_stats, else the batch's mean and 1 / sqrt(var + eps).
    """
    if fix_gamma:
        gamma = torch.ones_like(gamma)
    running, saved = ((mean, spread), (None, None)) if global_stats else ((None, None), (mean, spread))
    dout, data = _channels_second(dout, axis), _channels_second(data, axis)
    dx, dgamma, dbeta = torch.ops.aten.native_batch_norm_backward(dout, data, gamma, *running, *saved,
                                                                  not global_stats, eps, list(needs))
    grads = (_channels_at(dx, axis) if needs[0] else None, dgamma, dbeta)
    needed = tuple(grad for grad, need in zip(grads, needs, strict=True) if need)
    return needed if len(needed) > 1 else needed[0]


@batch_norm_backward.infer
def _(inputs, attrs):
    return [kind for kind, need in zip((inputs[1], inputs[2], inputs[2]), attrs["needs"], strict=True) if need]


@operator("_again_BatchNorm", traits=replace(_SPATIAL, loop=Loop.MADE), parity=None)
def batch_norm_again(data, gamma, beta, mean, inverse_std, *, eps: float = 1e-3, fix_gamma: bool = True,
                     axis: int = 1, relu: bool = False):
    """What BatchNorm (with `relu`: BatchNormWithReLU) gave in training, to the bit, by the statistics that it gave.

    data, out: float[N, C, X...];   gamma, beta, mean, inverse_std: float[C]
    """
    if fix_gamma:
        gamma = torch.ones_like(gamma)
    x = _channels_second(data, axis)
    if _is_one_scale(x) and gamma.element_size() > 2:
        # 1 / sqrt(1 + 0) is 1, so torch's scale is gamma * inverse_std and its shift beta - mean * scale, as in
        # training; 16-bit parameters it rounds at other places.
        out = torch.native_batch_norm(x, gamma * inverse_std, beta, mean, torch.ones_like(mean), False, 0.0, 0.0)[0]
    else:
        out = torch.native_batch_norm(x, gamma, beta, None, None, True, 0.0, eps)[0]
    return _channels_at(torch.relu_(out) if relu else out, axis)


def _is_one_scale(x: torch.Tensor) -> bool:
    """Whether torch's kernel for x reckons x * scale + shift: so its CPU kernels do for memory without gaps in the
    order of an image; in another order they reckon (x - mean) * inverse_std * gamma + beta, and cuDNN as it likes."""
    formats = (torch.contiguous_format, *([torch.channels_last] if x.dim() == 4 else []),
               *([torch.channels_last_3d] if x.dim() == 5 else []))
    return x.device.type == "cpu" and any(x.is_contiguous(memory_format=one) for one in formats)


@batch_norm_again.infer
def _(inputs, attrs):
    return (inputs[0],)


@batch_norm.again
def _again(inputs, outputs, attrs, relu=False):
    if attrs["use_global_stats"] or not attrs["training"]:
        return None
    wanted = {name: attrs[name] for name in ("eps", "fix_gamma", "axis")}
    return batch_norm_again, (*inputs[:3], *outputs[1:3]), {**wanted, "relu": relu}


@batch_norm.moves
def _moves(inputs, outputs, attrs):
    """The statistics take two passes over the data of their own: mean, then variance."""
    passes = 3 if attrs["training"] and not attrs["use_global_stats"] else 1
    return passes * inputs[0].num_bytes + sum(t.num_bytes for t in (*inputs[1:], *outputs))


@operator("_contrib_SyncBatchNorm", traits=_SPATIAL, ignored=("ndev", "key"), num_outputs=5,
          num_visible=_num_visible, updates=_STATES, auxiliary=_AUXILIARY, initializers=_INITIALIZERS,
          output_names=("output", "mean", "var"),
          gradient=_gradient, parity="the statistics are those of one device, as BatchNorm's: see BatchNorm",
          samples=[Sample((4, 3, 2, 3), (3,), (3,), (3,), (3,), low=0.5, high=2, fix_gamma=False, training=True)])
def sync_batch_norm(data, gamma, beta, moving_mean, moving_var, *, eps: float = 1e-3, momentum: float = 0.9,
                    fix_gamma: bool = True, use_global_stats: bool = False, output_mean_var: bool = False,
                    axis: int = 1, training: bool = False):
    """BatchNorm under the name that code for several devices uses.  The statistics are those of the data given, so
    they span devices only where the caller gathers the data of all; shapes as in BatchNorm."""
    return batch_norm.kernel(data, gamma, beta, moving_mean, moving_var, eps=eps, momentum=momentum,
                             fix_gamma=fix_gamma, use_global_stats=use_global_stats, output_mean_var=output_mean_var,
                             axis=axis, training=training)


sync_batch_norm.complete(batch_norm.complete_rule)
sync_batch_norm.again(_again)
sync_batch_norm.moves(_moves)


@batch_norm.affine
def _affine(inputs, attrs):
    _, gamma, beta, mean, var = inputs
    if attrs["axis"] != 1:
        return None
    scale = get("rsqrt")(get("_plus_scalar")(var, scalar=attrs["eps"]))
    if not attrs["fix_gamma"]:
        scale = get("elemwise_mul")(scale, gamma)
    return scale, get("elemwise_sub")(beta, get("elemwise_mul")(mean, scale))


@batch_norm.emit_c
def _(call):
    data, gamma, beta, mean, var = call.inputs
    axis = call.attrs["axis"] % len(data.shape)
    return call.call("batch_norm", c_text("batch_norm"), data.pointer,
                     "NULL" if call.attrs["fix_gamma"] else gamma.pointer, beta.pointer, mean.pointer, var.pointer,
                     call.outputs[0].pointer, math.prod(data.shape[:axis]), data.shape[axis],
                     math.prod(data.shape[axis + 1:]), c_literal(call.attrs["eps"]))


sync_batch_norm.affine(batch_norm.affine_rule)
sync_batch_norm.emit_c(batch_norm.emit_c_rule)


@batch_norm.infer
def _(inputs, attrs):
    data, *parameters = inputs
    axis = attrs["axis"] % len(data.shape)
    if any(p.shape != data.shape[axis:axis + 1] for p in parameters):
        raise ShapeError(f"BatchNorm: gamma, beta, moving_mean and moving_var have the length of axis {attrs['axis']}; "
                         f"got data={data}, {', '.join(map(str, parameters))}; give [{data.shape[axis]}] each")
    return (data, *[TensorType(data.shape[axis:axis + 1], parameters[2].dtype)] * 4)


sync_batch_norm.infer(batch_norm.infer_rule)


@operator("_contrib_BatchNormWithReLU", traits=_SPATIAL, ignored=_IGNORED, num_outputs=5, num_visible=_num_visible,
          updates=_STATES, auxiliary=_AUXILIARY, initializers=_INITIALIZERS, output_names=("output", "mean", "var"),
          mxnet_outputs=4,
          samples=[Sample((4, 3, 2, 3), (3,), (3,), (3,), (3,), low=-1, high=2, fix_gamma=False, training=True),
                   Sample((4, 3, 2, 3), (3,), (3,), (3,), (3,), low=0.5, high=2,
                          parity="MXNet's gradient is 0 outside training")])
def batch_norm_with_relu(data, gamma, beta, moving_mean, moving_var, *, eps: float = 1e-3, momentum: float = 0.9,
                         fix_gamma: bool = True, use_global_stats: bool = False, output_mean_var: bool = False,
                         axis: int = 1, training: bool = False):
    """BatchNorm, and 0 where it is negative; inputs and outputs as in BatchNorm."""
    out, *rest = batch_norm.kernel(data, gamma, beta, moving_mean, moving_var, eps=eps, momentum=momentum,
                                   fix_gamma=fix_gamma, use_global_stats=use_global_stats,
                                   output_mean_var=output_mean_var, axis=axis, training=training)
    return torch.relu(out), *rest


@batch_norm_with_relu.gradient
def _(call):
    dout = activation_backward(call.douts[0], call.outputs[0], act_type="relu")
    return _gradient(call._replace(douts=(dout, *call.douts[1:])))


batch_norm_with_relu.complete(batch_norm.complete_rule)
batch_norm_with_relu.again(functools.partial(_again, relu=True))
batch_norm_with_relu.moves(_moves)


@batch_norm_with_relu.lower_c
def _(inputs, types, attrs):
    return [get("relu")(batch_norm(*inputs, **attrs)[0])]
