"""A tensor's shape and dtype without its memory."""
from __future__ import annotations

from .operator import NOT_DIFFERENTIABLE, operator
from .samples import Sample
from .traits import CHEAP, Traits


@operator("_stand_in", traits=Traits(recompute=CHEAP, shape_only=(0,), shell=True), gradient=NOT_DIFFERENTIABLE,
          samples=[Sample((2, 3))], parity=None)
def stand_in(data):
    """One zero, seen in data's shape (strides 0).  data, out: T[...]"""
    return data.new_zeros(1).expand(data.shape)
