"""Running an operator on arrays at once.  Every function and method of arrays comes through here, except the fast way
of `a + b` (arithmetic.py) and views (indexing.py)."""
from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from ..autograd.rules import apply_rule
from ..autograd.state import state
from ..device import Context, current_context, parse_context
from ..errors import DeviceError, MXNetError, OperatorError, ShapeError
from ..ops import Operator, get
from ..ops.operator import NotDifferentiable
from ..random import next_seed
from ..types import dtype_name
from .ndarray import NDArray

Inputs = Sequence["NDArray | None"]
wrap = NDArray._wrap


def invoke(op: Operator, inputs: Inputs, attrs: Mapping[str, Any], out: Any = None) -> Any:
    """Run `op` on arrays with typed attributes; None stands for an optional input that is not given.

    The results are on the first input's device.  cpu(0) and cpu(1) are one memory and mix, as in MXNet.
    Returns an NDArray, or a list where the operator has several visible outputs; `out` takes the results instead.
    Raises MXNetError naming the operator and the input types where the kernel fails, DeviceError for two devices.
    """
    if state.taker is not None:
        return state.taker.apply(op, inputs, attrs, out)
    recording = state.recording
    tensors: list[torch.Tensor | None] = []
    context: Context | None = None
    for x in inputs:   # one loop, and no helpers: every operator of an eager program runs it
        if x is None:
            tensors.append(None)
            continue
        data = x._data
        tensors.append(data.detach() if data.requires_grad and not recording else data)
        if context is None:
            context = x._ctx
        elif x._ctx is not context and x._ctx.torch_device != context.torch_device:
            raise DeviceError(f"{op.name}: inputs on two devices; got {context} and {x._ctx}; move one with "
                              f"as_in_context")
    if context is None:
        context = parse_context(attrs["ctx"]) if attrs.get("ctx") else current_context()
    try:
        if op.reserved or recording:
            results = _run(op, tensors, attrs, recording)
        else:
            results = op.run(tensors, attrs)
    except (RuntimeError, ValueError, TypeError, IndexError) as error:
        raise explain(op, error, tensors, attrs) from error
    if type(results) is not tuple and not op.updates:
        result = owned(results, tensors)
        return wrap(result, context) if out is None else _store(op, [result], out)
    if type(results) is not tuple:
        results = (results,)
    if op.updates and (state.training or not op.needs_training):
        _update_inputs(op, attrs, inputs, results)
    visible = [owned(t, tensors) for t in results[:op.num_visible(attrs)]]
    if out is not None:
        return _store(op, visible, out)
    return wrap(visible[0], context) if len(visible) == 1 else [wrap(t, context) for t in visible]


def invoke_by_name(name: str, *inputs: NDArray | None, out: Any = None, **attrs: Any) -> Any:
    """Run the operator `name` with attributes as a caller writes them."""
    op = get(name)
    return invoke(op, inputs, op.parse(attrs), out)


def _apply(self: NDArray, name: str, **attrs: Any) -> Any:
    return invoke(get(name), [self], attrs)


NDArray._apply = _apply


def plain(tensor: torch.Tensor) -> torch.Tensor:
    """The tensor off the tape."""
    return tensor.detach() if tensor.requires_grad else tensor


def owned(result: torch.Tensor, inputs: Sequence[torch.Tensor | None]) -> torch.Tensor:
    """`result` with memory of its own.  Kernels are free to return an input or a view of one (reshape, transpose);
    the arrays that users hold are mutable, so two of them share memory only where MXNet shares it too."""
    if not result._is_view():
        for x in inputs:
            if x is not None and x is result:
                return x.clone()
        return result
    storage = result.untyped_storage()._cdata
    if any(x is not None and x.untyped_storage()._cdata == storage for x in inputs):
        return result.clone(memory_format=torch.contiguous_format)
    # memory of its own, in whatever format (channels-last planes), unless it is stretched
    return result.contiguous() if 0 in result.stride() else result


def _run(op: Operator, tensors: list, attrs: Mapping[str, Any], recording: bool) -> Any:
    if op.reserved:
        attrs = dict(attrs)
        if op.needs_training:
            attrs["training"] = state.training
        if op.needs_seed:
            attrs["seed"] = next_seed()
    if recording:
        if op.surrogate:
            return apply_rule(op, tensors, attrs)
        if isinstance(op.gradient_rule, NotDifferentiable):
            tensors = [None if t is None else plain(t) for t in tensors]
    return op.run(tensors, attrs)


def _update_inputs(op: Operator, attrs: Mapping[str, Any], inputs: Inputs, results: Sequence[torch.Tensor]) -> None:
    """Overwrite the inputs that the operator gives new values (running statistics, momenta)."""
    names = op.parameters if len(inputs) == len(op.parameters) else op.input_names(op.filled(attrs), len(inputs))
    for index, name in op.updates.items():
        target = inputs[names.index(name)] if name in names else None
        # A state that stays as it was comes back itself: writing it would tell the tape that it had changed.
        if target is not None and results[index] is not target._data:
            target._data.detach().copy_(results[index].detach())


def _store(op: Operator, results: Sequence[torch.Tensor], out: Any) -> Any:
    targets = out if isinstance(out, (list, tuple)) else [out]
    if len(targets) != len(results):
        raise OperatorError(f"{op.name}: out= has the wrong number of arrays; got {len(targets)}, "
                            f"expected {len(results)}")
    for target, result in zip(targets, results, strict=True):
        if not isinstance(target, NDArray):
            raise OperatorError(f"{op.name}: out= is not an NDArray; got {type(target).__name__}; make one with "
                                f"mx.nd.empty({tuple(result.shape)})")
        if target._data.shape != result.shape:
            raise ShapeError(f"{op.name}: out= has another shape than the result; got {target.shape}; "
                             f"make it {tuple(result.shape)}")
        target._write(result, f"{op.name}(out=)")
    return out


def explain(op: Operator, error: Exception, tensors: Sequence[torch.Tensor | None], attrs: Mapping) -> MXNetError:
    """The error of a kernel in mxdl's words: operator, input types, attributes, what torch said."""
    if isinstance(error, MXNetError):
        return error
    names = op.input_names(op.filled(attrs), len(tensors))
    if len(names) != len(tensors):
        names = op.parameters
    got = [f"{name}={dtype_name(t.dtype)}{list(t.shape)}" for name, t in zip(names, tensors, strict=False)
           if t is not None]
    got += [f"{name}={value!r}" for name, value in attrs.items()]
    said = str(error).splitlines()[0].rstrip(".") if str(error) else repr(error)
    return OperatorError(f"{op.name}({', '.join(got)}): {said}; change what does not fit")
