"""FullyConnected in the single-file build: weights in panels, as the kernel of many rows reads them.

Letters: R rows, C columns of the data, O outputs.
"""
from __future__ import annotations

import torch
from torch.nn import functional as F

from ..types import TensorType
from .dense import fully_connected
from .operator import NOT_DIFFERENTIABLE, operator
from .samples import Sample
from .traits import COSTLY, Traits

PANEL = 64      # as in panels.c.in
FEWEST_ROWS = 4  # below, weights are read as they are: each is used too seldom for the panels' width to pay


@operator("_panels", traits=Traits(), parity=None, gradient=NOT_DIFFERENTIABLE,
          samples=[Sample((70, 3)), Sample((5, 2))])
def panels(weight):
    """weight[O, C] as [O / 64, C, 64], filled up with zeros."""
    whole = F.pad(weight, (0, 0, 0, -weight.shape[0] % PANEL))
    return whole.unflatten(0, (-1, PANEL)).transpose(1, 2).contiguous()


def from_panels(packed: torch.Tensor, rows: int) -> torch.Tensor:
    """The reverse of `panels`: [rows, C]."""
    return packed.transpose(1, 2).flatten(0, 1)[:rows]


@operator("_dense_panels", traits=Traits(recompute=COSTLY), parity=None, gradient=NOT_DIFFERENTIABLE,
          samples=[Sample((9, 3), (2, 3, 64), (70,), num_hidden=70, resizable=False),
                   Sample((4, 2, 3), (1, 3, 64), num_hidden=5, flatten=False, resizable=False)])
def dense_panels(data, weight, bias=None, *, num_hidden: int, flatten: bool = True):
    """FullyConnected of weight in `panels`.  data: float[R, ...];  weight: float[O / 64, C, 64];  bias: float[O]"""
    data = data.flatten(1) if flatten else data
    return F.linear(data, from_panels(weight, num_hidden), bias)


@dense_panels.infer
def _(inputs, attrs):
    shape = inputs[0].shape[:1] if attrs["flatten"] else inputs[0].shape[:-1]
    return (TensorType((*shape, attrs["num_hidden"]), inputs[0].dtype),)


@fully_connected.lower_c
def _(inputs, types, attrs):
    columns = types[1].shape[1]
    if types[0].size // max(columns, 1) < FEWEST_ROWS:
        return None
    data, weight, *bias = inputs
    return [dense_panels(data, panels(weight), *bias, num_hidden=attrs["num_hidden"], flatten=attrs["flatten"])]


@panels.emit_c
def _(call):
    weight = call.inputs[0]
    return call.kernel("pack_panels", weight.pointer, call.outputs[0].pointer, *weight.shape)


@dense_panels.emit_c
def _(call):
    data, weight, *bias = call.inputs
    hidden, columns = call.attrs["num_hidden"], weight.shape[1]
    rows = call.outputs[0].size // hidden

    def some(first: int, last: int) -> str:
        start = first * PANEL
        return call.kernel("gemm_panels", data.pointer, columns, weight.behind(start * columns),
                           bias[0].behind(start) if bias else "NULL", call.outputs[0].behind(start), hidden, rows,
                           min(last * PANEL, hidden) - start, columns)
    return call.parted(weight.shape[0], 2 * rows * hidden * columns, some)
