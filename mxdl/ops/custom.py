"""Operators that users write in Python on arrays (MXNet's `Custom`): what graphs and programs need to know of one.

An operator here is made for each pair of registered name and options, and is named "Custom" as MXNet's files name it.
What it computes stands above this layer (`mxdl/operator.py`), behind `Definition`.
"""
from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import torch
from torch.autograd.function import once_differentiable

from ..errors import MXNetError, OperatorError, ShapeError, suggest
from ..types import DTYPE_NAMES, TORCH_DTYPES, Shape, TensorType
from .operator import GradientCall, Operator
from .traits import NEVER, Traits

NAME = "Custom"
Options = tuple[tuple[str, str], ...]
Tensors = Sequence[torch.Tensor]


class Definition(Protocol):
    """A user's operator with its options: its names, its types, and how a call begins."""

    arguments: list[str]
    states: list[str]
    outputs: list[str]
    is_loss: bool

    def shapes(self, inputs: list[Shape | None]) -> tuple[list[Shape], list[Shape], list[Shape]]:
        """Of arguments, outputs and states, from the arguments' shapes, None where one is not known."""

    def dtypes(self, inputs: list[str]) -> tuple[list[str], list[str], list[str]]:
        """Likewise of the arguments' dtypes, all known."""

    def start(self, inputs: Tensors) -> Call:
        """One call of the operator, which may keep what its backward pass wants."""


class Call(Protocol):
    arguments: int      # how many of the inputs are no states

    def forward(self, training: bool, inputs: Tensors, outputs: Tensors, states: Tensors) -> None:
        """Write `outputs`, and `states` where they change."""

    def backward(self, douts: Tensors, inputs: Tensors, outputs: Tensors, grads: Sequence[torch.Tensor | None],
                 states: Tensors) -> None:
        """Write `grads`, one an input; None where no gradient is asked for."""


_makers: dict[str, Callable[[Options], Definition]] = {}


def add(name: str, make: Callable[[Options], Definition]) -> None:
    """Register what `op_type=name` stands for; one that is there is replaced, for graphs that are made from then on."""
    _makers[name] = make
    of.cache_clear()


def names() -> list[str]:
    return list(_makers)


def operator_of(attrs: Mapping[str, Any]) -> CustomOperator:
    """The operator of `op_type` and the options beside it, as MXNet's files and callers give them.

    Raises OperatorError where nothing is registered under that name.
    """
    name = attrs.get("op_type")
    if name not in _makers:
        raise OperatorError(f"Custom: no operator of that name is registered; got op_type={name!r}; register it with "
                            f"@mx.operator.register({name!r}) before it is used{suggest(str(name), _makers)}")
    return of(str(name), tuple((key, str(value)) for key, value in attrs.items() if key != "op_type"))


@functools.lru_cache(maxsize=256)
def of(name: str, options: Options) -> CustomOperator:
    return CustomOperator(name, options)


class CustomOperator(Operator):
    """Runs once a step and is never merged: a user's code may draw random numbers and count its calls.

    Outputs: those of the definition, the states' new values, and a note (uint8[1]) that carries the call to its
    backward pass.
    """

    def __init__(self, op_type: str, options: Options):
        def kernel(*data: torch.Tensor, training: bool) -> Any:
            return self._run(data, training)
        kernel.__doc__ = f"The operator that is registered as {op_type!r}."
        self.op_type, self.options, self._make = op_type, options, _makers[op_type]
        definition = self._make(options)
        self.arguments, self.states, self.visible = definition.arguments, definition.states, definition.outputs
        self._is_loss, count = definition.is_loss, len(self.visible)
        super().__init__(NAME, kernel, traits=Traits(recompute=NEVER, opaque=True),
                         num_outputs=count + len(self.states) + 1, num_visible=count, mxnet_outputs=count,
                         updates={count + i: name for i, name in enumerate(self.states)}, auxiliary=self.states,
                         output_names=self.visible, parity=None, gradient=self._gradient)
        self.variadic, self.parameters = None, [*self.arguments, *self.states]
        self.complete_rule, self.infer_rule = self._complete, self._infer
        self._backward = Operator("_backward_Custom", _backward, parity=None, traits=Traits(recompute=NEVER),
                                  num_outputs=lambda attrs: sum(attrs["needs"]))
        self._backward.infer_rule = _backward_types

    @property
    def is_loss(self) -> bool:
        return self._is_loss

    def parse(self, attrs: Mapping[str, Any]) -> dict[str, Any]:
        """None: the operator was made for its options."""
        return {}

    def __repr__(self) -> str:
        return f"<operator Custom {self.op_type}>"

    # -- types ------------------------------------------------------------------------------------------------
    def _complete(self, shapes: Mapping[str, Shape | None]) -> dict[str, Shape]:
        arguments, _, states = self._make(self.options).shapes([shapes[name] for name in self.arguments])
        return dict(zip(self.parameters, [*arguments, *states], strict=True))

    def _infer(self, inputs: Sequence[TensorType], attrs: Mapping[str, Any]) -> list[TensorType]:
        definition, count = self._make(self.options), len(self.arguments)
        outputs, states = self._told(definition, inputs[:count])
        for name, want, got in zip(self.states, states, inputs[count:], strict=True):
            if want.shape != got.shape:
                raise ShapeError(f"Custom {self.op_type}: {name} has the wrong shape; got {got}, and infer_shape says "
                                 f"{want.shape}; mend one of the two")
        return [*outputs, *inputs[count:], TensorType((1,), "uint8")]

    def _told(self, definition: Definition, inputs: Sequence[TensorType]) -> tuple[list[TensorType], list[TensorType]]:
        """Types of outputs and states."""
        given, out_shapes, state_shapes = definition.shapes([t.shape for t in inputs])
        for name, want, t in zip(self.arguments, given, inputs, strict=True):
            if want != t.shape:
                raise ShapeError(f"Custom {self.op_type}: {name} has the wrong shape; got {t}, and infer_shape says "
                                 f"{want}; mend one of the two")
        _, out_dtypes, state_dtypes = definition.dtypes([t.dtype for t in inputs])
        return ([TensorType(*both) for both in zip(out_shapes, out_dtypes, strict=True)],
                [TensorType(*both) for both in zip(state_shapes, state_dtypes, strict=True)])

    # -- running ----------------------------------------------------------------------------------------------
    def _run(self, tensors: Tensors, training: bool) -> tuple[torch.Tensor, ...]:
        if torch.is_grad_enabled() and any(t.requires_grad for t in tensors):
            return _Taped.apply(self, training, *tensors)
        return self.computed(tensors, training)

    def computed(self, tensors: Tensors, training: bool) -> tuple[torch.Tensor, ...]:
        """All outputs; the last one's attribute `call` is the call."""
        count, definition = len(self.arguments), self._make(self.options)
        inputs, states = [t.detach() for t in tensors[:count]], [t.detach().clone() for t in tensors[count:]]
        types, _ = self._told(definition, [TensorType(tuple(t.shape), DTYPE_NAMES[t.dtype]) for t in inputs])
        device = tensors[0].device if tensors else torch.device("cpu")
        outputs = [torch.zeros(t.shape, dtype=TORCH_DTYPES[t.dtype], device=device) for t in types]
        call = definition.start(inputs)
        call.forward(training, inputs, outputs, states)
        note = torch.zeros(1, dtype=torch.uint8, device=device)
        note.call = call    # type: ignore[attr-defined]
        return (*outputs, *states, note)

    def _gradient(self, call: GradientCall) -> list:
        count = len(self.visible)
        douts, outputs, note = call.douts[:count], call.outputs[:count], call.outputs[-1]
        needs = tuple(need and i < len(self.arguments) for i, need in enumerate(call.needs))
        if not any(needs):
            return [None] * len(needs)
        grads = self._backward(note, *call.inputs, *outputs, *(d for d in douts if d is not None), needs=needs,
                               given=tuple(d is not None for d in douts))
        return call._replace(needs=needs).spread(grads)


def _backward(note: torch.Tensor, *tensors: torch.Tensor, needs: tuple[bool, ...], given: tuple[bool, ...]) -> Any:
    """Gradients of the inputs marked in `needs`.  tensors: the inputs, the outputs, the gradients of those `given`."""
    inputs, outputs = tensors[:len(needs)], tensors[len(needs):len(needs) + len(given)]
    rest = iter(tensors[len(needs) + len(given):])
    douts = [next(rest) if has else torch.zeros_like(out) for has, out in zip(given, outputs, strict=True)]
    grads = gradients(note.call, douts, inputs, outputs, needs)     # type: ignore[attr-defined]
    wanted = tuple(g for g in grads if g is not None)
    return wanted if len(wanted) > 1 else wanted[0]


def _backward_types(inputs: Sequence[TensorType], attrs: Mapping[str, Any]) -> list[TensorType]:
    return [t for t, need in zip(inputs[1:], attrs["needs"], strict=False) if need]


def gradients(call: Any, douts: Tensors, inputs: Tensors, outputs: Tensors, needs: Sequence[bool]
              ) -> list[torch.Tensor | None]:
    """One entry an input, the states among them."""
    grads = [torch.zeros(x.shape, dtype=x.dtype, device=x.device) if need else None
             for x, need in zip(inputs, needs, strict=True)]
    count = call.arguments
    call.backward(douts, inputs[:count], outputs, grads[:count], inputs[count:])
    return grads


class _Taped(torch.autograd.Function):
    """A call on torch's tape."""

    @staticmethod
    def forward(ctx: Any, op: CustomOperator, training: bool, *tensors: torch.Tensor):
        results = op.computed(tensors, training)
        arguments, count = len(op.arguments), len(op.visible)
        ctx.call, ctx.states = results[-1].call, tensors[arguments:]     # type: ignore[attr-defined]
        ctx.save_for_backward(*tensors[:arguments], *results[:count])   # states are written over by whoever called
        ctx.mark_non_differentiable(*results[count:], *(t for t in results[:count] if not t.is_floating_point()))
        return results

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *douts: torch.Tensor):
        saved = [x.detach() for x in ctx.saved_tensors]
        outputs = saved[ctx.call.arguments:]
        inputs = [*saved[:ctx.call.arguments], *ctx.states]
        try:
            grads = gradients(ctx.call, [d.contiguous() for d in douts[:len(outputs)]], inputs, outputs,
                              ctx.needs_input_grad[2:])
        except (RuntimeError, ValueError, TypeError, IndexError) as error:
            if isinstance(error, MXNetError):
                raise
            raise OperatorError(f"Custom: a backward method failed: {error}; mend it") from error
        return (None, None, *grads)
