"""FullyConnected and the relu after it as one operator: a step less forward and backward, the same bits."""
from __future__ import annotations

import torch

from .activation import activation
from .dense import dense_gradients, fully_connected, fully_connected_backward
from .operator import operator
from .samples import Sample
from .traits import COSTLY, Traits

_aten = torch.ops.aten


@operator("_FullyConnected_relu", traits=Traits(recompute=COSTLY), parity=None,
          samples=[Sample((4, 3), (5, 3), (5,), num_hidden=5),
                   Sample((2, 4, 3), (5, 3), num_hidden=5, no_bias=True, flatten=False)])
def fully_connected_relu(data, weight, bias=None, *, num_hidden: int, no_bias: bool = False, flatten: bool = True):
    """max(0, FullyConnected(data, weight, bias)); shapes as there."""
    return fully_connected.kernel(data, weight, bias, num_hidden=num_hidden, no_bias=no_bias, flatten=flatten).relu_()


@fully_connected.followed_by(activation)
def _(attrs, activation_attrs):
    return (fully_connected_relu, attrs) if activation_attrs["act_type"] == "relu" else None


fully_connected_relu.inputs(fully_connected.inputs_rule)
fully_connected_relu.complete(fully_connected.complete_rule)
fully_connected_relu.infer(fully_connected.infer_rule)
fully_connected_relu.flops(fully_connected.flops_rule)


@fully_connected_relu.gradient
def _(call):
    data, weight = call.inputs[:2]
    return call.spread(fully_connected_relu_backward(call.douts[0], call.outputs[0], data, weight, needs=call.needs,
                                                     flatten=call.attrs["flatten"]))


@operator("_backward_FullyConnected_relu", traits=Traits(recompute=COSTLY), parity=None,
          num_outputs=lambda attrs: sum(attrs["needs"]))
def fully_connected_relu_backward(dout, out, data, weight, *, needs: tuple[bool, ...], flatten: bool = True):
    """Gradients of max(0, FullyConnected) for the inputs marked in `needs` (data, weight, bias)."""
    return dense_gradients(_aten.threshold_backward(dout, out, 0), data, weight, needs, flatten)


@fully_connected_relu_backward.in_place
def _(dout, out, data, weight, *, needs: tuple[bool, ...], flatten: bool = True):
    dout = _aten.threshold_backward.grad_input(dout, out, 0, grad_input=dout)
    return dense_gradients(dout, data, weight, needs, flatten)


fully_connected_relu_backward.in_place_output = lambda attrs: -1   # overwritten on the way: no output lies there


@fully_connected_relu_backward.accumulate(fully_connected_backward.accumulated_output)
def _(total, dout, out, data, weight, *, needs: tuple[bool, ...], flatten: bool = True):
    return dense_gradients(_aten.threshold_backward(dout, out, 0), data, weight, needs, flatten, total)


@fully_connected_relu_backward.infer
def _(inputs, attrs):
    dout, _, data, weight = inputs
    return fully_connected_backward.infer_rule((dout, data, weight), attrs)


@fully_connected_relu_backward.flops
def _(inputs, outputs, attrs):
    dout, _, data, weight = inputs
    return fully_connected_backward.flops_rule((dout, data, weight), outputs, attrs)
