"""FullyConnected."""
from __future__ import annotations

import math

import torch

from ..errors import ShapeError
from ..types import TensorType
from .in_place import add_product
from .operator import operator
from .registry import get
from .samples import Sample
from .traits import COSTLY, Traits


@operator("FullyConnected", aliases=("_npx_fully_connected",), traits=Traits(recompute=COSTLY),
          samples=[Sample((4, 3), (5, 3), (5,), num_hidden=5),
                   Sample((4, 2, 3), (5, 6), num_hidden=5, no_bias=True),
                   Sample((2, 4, 3), (5, 3), (5,), num_hidden=5, flatten=False)])
def fully_connected(data, weight, bias=None, *, num_hidden: int, no_bias: bool = False, flatten: bool = True):
    """data @ weight.T + bias.

    data: float[N, ...] (flatten) or float[..., C];   weight: float[num_hidden, C];   bias: float[num_hidden]
    out: float[N, num_hidden] or float[..., num_hidden]
    """
    if flatten and data.dim() != 2:
        data = data.reshape(data.shape[0], -1)
    return torch.nn.functional.linear(data, weight, None if no_bias else bias)


@fully_connected.inputs
def _(attrs):
    return ("data", "weight") if attrs["no_bias"] else ("data", "weight", "bias")


@fully_connected.complete
def _(shapes, *, num_hidden, no_bias, flatten):
    data = shapes["data"]
    channels = data[-1]
    if flatten:
        channels = 1
        for length in data[1:]:
            channels *= length
    return {"weight": (num_hidden, channels), "bias": (num_hidden,)}


@fully_connected.gradient
def _(call):
    data, weight = call.inputs[:2]
    return call.spread(fully_connected_backward(call.douts[0], data, weight, flatten=call.attrs["flatten"],
                                                needs=call.needs))


@operator("_backward_FullyConnected", traits=Traits(recompute=COSTLY), num_outputs=lambda attrs: sum(attrs["needs"]),
          parity=None)
def fully_connected_backward(dout, data, weight, *, needs: tuple[bool, ...], flatten: bool = True):
    """Gradients of FullyConnected for the inputs marked in `needs` (data, weight, bias)."""
    return dense_gradients(dout, data, weight, needs, flatten)


@fully_connected_backward.accumulate(lambda attrs: int(attrs["needs"][0]) if attrs["needs"][1] else None)
def _(total, dout, data, weight, *, needs: tuple[bool, ...], flatten: bool = True):
    return dense_gradients(dout, data, weight, needs, flatten, total)


def dense_gradients(dout, data, weight, needs: tuple[bool, ...], flatten: bool, total: torch.Tensor | None = None):
    """total: what the weight's gradient is added to, in its memory."""
    x, rows = data, dout
    if data.dim() != 2:
        x = data.reshape(data.shape[0], -1) if flatten else data.reshape(-1, data.shape[-1])
    if dout.dim() != 2:
        rows = dout.reshape(-1, dout.shape[-1])
    grads = []
    if needs[0]:
        dx = rows @ weight
        grads.append(dx if data.dim() == 2 else dx.reshape(data.shape))
    if needs[1]:
        grads.append(rows.t() @ x if total is None else add_product(total, rows.t(), x))
    if len(needs) > 2 and needs[2]:
        grads.append(rows.sum(0))
    return tuple(grads) if len(grads) > 1 else grads[0]


@fully_connected_backward.infer
def _(inputs, attrs):
    dout, data, weight = inputs
    bias = TensorType((weight.shape[0],), dout.dtype)
    return tuple(t for t, needed in zip((data, weight, bias), attrs["needs"], strict=False) if needed)


@fully_connected_backward.flops
def _(inputs, outputs, attrs):
    return sum(attrs["needs"][:2]) * 2 * inputs[0].size * (inputs[2].size // inputs[2].shape[0])


@fully_connected.flops
def _(inputs, outputs, attrs):
    return 2 * outputs[0].size * (inputs[1].size // attrs["num_hidden"])


@fully_connected.absorb
def _(inputs, attrs, scale, shift):
    weight = get("broadcast_mul")(inputs[1], get("expand_dims")(scale, axis=1))
    bias = shift if attrs["no_bias"] else get("broadcast_add")(get("broadcast_mul")(inputs[2], scale), shift)
    return (inputs[0], weight, bias), {**attrs, "no_bias": False}


@fully_connected.emit_c
def _(call):
    data, weight, *bias = call.inputs
    filters, columns = weight.shape
    rows = call.outputs[0].size // filters

    def some(first: int, last: int) -> str:
        return call.kernel("gemm_nt", data.pointer, columns, weight.behind(first * columns), columns,
                           bias[0].behind(first) if bias else "NULL", call.outputs[0].behind(first), filters, rows,
                           last - first, columns)
    return call.parted(filters, 2 * rows * filters * columns, some)


@fully_connected.infer
def _(inputs, attrs):
    data, weight = inputs[:2]
    rows = data.shape[:1] if attrs["flatten"] else data.shape[:-1]
    columns = math.prod(data.shape[len(rows):])
    if weight.shape != (attrs["num_hidden"], columns):
        raise ShapeError(f"FullyConnected: weight does not fit; got data={data}, weight={weight}, "
                         f"num_hidden={attrs['num_hidden']}; give weight{[attrs['num_hidden'], columns]}")
    return (TensorType((*rows, attrs["num_hidden"]), data.dtype),)
