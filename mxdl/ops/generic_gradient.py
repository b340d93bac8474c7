"""The gradient that every operator has from its first day: torch autograd of its body on the saved inputs."""
from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from .operator import GradientCall as GradientCall
from .operator import NotDifferentiable, Operator
from .traits import Traits

_derived: dict[str, Operator] = {}


def vjp_operator(op: Operator) -> Operator:
    """The operator ``_vjp_NAME``: (inputs..., douts that are given...) -> gradients of the inputs that need one.

    Attributes: those of `op`, and `needs` (which inputs), `given` (which outputs have a gradient).
    Its result is the vector-Jacobian product of the body; inputs that do not matter get zeros.
    """
    if op.name not in _derived:
        def kernel(*tensors: torch.Tensor, needs: tuple[bool, ...], given: tuple[bool, ...], **attrs: Any):
            grads = vector_jacobian(op, tensors[:len(needs)], tensors[len(needs):], needs, given, attrs)
            return grads if len(grads) > 1 else grads[0]
        kernel.__doc__ = f"Vector-Jacobian product of {op.name}, by torch autograd."
        derived = Operator(f"_vjp_{op.name}", kernel, parity=None, num_outputs=lambda attrs: sum(attrs["needs"]),
                           traits=Traits(recompute=op.traits.recompute, shape_only=op.traits.shape_only))
        derived.parameters, derived.attributes = [], {**op.attributes, **derived.attributes}
        derived.defaults, derived.reserved = op.defaults, op.reserved
        derived.needs_training, derived.needs_seed = op.needs_training, op.needs_seed
        _derived[op.name] = derived
    return _derived[op.name]


def vector_jacobian(op: Operator, inputs: Sequence[torch.Tensor], douts: Sequence[torch.Tensor],
                    needs: Sequence[bool], given: Sequence[bool], attrs: dict) -> tuple[torch.Tensor, ...]:
    """Gradients of the inputs marked in `needs`; runs the body once more with torch autograd on."""
    with torch.enable_grad():
        leaves = [x.detach().requires_grad_(need) for x, need in zip(inputs, needs, strict=True)]
        outputs = op.bind(attrs_of(op, attrs))(*leaves, **{k: attrs[k] for k in op.reserved if k in attrs})
        outputs = outputs if isinstance(outputs, tuple) else (outputs,)
        with_dout = [out for out, has in zip(outputs, given, strict=False) if has]
        pairs = [(out, dout) for out, dout in zip(with_dout, douts, strict=True) if out.requires_grad]
        wanted = [x for x, need in zip(leaves, needs, strict=True) if need]
        if not pairs:
            return tuple(torch.zeros_like(x) for x in wanted)
        grads = torch.autograd.grad([out for out, _ in pairs], wanted, [dout for _, dout in pairs], allow_unused=True)
    return own_memory([torch.zeros_like(x) if g is None else g for x, g in zip(wanted, grads, strict=True)],
                      [*inputs, *douts])


def own_memory(results: Sequence[torch.Tensor], inputs: Sequence[torch.Tensor]) -> tuple[torch.Tensor, ...]:
    """`results` in memory that no input and no other result shares (torch hands gradients through as they are), so
    that a program may write over them."""
    taken = {x.untyped_storage().data_ptr() for x in inputs if x.numel()}
    owned = []
    for x in results:
        stretched = any(step == 0 and length > 1 for step, length in zip(x.stride(), x.shape, strict=True))
        if x.numel() and x.device.type != "meta" and (stretched or x.untyped_storage().data_ptr() in taken):
            x = x.contiguous() if stretched else x.clone()
        taken.add(x.untyped_storage().data_ptr())
        owned.append(x)
    return tuple(owned)


def attrs_of(op: Operator, attrs: dict) -> dict:
    """`attrs` without what is not an attribute of `op`."""
    return {k: v for k, v in attrs.items() if k in op.attributes}


def is_differentiable(op: Operator) -> bool:
    return not isinstance(op.gradient_rule, NotDifferentiable)
