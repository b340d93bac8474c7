"""Output layers of symbolic training: a prediction going forward, the gradient of a loss coming back.

Letters: N batch, C classes, X... further axes.
"""
from __future__ import annotations

import math
from typing import Literal

import numpy as np
import torch

from .families import elementwise_c
from .operator import operator
from .samples import Sample
from .softmax import emit_softmax
from .traits import CHEAP, Traits

_IN_PLACE = Traits(recompute=CHEAP, inplace=((0, 0),))
#: output layers do not read the label forward; only their gradient does
_OUTPUT = Traits(recompute=CHEAP, inplace=((0, 0),), shape_only=(1,))
Normalization = Literal["batch", "null", "valid"]
_LABELS = np.array([0, 2, 4, 1], "float32")
_LABELS_OF_MANY = np.array([[0, 1, 2, 1], [2, 0, 0, 1]], "float32")


def _class_axis(rank: int, multi_output: bool, preserve_shape: bool) -> int | None:
    """The axis of the classes; None where everything after the batch is classes."""
    if multi_output:
        return 1
    return -1 if preserve_shape or rank <= 2 else None


@operator("SoftmaxOutput", aliases=("Softmax",), traits=_OUTPUT,
          samples=[Sample((4, 5), _LABELS, differentiable=(0,)),
                   Sample((4, 5), _LABELS, differentiable=(0,), grad_scale=0.5, use_ignore=True, ignore_label=2.0,
                          normalization="valid", smooth_alpha=0.1),
                   Sample((2, 3, 4), _LABELS_OF_MANY, differentiable=(0,), multi_output=True, normalization="batch"),
                   Sample((2, 3, 2, 2), _LABELS_OF_MANY.reshape(2, 2, 2), differentiable=(0,), multi_output=True,
                          use_ignore=True, ignore_label=0.0, normalization="valid"),
                   Sample((2, 4, 3), _LABELS_OF_MANY, differentiable=(0,), preserve_shape=True,
                          normalization="batch"),
                   Sample((4, 5, 2), _LABELS, differentiable=(0,), parity="MXNet asks for labels it does not read"),
                   Sample((4, 5), (4, 5), low=0, high=1, differentiable=(0,), grad_scale=2.0),
                   Sample((4, 5), _LABELS, differentiable=(0,), out_grad=True, normalization="batch",
                          parity="MXNet multiplies by the output, not by its gradient")])
def softmax_output(data, label, *, grad_scale: float = 1.0, ignore_label: float = -1.0, multi_output: bool = False,
                   use_ignore: bool = False, preserve_shape: bool = False, normalization: Normalization = "null",
                   out_grad: bool = False, smooth_alpha: float = 0.0):
    """softmax of data; its gradient is that of the cross entropy with `label`, whatever comes from above.

    data, out: float[N, C, X...] (multi_output), float[..., C] (preserve_shape) or float[N, ...];
    label: class numbers, or probabilities in the shape of data.
    """
    axis = _class_axis(data.dim(), multi_output, preserve_shape)
    if axis is None:
        return torch.softmax(data.reshape(data.shape[0], -1), 1).reshape(data.shape)
    return torch.softmax(data, axis)


@softmax_output.complete
def _(shapes, *, multi_output, preserve_shape, **_):
    data = tuple(shapes["data"])
    if shapes["label"] is not None:  # class numbers in any shape, or probabilities: the gradient looks
        return {}
    if multi_output:
        return {"label": (data[0], math.prod(data[2:]))}
    return {"label": data[:-1] if preserve_shape else data[:1]}


@softmax_output.surrogate_gradient
def _(call):
    head = (call.douts[0],) if call.attrs["out_grad"] else ()
    attrs = {name: value for name, value in call.attrs.items() if name in softmax_output.attributes}
    return [softmax_output_backward(call.outputs[0], call.inputs[1], *head, **attrs), None]


@operator("_backward_SoftmaxOutput", traits=_IN_PLACE, parity=None)
def softmax_output_backward(out, label, dout=None, *, grad_scale: float = 1.0, ignore_label: float = -1.0,
                            multi_output: bool = False, use_ignore: bool = False, preserve_shape: bool = False,
                            normalization: Normalization = "null", out_grad: bool = False,
                            smooth_alpha: float = 0.0):
    """(out - target) * grad_scale / count, by the softmax `out`; times dout under out_grad."""
    if label.shape == out.shape:
        grad = (out - label.to(out.dtype)) * grad_scale
        return grad if dout is None else grad * dout
    axis = _class_axis(out.dim(), multi_output, preserve_shape)
    probability = out.reshape(out.shape[0], -1) if axis is None else out.movedim(axis, -1)
    classes = probability.shape[-1]
    label = label.reshape(probability.shape[:-1]).long()
    kept = label != int(ignore_label)
    grad = probability.clone(memory_format=torch.contiguous_format)
    if smooth_alpha:
        grad -= smooth_alpha / (classes - 1)
    at_label = label.clamp(0, classes - 1)[..., None]
    peak = 1 - smooth_alpha - (smooth_alpha / (classes - 1) if smooth_alpha else 0)
    grad.scatter_add_(-1, at_label, grad.new_full((), -peak).expand(at_label.shape))
    if use_ignore:
        grad *= kept[..., None]
    scale = grad_scale / (math.prod(out.shape[2:]) if multi_output and normalization != "valid" else 1)
    if normalization == "batch":
        grad *= scale / (out.shape[0] if multi_output else label.numel())
    elif normalization == "valid" and use_ignore:
        grad *= scale / kept.sum().clamp(min=1).to(grad.dtype)
    else:
        grad *= scale / (label.numel() if normalization == "valid" else 1)
    grad = grad.reshape(out.shape) if axis is None else grad.movedim(-1, axis)
    return grad if dout is None else grad * dout


def _regression_label(shapes, **_):
    data = shapes["data"]
    return {} if shapes["label"] is not None else {"label": data[:1] if data[1:] == (1,) else data}


def _regression(name: str, forward, difference, formula: str):
    """The regression layer `name`: forward(data), and back: difference(out, label) * grad_scale / outputs each."""
    @operator(f"_backward_{name}", traits=_IN_PLACE, parity=None)
    def backward(out, label, *, grad_scale: float = 1.0):
        """Gradient of the loss by data, by the layer's output."""
        outputs = label.numel() // max(label.shape[0], 1) if label.dim() else 1
        return difference(out, label.reshape(out.shape).to(out.dtype)) * (grad_scale / max(outputs, 1))

    def kernel(data, label, *, grad_scale: float = 1.0):
        return forward(data)
    kernel.__doc__ = f"{formula}  data, label, out: float[N, ...]"
    entry = operator(name, aliases=(f"_sparse_{name}",), traits=_OUTPUT,
                     samples=[Sample((3, 4), (3, 4), differentiable=(0,), grad_scale=0.5),
                              Sample((3, 1), (3,), differentiable=(0,))])(kernel)
    entry.emit_c(elementwise_c("v_sigmoid(x)" if name.startswith("Logistic") else "x"))
    entry.complete(_regression_label)
    entry.surrogate_gradient(
        lambda call: [backward(call.outputs[0], call.inputs[1], grad_scale=call.attrs["grad_scale"]), None])
    return entry


linear_regression_output = _regression(
    "LinearRegressionOutput", lambda data: data.clone(), lambda out, label: out - label,
    "data; its gradient is that of half the squared error.")
mae_regression_output = _regression(
    "MAERegressionOutput", lambda data: data.clone(), lambda out, label: torch.sign(out - label),
    "data; its gradient is that of the absolute error.")
logistic_regression_output = _regression(
    "LogisticRegressionOutput", torch.sigmoid, lambda out, label: out - label,
    "sigmoid(data); its gradient is that of the cross entropy with label.")


@operator("SVMOutput", traits=_OUTPUT,
          samples=[Sample((4, 5), _LABELS, differentiable=(0,)),
                   Sample((4, 5), _LABELS, differentiable=(0,), margin=0.5, regularization_coefficient=0.3,
                          use_linear=True)])
def svm_output(data, label, *, margin: float = 1.0, regularization_coefficient: float = 1.0, use_linear: bool = False):
    """data; its gradient is that of the (squared, unless use_linear) hinge loss.  data, out: float[N, C]; label: [N]"""
    return data.clone()


@svm_output.complete
def _(shapes, **_):
    return {"label": shapes["data"][:1]}


@svm_output.surrogate_gradient
def _(call):
    return [svm_output_backward(call.outputs[0], call.inputs[1], **{
        name: value for name, value in call.attrs.items() if name in svm_output.attributes}), None]


@operator("_backward_SVMOutput", traits=_IN_PLACE, parity=None)
def svm_output_backward(out, label, *, margin: float = 1.0, regularization_coefficient: float = 1.0,
                        use_linear: bool = False):
    """Gradient of the hinge loss: each class is wanted above `margin` if it is the label, else below -margin."""
    wanted = torch.full_like(out, -1).scatter_(1, label.long()[:, None], 1)
    lack = margin - wanted * out
    slope = (lack > 0).to(out.dtype) if use_linear else 2 * lack.clamp(min=0)
    return -wanted * slope * regularization_coefficient


@softmax_output.emit_c
def _(call):
    shape = call.inputs[0].shape
    axis = _class_axis(len(shape), call.attrs["multi_output"], call.attrs["preserve_shape"])
    outer, n, inner = (shape[0], math.prod(shape[1:]), 1) if axis is None else (
        math.prod(shape[:axis % len(shape)]), shape[axis], math.prod(shape[axis % len(shape) + 1:]))
    return emit_softmax(call, outer, n, inner)
