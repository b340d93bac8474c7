"""The operator that adds one of its outputs into a running sum, for gradients that are made of many parts."""
from __future__ import annotations

from typing import Any

import torch

from .operator import Operator
from .traits import Traits

_derived: dict[str, Operator] = {}


def accumulating(op: Operator) -> Operator:
    """The operator ``_accumulate_NAME``: (total, inputs...) -> the outputs of `op`, with total added to the one that
    its entry says; in total's memory where a program may overwrite it.  `op` must have an `.accumulate` kernel."""
    if op.name not in _derived:
        add = op.accumulate_kernel

        def kernel(total: torch.Tensor, *inputs: torch.Tensor, **attrs: Any):
            return add(total.clone(), *inputs, **attrs)
        kernel.__doc__ = f"{op.name} of the inputs, one output of it added to total."
        shape_only = tuple(position + 1 for position in range(len(op.parameters)) if position in op.traits.shape_only)
        derived = Operator(f"_accumulate_{op.name}", kernel, parity=None, num_outputs=op.num_outputs,
                           traits=Traits(recompute=op.traits.recompute, shape_only=shape_only))
        derived.attributes, derived.defaults = op.attributes, op.defaults
        derived.in_place(add)
        derived.is_accumulating = True
        derived.in_place_output = op.accumulated_output
        if op.infer_rule is not None:
            derived.infer_rule = lambda inputs, attrs: op.infer_rule(inputs[1:], attrs)
        if op.flops_rule is not None:
            derived.flops_rule = lambda inputs, outputs, attrs: op.flops_rule(inputs[1:], outputs, attrs)
        _derived[op.name] = derived
    return _derived[op.name]
