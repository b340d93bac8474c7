"""Operators written in Python on arrays: ``mx.operator.CustomOp``, ``CustomOpProp`` and ``register``.

    class Square(mx.operator.CustomOp):
        def forward(self, is_train, req, in_data, out_data, aux):
            self.assign(out_data[0], req[0], in_data[0] * in_data[0])

        def backward(self, req, out_grad, in_data, out_data, in_grad, aux):
            self.assign(in_grad[0], req[0], 2 * in_data[0] * out_grad[0])

    @mx.operator.register("square")
    class SquareProp(mx.operator.CustomOpProp):
        def create_operator(self, ctx, in_shapes, in_dtypes):
            return Square()

    y = mx.nd.Custom(x, op_type="square")

The same works for ``mx.sym.Custom``, in hybridized blocks (``F.Custom``) and in files that MXNet wrote.  Each call has
a CustomOp of its own, whose forward runs once and whose backward sees what forward kept in `self`.
"""
from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch

from .autograd.scope import pause
from .device import Context, cpu, gpu
from .errors import MXNetError, NotBuiltError
from .ndarray.ndarray import NDArray
from .ops import custom, registry
from .types import DTYPE_NAMES, Shape, dtype_name, numpy_dtype


class CustomOp:
    """What an operator computes: subclass it, write `forward` and `backward`."""

    def forward(self, is_train: bool, req: list[str], in_data: list[NDArray], out_data: list[NDArray],
                aux: list[NDArray]) -> None:
        """Write out_data from in_data, with `assign`; aux may be changed in training.  req[i]: "write"."""
        raise NotImplementedError(f"{type(self).__name__}: forward is not written; define it in the subclass")

    def backward(self, req: list[str], out_grad: list[NDArray], in_data: list[NDArray], out_data: list[NDArray],
                 in_grad: list[NDArray], aux: list[NDArray]) -> None:
        """Write in_grad, with `assign`.  req[i]: "write", or "null" where no gradient is asked for."""
        raise NotImplementedError(f"{type(self).__name__}: backward is not written; define it in the subclass, or stop "
                                  f"the gradient with BlockGrad")

    def assign(self, dst: NDArray, req: str, src: Any) -> None:
        """dst = src, dst += src, or nothing, as `req` says."""
        if req in ("write", "inplace"):
            dst[:] = src
        elif req == "add":
            dst[:] += src
        elif req != "null":
            raise MXNetError(f"CustomOp.assign: unknown request; got {req!r}; hand on what forward or backward was "
                             f"given")


class CustomOpProp:
    """What the framework asks of an operator: subclass it, register it; options arrive as strings in `__init__`.

    need_top_grad: False where the operator is a loss, whose backward does not read the gradient of its output.
    """

    need_top_grad_ = True

    def __init__(self, need_top_grad: bool = True):
        self.need_top_grad_ = need_top_grad

    def infer_shape(self, in_shape: list[list[int]]) -> tuple:
        """(shapes of arguments, of outputs, of states); default: all as the first argument.  A shape that is not known
        yet comes as []."""
        return in_shape, [in_shape[0]] * len(self.list_outputs()), [in_shape[0]] * len(self.list_auxiliary_states())

    def infer_type(self, in_type: list[type]) -> tuple:
        """(dtypes of arguments, of outputs, of states) as NumPy's types; default: all as the first argument."""
        return in_type, [in_type[0]] * len(self.list_outputs()), [in_type[0]] * len(self.list_auxiliary_states())

    def list_arguments(self) -> list[str]:
        return ["data"]

    def list_outputs(self) -> list[str]:
        return ["output"]

    def list_auxiliary_states(self) -> list[str]:
        return []

    def declare_backward_dependency(self, out_grad: Sequence[int], in_data: Sequence[int], out_data: Sequence[int]
                                    ) -> list[int]:
        """Asked by MXNet's engine; here backward is given everything."""
        return [*out_grad, *in_data, *out_data] if self.need_top_grad_ else [*in_data, *out_data]

    def create_operator(self, ctx: str, in_shapes: list[list[int]], in_dtypes: list[type]) -> CustomOp:
        """The CustomOp of one call."""
        raise NotImplementedError(f"{type(self).__name__}: create_operator is not written; return a CustomOp from it")


def register(reg_name: str) -> Callable[[type[CustomOpProp]], type[CustomOpProp]]:
    """Makes the decorated CustomOpProp the operator ``Custom(..., op_type=reg_name)``."""
    def do_register(prop_cls: type[CustomOpProp]) -> type[CustomOpProp]:
        if not (isinstance(prop_cls, type) and issubclass(prop_cls, CustomOpProp)):
            raise MXNetError(f"operator.register({reg_name!r}): not a subclass of CustomOpProp; got {prop_cls!r}")
        custom.add(reg_name, lambda options: _Definition(reg_name, prop_cls, dict(options)))
        return prop_cls
    return do_register


def get_all_registered_operators() -> list[str]:
    """Names of all operators, those of `register` among them."""
    return [*(name for name, _ in registry.items()), *custom.names()]


class PythonOp:
    """MXNet's first way to write operators, which it deprecated in 2016; see `CustomOp`."""

    def __init__(self, need_top_grad: bool = True):
        raise NotBuiltError(f"{type(self).__name__}: mxdl has no NumpyOp, NDArrayOp and PythonOp; got a subclass of "
                            f"one; write it as a CustomOp with a CustomOpProp, whose arrays give NumPy's by asnumpy()")


class NumpyOp(PythonOp):
    pass


class NDArrayOp(PythonOp):
    pass


class _Definition:
    """A CustomOpProp with its options, in the words of the layer below (`ops.custom.Definition`)."""

    def __init__(self, name: str, cls: type[CustomOpProp], options: dict[str, str]):
        try:
            inspect.signature(cls).bind(**options)
        except TypeError as error:
            raise MXNetError(f"Custom {name}: {cls.__name__} does not take these options ({error}); got {options}; "
                             f"give what its __init__ takes") from None
        self._name, self._prop = name, cls(**options)
        self.arguments = list(self._prop.list_arguments())
        self.outputs = list(self._prop.list_outputs())
        self.states = list(self._prop.list_auxiliary_states() or [])
        self.is_loss = not self._prop.need_top_grad_

    def shapes(self, inputs: list[Shape | None]) -> tuple[list[Shape], list[Shape], list[Shape]]:
        told = self._prop.infer_shape([list(shape or ()) for shape in inputs])
        arguments, outputs, states = [[tuple(int(n) for n in shape) for shape in part]
                                      for part in self._three("infer_shape", told)]
        return arguments, outputs, states

    def dtypes(self, inputs: list[str]) -> tuple[list[str], list[str], list[str]]:
        told = self._prop.infer_type([numpy_dtype(dtype) for dtype in inputs])
        arguments, outputs, states = [[dtype_name(dtype) for dtype in part] for part in self._three("infer_type", told)]
        return arguments, outputs, states

    def _three(self, method: str, told: Sequence) -> list[Sequence]:
        parts = [*told, []] if len(told) == 2 else list(told)
        wanted = [len(self.arguments), len(self.outputs), len(self.states)]
        if [len(part) for part in parts] != wanted:
            raise MXNetError(f"Custom {self._name}: {method} returns lists of wrong lengths; got "
                             f"{[len(part) for part in parts]}; return one entry for each of the {wanted[0]} "
                             f"arguments, {wanted[1]} outputs and {wanted[2]} states")
        return parts

    def start(self, inputs: Sequence[torch.Tensor]) -> _Call:
        context = _context_of(inputs)
        op = self._prop.create_operator(str(context), [list(x.shape) for x in inputs],
                                        [np.dtype(DTYPE_NAMES[x.dtype]).type for x in inputs])
        return _Call(op, context, len(self.arguments))


class _Call:
    """A CustomOp at work (`ops.custom.Call`)."""

    def __init__(self, op: CustomOp, context: Context, arguments: int):
        self._op, self._context, self.arguments = op, context, arguments

    def forward(self, training: bool, inputs: Sequence[torch.Tensor], outputs: Sequence[torch.Tensor],
                states: Sequence[torch.Tensor]) -> None:
        with pause(train_mode=training):
            self._op.forward(is_train=training, req=["write"] * len(outputs), in_data=self._arrays(inputs),
                             out_data=self._arrays(outputs), aux=self._arrays(states))

    def backward(self, douts: Sequence[torch.Tensor], inputs: Sequence[torch.Tensor], outputs: Sequence[torch.Tensor],
                 grads: Sequence[torch.Tensor | None], states: Sequence[torch.Tensor]) -> None:
        unasked = [torch.zeros_like(x) if g is None else g for x, g in zip(inputs, grads, strict=True)]
        with pause(train_mode=True):
            self._op.backward(req=["null" if g is None else "write" for g in grads], out_grad=self._arrays(douts),
                              in_data=self._arrays(inputs), out_data=self._arrays(outputs),
                              in_grad=self._arrays(unasked), aux=self._arrays(states))

    def _arrays(self, tensors: Sequence[torch.Tensor]) -> list[NDArray]:
        return [NDArray._wrap(t, self._context) for t in tensors]


def _context_of(tensors: Sequence[torch.Tensor]) -> Context:
    device = tensors[0].device if tensors else torch.device("cpu")
    return gpu(device.index or 0) if device.type == "cuda" else cpu()
