"""mxdl's side of an operator's comparison: its kernel and its gradient on torch tensors, NumPy in and out."""
from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch

from mxdl.ops.generic_gradient import vector_jacobian
from mxdl.ops.operator import GradientCall, NotDifferentiable, Operator


class Call(NamedTuple):
    """One call of an operator: what both sides are given.  `grad`: indices of the inputs to differentiate by."""

    inputs: list[np.ndarray]
    attrs: Mapping[str, Any]
    training: bool = False
    grad: tuple[int, ...] = ()


class Result(NamedTuple):
    """outputs: all that the kernel returns.   visible: how many of them the caller of mx.nd.NAME sees.
    updated: (input index, output index) pairs that the caller writes back."""

    outputs: list[torch.Tensor]
    visible: int
    updated: list[tuple[int, int]]


def tensors(arrays: Sequence[np.ndarray], contiguous: bool = True) -> list[torch.Tensor]:
    """The arrays as torch tensors; with contiguous=False, as every second element of a larger one."""
    made = [torch.from_numpy(np.array(a)) for a in arrays]
    return made if contiguous else [torch.stack([t, t], -1)[..., 0] for t in made]


def names_of_inputs(op: Operator, call: Call) -> list[str]:
    return op.input_names(op.parse(call.attrs), len(call.inputs))


def differentiable_inputs(op: Operator, call: Call) -> tuple[int, ...]:
    names = names_of_inputs(op, call)
    return tuple(i for i, a in enumerate(call.inputs)
                 if np.issubdtype(a.dtype, np.floating) and (i >= len(names) or names[i] not in op.auxiliary))


def forward(op: Operator, call: Call, contiguous: bool = True) -> Result:
    attrs = op.parse(call.attrs)
    with torch.no_grad():
        outputs = op.bind(attrs)(*tensors(call.inputs, contiguous), **reserved(op, call))
    outputs = list(outputs) if isinstance(outputs, (tuple, list)) else [outputs]
    names = names_of_inputs(op, call)
    updated = [(names.index(name), k) for k, name in op.updates.items() if name in names]
    return Result(outputs, op.num_visible(op.filled(attrs)), updated)


def backward(op: Operator, call: Call, result: Result, douts: Sequence[np.ndarray | None]
             ) -> dict[str, list[np.ndarray]]:
    """Gradients of the inputs in `call.grad`, by each way that mxdl may take: the graph's explicit rule, and the tape
    through the body (which a surrogate gradient replaces)."""
    if isinstance(op.gradient_rule, NotDifferentiable):
        return {"gradient": [np.zeros_like(call.inputs[i]) for i in call.grad]}
    inputs, attrs = tensors(call.inputs), op.filled(op.parse(call.attrs))
    douts = [None if d is None else torch.from_numpy(d) for d in douts]
    douts += [None] * (len(result.outputs) - len(douts))
    needs = tuple(i in call.grad for i in range(len(inputs)))
    found = {}
    if op.gradient_rule is not None:
        with torch.no_grad():
            grads = op.gradient_rule(GradientCall(tuple(inputs), tuple(result.outputs), tuple(douts), needs,
                                                  {**attrs, "training": call.training, **reserved(op, call)}))
        found["gradient by its rule"] = [
            np.zeros_like(call.inputs[i]) if grads[i] is None else grads[i].numpy() for i in call.grad]
    if not op.surrogate:
        grads = vector_jacobian(op, inputs, [d for d in douts if d is not None], needs,
                                tuple(d is not None for d in douts), {**attrs, **reserved(op, call)})
        found["gradient by the tape"] = [g.numpy() for g in grads]
    return found


def reserved(op: Operator, call: Call) -> dict[str, Any]:
    given = {"training": call.training, "seed": 0}
    return {name: given[name] for name in op.reserved}
