"""A tensor's shape and dtype without its memory; a tensor's values in memory of its own."""
from __future__ import annotations

from .combine import one_or_all
from .operator import NOT_DIFFERENTIABLE, operator
from .samples import Sample
from .traits import CHEAP, Loop, Traits


@operator("_stand_in", traits=Traits(recompute=CHEAP, shape_only=(0,), shell=True, loop=Loop.MADE),
          gradient=NOT_DIFFERENTIABLE, samples=[Sample((2, 3))], parity=None)
def stand_in(data):
    """One zero, seen in data's shape (strides 0).  data, out: T[...]"""
    return data.new_zeros(1).expand(data.shape)


@operator("_own_memory", traits=Traits(recompute=CHEAP), gradient=NOT_DIFFERENTIABLE,
          num_outputs=lambda attrs: attrs["count"], samples=[Sample((2, 3), (4,), count=2)], parity=None)
def own_memory(*parts, count: int):
    """Dense copies in the order of axes in which the parts lie.  parts, outs: T[...]"""
    return one_or_all([part.clone() for part in parts])


@own_memory.infer
def _(inputs, attrs):
    return inputs
