"""Layers with parameters, and pooling."""
from __future__ import annotations

import numpy as np

from .call import OnnxCall, rule

PLANES = (None, "NCW", "NCHW", "NCDHW")


def _window(call: OnnxCall, num_axes: int) -> dict:
    attrs = call.attrs
    if attrs["layout"] not in PLANES:
        raise call.refuse(f"layout={attrs['layout']!r}; ONNX has channels first only")
    pad = list(attrs["pad"] or (0,) * num_axes)
    return {"kernel_shape": list(attrs["kernel"]), "strides": list(attrs["stride"] or (1,) * num_axes),
            "pads": pad + pad}


@rule("Convolution")
def convolution(call: OnnxCall) -> str:
    axes = len(call.attrs["kernel"])
    return call.add("Conv", *call.names, **_window(call, axes), group=call.attrs["num_group"],
                    dilations=list(call.attrs["dilate"] or (1,) * axes))


@rule("Deconvolution")
def deconvolution(call: OnnxCall) -> str:
    axes, window = len(call.attrs["kernel"]), _window(call, len(call.attrs["kernel"]))
    if call.attrs["target_shape"]:
        raise call.refuse("target_shape is given; give pad and adj")
    return call.add("ConvTranspose", *call.names, **window, group=call.attrs["num_group"],
                    dilations=list(call.attrs["dilate"] or (1,) * axes),
                    output_padding=list(call.attrs["adj"] or (0,) * axes))


@rule("Pooling")
def pooling(call: OnnxCall) -> str:
    attrs, kind = call.attrs, call.attrs["pool_type"]
    if kind not in ("max", "avg"):
        raise call.refuse(f"pool_type={kind!r}")
    if attrs["global_pool"]:
        return call.add("GlobalMaxPool" if kind == "max" else "GlobalAveragePool", call.names[0])
    if attrs["pooling_convention"] == "same":
        raise call.refuse("pooling_convention='same'")
    window = _window(call, len(attrs["kernel"])) | {"ceil_mode": int(attrs["pooling_convention"] == "full")}
    if kind == "max":
        return call.add("MaxPool", call.names[0], **window)
    if window["ceil_mode"] and _hangs_over(call, window):
        raise call.refuse("an average of windows that reach beyond the padding; engines disagree what ONNX means by it")
    return call.add("AveragePool", call.names[0], **window,
                    count_include_pad=int(attrs["count_include_pad"] is not False))


def _hangs_over(call: OnnxCall, window: dict) -> bool:
    axes = len(window["kernel_shape"])
    return any((n + 2 * p - k) % s for n, k, s, p in zip(
        call.inputs[0].shape[2:], window["kernel_shape"], window["strides"], window["pads"][:axes], strict=True))


@rule("FullyConnected")
def fully_connected(call: OnnxCall) -> str:
    x, weight, *bias = call.names
    shape = call.inputs[0].shape
    if call.attrs["flatten"]:
        if len(shape) != 2:
            x = call.reshape(x, (shape[0], int(np.prod(shape[1:]))))
        return call.add("Gemm", x, weight, *bias, transB=1)
    out = call.add("MatMul", x, call.add("Transpose", weight, perm=[1, 0]))
    return call.add("Add", out, *bias) if bias else out


@rule("BatchNorm")
def batch_norm(call: OnnxCall) -> str:
    x, gamma, beta, mean, var = call.names
    axis, ndim = call.axis(call.attrs["axis"]), len(call.inputs[0].shape)
    if call.attrs["fix_gamma"]:
        gamma = call.array(np.ones(call.inputs[1].shape, call.inputs[1].dtype))
    order = [i for i in range(ndim) if i != axis]
    order.insert(1, axis)
    x = x if axis == 1 else call.add("Transpose", x, perm=order)
    out = call.add("BatchNormalization", x, gamma, beta, mean, var, epsilon=call.attrs["eps"])
    return out if axis == 1 else call.add("Transpose", out, perm=[order.index(i) for i in range(ndim)])


@rule("LayerNorm")
def layer_norm(call: OnnxCall) -> str:
    if call.axis(call.attrs["axis"]) != len(call.inputs[0].shape) - 1:
        raise call.refuse("an axis that is not the last")
    return call.add("LayerNormalization", *call.names, axis=-1, epsilon=call.attrs["eps"])


@rule("InstanceNorm")
def instance_norm(call: OnnxCall) -> str:
    return call.add("InstanceNormalization", *call.names, epsilon=call.attrs["eps"])


@rule("LRN")
def lrn(call: OnnxCall) -> str:
    attrs = call.attrs
    return call.add("LRN", call.names[0], alpha=attrs["alpha"], beta=attrs["beta"], bias=attrs["knorm"],
                    size=attrs["nsize"])


@rule("SoftmaxOutput", "SoftmaxActivation")
def softmax_of_examples(call: OnnxCall) -> str:
    shape, attrs = call.inputs[0].shape, call.attrs
    if attrs.get("multi_output") or attrs.get("mode") == "channel":
        return call.add("Softmax", call.names[0], axis=1)
    if attrs.get("preserve_shape") or len(shape) == 2:
        return call.add("Softmax", call.names[0], axis=-1)
    flat = call.reshape(call.names[0], (shape[0], int(np.prod(shape[1:]))))
    return call.reshape(call.add("Softmax", flat, axis=-1), shape)


@rule("softmax", "log_softmax")
def softmax(call: OnnxCall) -> str:
    attrs, x = call.attrs, call.names[0]
    if attrs["use_length"]:
        raise call.refuse("lengths of sequences")
    if attrs["temperature"] not in (None, 1.0):
        x = call.add("Div", x, call.scalar(attrs["temperature"]))
    return call.add("LogSoftmax" if call.op == "log_softmax" else "Softmax", x, axis=attrs["axis"])


@rule("Embedding")
def embedding(call: OnnxCall) -> str:
    return call.add("Gather", call.names[1], call.index(call.names[0], call.inputs[1].shape[0]), axis=0)
