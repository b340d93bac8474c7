"""Activation and LeakyReLU: the layers' nonlinearities, with an attribute that says which."""
from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F

from .convolution import in_memory_of
from .families import RELU_VECTOR, c_literal
from .operator import operator
from .samples import Sample
from .traits import CHEAP, Traits

_ACTIVATIONS = {"relu": torch.relu, "sigmoid": torch.sigmoid, "tanh": torch.tanh, "softrelu": F.softplus,
                "softsign": F.softsign}
_aten = torch.ops.aten
#: gradient by the output alone, so that the input need not be kept
_FROM_OUTPUT = {
    "relu": lambda dout, out: _aten.threshold_backward(dout, out, 0),
    "sigmoid": lambda dout, out: _aten.sigmoid_backward(dout, out),
    "tanh": lambda dout, out: _aten.tanh_backward(dout, out),
    "softrelu": lambda dout, out: dout * -torch.expm1(-out),
    "softsign": lambda dout, out: dout * (1 - out.abs()) ** 2,
}
#: the same, over the output's gradient
_INTO_GRADIENT = {
    "relu": lambda dout, out: _aten.threshold_backward.grad_input(dout, out, 0, grad_input=dout),
    "sigmoid": lambda dout, out: _aten.sigmoid_backward.grad_input(dout, out, grad_input=dout),
    "tanh": lambda dout, out: _aten.tanh_backward.grad_input(dout, out, grad_input=dout),
    "softrelu": lambda dout, out: dout.mul_(torch.neg(out).expm1_().neg_()),
    "softsign": lambda dout, out: dout.mul_(out.abs().neg_().add_(1).square_()),
}
ActType = Literal["relu", "sigmoid", "tanh", "softrelu", "softsign"]


@operator("Activation", aliases=("_npx_activation",),
          traits=Traits(recompute=CHEAP, elementwise=True, inplace=((0, 0),)),
          samples=[Sample((2, 3, 4), low=-3, high=3, act_type=act_type) for act_type in _ACTIVATIONS])
def activation(data, *, act_type: ActType):
    """relu, sigmoid, tanh, softrelu (log(1 + exp x)) or softsign (x / (1 + |x|)).  data, out: float[...]"""
    return _ACTIVATIONS[act_type](data)


_IN_PLACE_ACTIVATIONS = {
    "relu": torch.relu_, "sigmoid": torch.sigmoid_, "tanh": torch.tanh_,
    "softrelu": lambda data: _aten.softplus.out(data, out=data),
    "softsign": lambda data: data.div_(data.abs().add_(1)),
}


@activation.in_place
def _(data, *, act_type: ActType):
    return _IN_PLACE_ACTIVATIONS[act_type](data)


@activation.gradient
def _(call):
    return [activation_backward(call.douts[0], call.outputs[0], act_type=call.attrs["act_type"])]


@operator("_backward_Activation", traits=Traits(recompute=CHEAP, elementwise=True, inplace=((0, 0),)), parity=None)
def activation_backward(dout, out, *, act_type: ActType):
    """Gradient of Activation by its output."""
    return _FROM_OUTPUT[act_type](in_memory_of(dout, out), out)


@activation_backward.scratch
def _(inputs, attrs):
    return inputs[1].num_bytes if attrs["act_type"] in ("softrelu", "softsign") else 0


@activation_backward.in_place
def _(dout, out, *, act_type: ActType):
    dout = in_memory_of(dout, out)
    return _INTO_GRADIENT[act_type](dout, out)


LeakyType = Literal["elu", "gelu", "leaky", "prelu", "rrelu", "selu"]
_SELU_SCALE, _SELU_ALPHA = 1.0507009873554804934193349852946, 1.6732632423543772848170429916717


@operator("LeakyReLU", aliases=("_npx_leaky_relu",), traits=Traits(recompute=CHEAP, inplace=((0, 0),)),
          num_outputs=lambda attrs: 2 if attrs["act_type"] == "rrelu" else 1, num_visible=1,
          output_names=("output", "mask"), initializers={"gamma": '["Constant", {"value": 0.25}]'},
          samples=[Sample((2, 3, 4), low=-2, high=2, act_type="leaky", slope=0.1),
                   Sample((2, 3, 4), low=-2, high=2, act_type="elu", slope=0.5),
                   Sample((2, 3, 4), low=-2, high=2, act_type="selu",
                          parity="MXNet's gradient of selu is not its derivative"),
                   Sample((2, 3, 4), low=-2, high=2, act_type="gelu"),
                   Sample((2, 3, 4), (3,), low=-2, high=2, act_type="prelu"),
                   Sample((2, 3), (1,), low=-2, high=2, act_type="prelu"),
                   Sample((2, 3), low=-2, high=2, act_type="rrelu", training=True, parity="draws at random")])
def leaky_relu(data, gamma=None, *, act_type: LeakyType = "leaky", slope: float = 0.25, lower_bound: float = 0.125,
               upper_bound: float = 0.334, training: bool = False, seed: int = 0):
    """x where x > 0, else: leaky slope x; prelu gamma x; rrelu r x; elu slope (e^x - 1); selu and gelu as published.

    data, out: float[N, C, ...];   gamma: float[C] or float[1] (prelu only).
    rrelu draws r from [lower_bound, upper_bound) in training, else takes the middle; r is its second output.
    """
    if act_type == "leaky":
        return F.leaky_relu(data, slope)
    if act_type == "prelu":
        return torch.where(data > 0, data, data * along_channels(gamma, data.dim()).to(data.dtype))
    if act_type == "elu":
        return F.elu(data, slope)
    if act_type == "selu":
        return F.selu(data)
    if act_type == "gelu":
        return F.gelu(data)
    slopes = torch.empty_like(data)
    if training and not data.is_meta:
        slopes.uniform_(lower_bound, upper_bound, generator=torch.Generator(data.device).manual_seed(seed))
    else:
        slopes.fill_((lower_bound + upper_bound) / 2)
    return torch.where(data > 0, data, data * slopes), slopes


@leaky_relu.inputs
def _(attrs):
    return ("data", "gamma") if attrs["act_type"] == "prelu" else ("data",)


@leaky_relu.complete
def _(shapes, **_):
    if shapes.get("gamma") is not None:
        return {}  # one for all channels, or one for each
    data = shapes["data"]
    return {"gamma": (data[1] if len(data) > 1 else 1,)}


@leaky_relu.gradient
def _(call):
    act_type, tensors = call.attrs["act_type"], call.inputs
    if act_type == "rrelu":
        tensors = (call.inputs[0], call.outputs[1])
    elif act_type in ("elu", "selu") or (act_type == "leaky" and call.attrs["slope"] >= 0):
        tensors = (call.outputs[0],)
    needs = (True, act_type == "prelu" and call.needs[1])
    grads = leaky_relu_backward(call.douts[0], *tensors, act_type=act_type, slope=call.attrs["slope"], needs=needs)
    return list(grads) if needs[1] else [grads, None][:len(call.inputs)]


@operator("_backward_LeakyReLU", traits=Traits(recompute=CHEAP, inplace=((0, 0),)),
          num_outputs=lambda attrs: sum(attrs["needs"]), parity=None)
def leaky_relu_backward(dout, saved, slopes=None, *, act_type: LeakyType, slope: float = 0.25,
                        needs: tuple[bool, ...] = (True, False)):
    """Gradient of LeakyReLU by data (and gamma).  saved: its output (elu, selu), its input (gelu, prelu, rrelu)
    or either (leaky: only the sign matters).

    slopes: gamma of prelu, the second output of rrelu.
    """
    if act_type == "gelu":
        return _aten.gelu_backward(dout, saved)
    if act_type in ("elu", "selu"):
        alpha, scale = (slope, 1.0) if act_type == "elu" else (_SELU_ALPHA, _SELU_SCALE)
        return _aten.elu_backward(dout, alpha, scale, 1.0, True, saved)
    if act_type == "leaky":
        return _aten.leaky_relu_backward(dout, saved, slope, False)
    if act_type == "rrelu":
        return torch.where(saved > 0, dout, dout * slopes)
    dx = torch.where(saved > 0, dout, dout * along_channels(slopes, saved.dim()).to(dout.dtype))
    if not needs[1]:
        return dx
    products = torch.where(saved > 0, 0, dout * saved)
    axes = [axis for axis in range(saved.dim()) if axis != 1 or slopes.numel() == 1]
    return dx, products.sum(axes).reshape(slopes.shape).to(slopes.dtype)


@leaky_relu_backward.infer
def _(inputs, attrs):
    return (inputs[0], inputs[2]) if attrs["needs"][1] else inputs[:1]


def along_channels(values: torch.Tensor, rank: int) -> torch.Tensor:
    """Values [C] as [1, C, 1, ...], to broadcast against data of `rank` axes."""
    return values.reshape(1, -1, *[1] * (rank - 2)) if rank > 1 else values


_C_ACTIVATIONS = {
    "relu": "x > 0.0f ? x : 0.0f", "sigmoid": "v_sigmoid(x)", "tanh": "v_tanh(x)",
    "softrelu": "v_softplus(x)", "softsign": "x / (1.0f + fabsf(x))",
}


@activation.vector
def _(attrs):
    return RELU_VECTOR if attrs["act_type"] == "relu" else None


@activation.emit_c
def _(call):
    return call.elementwise(_C_ACTIVATIONS[call.attrs["act_type"]])


@leaky_relu.vector
def _(attrs):
    return f"v_pick_positive(x, x, v_set({c_literal(attrs['slope'])}) * x)" if attrs["act_type"] == "leaky" else None


@leaky_relu.emit_c
def _(call):
    kind, slope = call.attrs["act_type"], c_literal(call.attrs["slope"])
    forms = {"leaky": f"x > 0.0f ? x : {slope} * x", "elu": f"v_pick_positive(x, x, v_expm1(x) * {slope})",
             "selu": f"v_pick_positive(x, x, v_expm1(x) * {_SELU_ALPHA}f) * {_SELU_SCALE}f",
             "gelu": "v_gelu(x)"}
    if kind not in forms:
        raise call.refuse(f"LeakyReLU of act_type {kind!r} has no C kernel")
    return call.elementwise(forms[kind])


@leaky_relu.infer
def _(inputs, attrs):
    return inputs[:1] * (2 if attrs["act_type"] == "rrelu" else 1)
