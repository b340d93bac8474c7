"""Stretching axes of length 1, and its reverse: summing a gradient back to the shape that was stretched."""
from __future__ import annotations

import torch

from ..errors import ShapeError
from .operator import operator
from .samples import Sample
from .strided import emit_view
from .traits import CHEAP, Traits


@operator("_backward_broadcast", traits=Traits(recompute=CHEAP, view=True, shape_only=(1,)), parity=None)
def sum_to(dout, like):
    """Sum of `dout` over the axes that broadcasting stretched, in the shape of `like`.  out: T[like.shape]"""
    return dout if dout.shape == like.shape else dout.sum_to_size(like.shape)


@operator("broadcast_like", traits=Traits(recompute=CHEAP, view=True, shape_only=(1,)),
          samples=[Sample((1, 3), (4, 3)), Sample((1, 3), (5, 7), lhs_axes=(0,), rhs_axes=(-1,))])
def broadcast_like(lhs, rhs, *, lhs_axes: tuple[int, ...] | None = None, rhs_axes: tuple[int, ...] | None = None):
    """lhs stretched to the shape of rhs, or only its `lhs_axes` to the lengths of `rhs_axes`.  out: T[...]"""
    if lhs_axes is None or rhs_axes is None:
        return _stretch("broadcast_like", lhs, tuple(rhs.shape))
    shape = list(lhs.shape)
    for axis, other in zip(lhs_axes, rhs_axes, strict=True):
        shape[axis] = rhs.shape[other]
    return _stretch("broadcast_like", lhs, tuple(shape))


@broadcast_like.gradient
def _(call):
    return [sum_to(call.douts[0], call.inputs[0]), None]


@operator("broadcast_to", traits=Traits(recompute=CHEAP, view=True),
          samples=[Sample((2, 1, 3), shape=(2, 4, 3)), Sample((1, 3), shape=(2, 0))])
def broadcast_to(data, *, shape: tuple[int, ...] = ()):
    """data with axes of length 1 stretched to `shape`; 0 in `shape` keeps the length.  out: T[shape]"""
    if len(shape) != data.dim():
        raise ShapeError(f"broadcast_to: shape needs {data.dim()} lengths; got {shape} for data{list(data.shape)}; "
                         "reshape first")
    return _stretch("broadcast_to", data, tuple(n or old for n, old in zip(shape, data.shape, strict=True)))


@operator("broadcast_axis", aliases=("broadcast_axes",), traits=Traits(recompute=CHEAP, view=True),
          samples=[Sample((1, 3, 1), axis=(0, 2), size=(2, 4)), Sample((1, 3, 1), axis=2, size=5)])
def broadcast_axis(data, *, axis: tuple[int, ...] = (), size: tuple[int, ...] = ()):
    """data with each axis in `axis` stretched to the length in `size`.  out: T[...]"""
    shape = list(data.shape)
    for i, length in zip(axis, size, strict=True):
        shape[i] = length
    return _stretch("broadcast_axis", data, tuple(shape))


@broadcast_to.gradient
@broadcast_axis.gradient
def _(call):
    return [sum_to(call.douts[0], call.inputs[0])]


def _stretch(name: str, data: torch.Tensor, shape: tuple[int, ...]) -> torch.Tensor:
    if len(shape) != data.dim() or any(old not in (1, new) for old, new in zip(data.shape, shape, strict=True)):
        raise ShapeError(f"{name}: only axes of length 1 stretch; got data{list(data.shape)} to {list(shape)}; "
                         "reshape or repeat first")
    return data.expand(shape)


for op in (broadcast_like, broadcast_to, broadcast_axis):
    op.emit_c(emit_view(op))
