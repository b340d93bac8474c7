"""Running an operator on arrays at once."""
from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from ..autograd.state import state
from ..device import Context, current_context
from ..errors import DeviceError, MXNetError, OperatorError
from ..ops import Operator
from ..ops.operator import GradientCall, NotDifferentiable
from ..random import next_seed
from ..types import DTYPE_NAMES
from .ndarray import NDArray


def invoke(op: Operator, inputs: Sequence[NDArray | None], attrs: Mapping[str, Any], out: Any = None) -> Any:
    """Run `op` on arrays with typed attributes; None stands for an optional input that is not given.

    Returns an NDArray, or a list where the operator has several visible outputs; `out` takes the results instead.
    Raises MXNetError naming the operator and the input types where the kernel fails.
    """
    if state.tracer is not None:
        return state.tracer.apply(op, inputs, attrs, out)
    recording = state.recording
    context = _context(op, inputs)
    tensors = [None if x is None else x._data if recording else plain(x._data) for x in inputs]
    given: dict[str, Any] = dict(attrs)
    if op.needs_training:
        given["training"] = state.training
    if op.needs_seed:
        given["seed"] = next_seed()
    try:
        results = _run(op, tensors, given, recording)
    except (RuntimeError, ValueError, TypeError, IndexError) as error:
        raise _explain(op, error, tensors, attrs) from error
    if op.updates and (state.training or not op.needs_training):
        _write_back(op, attrs, inputs, results)
    visible = op.num_visible(attrs)
    if visible == 1:
        result = results[0] if type(results) is tuple else results
        return NDArray._wrap(result, context) if out is None else _store(op, [result], out)
    return ([NDArray._wrap(t, context) for t in results[:visible]] if out is None
            else _store(op, results[:visible], out))


def plain(tensor: torch.Tensor) -> torch.Tensor:
    """The tensor off the tape."""
    return tensor.detach() if tensor.requires_grad else tensor


def _run(op: Operator, tensors: list, given: dict[str, Any], recording: bool) -> Any:
    if recording and (op.surrogate or isinstance(op.gradient_rule, NotDifferentiable)):
        if op.surrogate:
            return Surrogate.apply(op, given, *tensors)
        tensors = [None if t is None else plain(t) for t in tensors]
    if op.inputs_rule is not None and len(tensors) != len(op.parameters):
        reserved = {k: given.pop(k) for k in op.reserved if k in given}
        return op.bind(given)(*tensors, **reserved)
    return op.kernel(*tensors, **given)


def _context(op: Operator, inputs: Sequence[NDArray | None]) -> Context:
    context = None
    for x in inputs:
        if x is None:
            continue
        if context is None:
            context = x._ctx
        elif x._ctx is not context and x._ctx != context:
            raise DeviceError(f"{op.name}: inputs on two devices; got {context} and {x._ctx}; "
                              f"move one with as_in_context")
    return context if context is not None else current_context()


def _write_back(op: Operator, attrs: Mapping[str, Any], inputs: Sequence[NDArray | None], results: Any) -> None:
    names = op.parameters if len(inputs) == len(op.parameters) else op.input_names(attrs, len(inputs))
    results = results if type(results) is tuple else (results,)
    for index, name in op.updates.items():
        target = inputs[names.index(name)] if name in names else None
        if target is not None:
            with torch.no_grad():
                target._data.detach().copy_(results[index])


def _store(op: Operator, results: Sequence[torch.Tensor], out: Any) -> Any:
    targets = list(out) if isinstance(out, (list, tuple)) else [out]
    if len(targets) != len(results):
        raise OperatorError(f"{op.name}: out= has the wrong number of arrays; got {len(targets)}, "
                            f"expected {len(results)}")
    for target, result in zip(targets, results, strict=True):
        target._assign(result, op.name)
    return out


def _explain(op: Operator, error: Exception, tensors: Sequence[torch.Tensor | None], attrs: Mapping) -> MXNetError:
    if isinstance(error, MXNetError):
        return error
    names = op.parameters if not op.variadic else [f"arg{i}" for i in range(len(tensors))]
    got = [f"{name}={DTYPE_NAMES[t.dtype]}{list(t.shape)}"
           for name, t in zip(names, tensors, strict=False) if t is not None]
    got += [f"{name}={value!r}" for name, value in attrs.items()]
    return OperatorError(f"{op.name}({', '.join(got)}): {str(error).splitlines()[0]}")


class Surrogate(torch.autograd.Function):
    """An operator whose gradient is on purpose not its body's derivative, on torch's tape."""

    @staticmethod
    def forward(ctx: Any, op: Operator, given: dict[str, Any], *tensors: torch.Tensor | None):
        results = op.kernel(*tensors, **given)
        several = type(results) is tuple
        ctx.op, ctx.given, ctx.count = op, given, len(tensors)
        ctx.present = [t is not None for t in tensors]
        ctx.save_for_backward(*(t for t in tensors if t is not None), *(results if several else (results,)))
        return results

    @staticmethod
    def backward(ctx: Any, *douts: torch.Tensor):
        saved = ctx.saved_tensors
        n = sum(ctx.present)
        inputs, outputs = saved[:n], saved[n:]
        needs = tuple(need for need, present in zip(ctx.needs_input_grad[2:], ctx.present, strict=True) if present)
        call = GradientCall(inputs, outputs, douts, needs, ctx.op.filled(ctx.given))
        grads = iter(ctx.op.gradient_rule(call))
        return (None, None, *(next(grads) if present else None for present in ctx.present))
