"""Functions of arrays with a gradient that the user writes."""
from __future__ import annotations

from typing import Any

import torch

from ..errors import MXNetError
from ..ndarray.ndarray import NDArray
from .scope import pause
from .state import state


class Function:
    """A differentiable function of arrays: subclass it, write `forward` and `backward` on NDArrays, call an instance.

        class Cube(mx.autograd.Function):
            def forward(self, a):
                self.save_for_backward(a)
                return a ** 3

            def backward(self, dout):
                a, = self.saved_tensors
                return 3 * a ** 2 * dout

        out = Cube()(a)

    An instance is for one call.  `backward` takes one gradient for each output and returns one for each input.
    """

    def __init__(self) -> None:
        self._called = False
        self.saved_tensors: tuple[NDArray, ...] = ()

    def save_for_backward(self, *args: NDArray) -> None:
        """Keep arrays for `backward`, where they are `self.saved_tensors`."""
        self.saved_tensors = args

    def forward(self, *inputs: NDArray) -> Any:
        """The function's value: an NDArray or several in a tuple or list."""
        raise NotImplementedError(f"{type(self).__name__}: forward is not written; define it in the subclass")

    def backward(self, *output_grads: NDArray) -> Any:
        """The gradients of the inputs: an NDArray or several in a tuple or list."""
        raise NotImplementedError(f"{type(self).__name__}: backward is not written; define it in the subclass")

    def __call__(self, *inputs: NDArray) -> Any:
        if getattr(self, "_called", False):
            raise MXNetError(f"{type(self).__name__}: an instance of a Function is for one call; got a second call; "
                             f"make a new instance")
        self._called = True
        with pause(train_mode=state.training):
            outputs = self.forward(*[x.detach() for x in inputs])
        single = isinstance(outputs, NDArray)
        results = [outputs] if single else list(outputs)
        if state.recording and any(x._data.requires_grad for x in inputs):
            tensors = _UserFunction.apply(self, [r._data for r in results], [x._ctx for x in inputs],
                                          [r._ctx for r in results], *[x._data for x in inputs])
            results = [NDArray._wrap(t, r._ctx) for t, r in zip(tensors, results, strict=True)]
        return results[0] if single else type(outputs)(results)


class _UserFunction(torch.autograd.Function):
    """The call on torch's tape."""

    @staticmethod
    def forward(ctx: Any, function: Function, results: list, input_contexts: list, output_contexts: list,
                *inputs: torch.Tensor):
        ctx.function, ctx.input_contexts, ctx.output_contexts = function, input_contexts, output_contexts
        ctx.input_types = [(x.shape, x.dtype) for x in inputs]
        return tuple(r.detach() for r in results)

    @staticmethod
    def backward(ctx: Any, *douts: torch.Tensor):
        name = type(ctx.function).__name__
        arrays = [NDArray._wrap(d, c) for d, c in zip(douts, ctx.output_contexts, strict=True)]
        before, state.recording = state.recording, torch.is_grad_enabled()
        try:
            grads = ctx.function.backward(*arrays)
        finally:
            state.recording = before
        grads = [grads] if isinstance(grads, NDArray) or grads is None else list(grads)
        if len(grads) != len(ctx.input_types):
            raise MXNetError(f"{name}.backward: wrong number of gradients; got {len(grads)}; "
                             f"return one for each of the {len(ctx.input_types)} inputs")
        tensors = []
        for position, (grad, (shape, dtype)) in enumerate(zip(grads, ctx.input_types, strict=True)):
            if grad is not None and grad._data.shape != shape:
                raise MXNetError(f"{name}.backward: the gradient of input {position} has the wrong shape; got "
                                 f"{grad.shape}; return {tuple(shape)}")
            tensors.append(None if grad is None else grad._data.to(dtype))
        return (None, None, None, None, *tensors)
