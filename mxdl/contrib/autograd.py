"""MXNet 0.x's autograd: scopes that train, gradients by functions.  New code uses ``mx.autograd``."""
from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from .. import autograd
from ..autograd import backward as backward
from ..autograd import mark_variables as mark_variables
from ..ndarray import NDArray, zeros_like


def set_is_training(is_train: bool) -> bool:
    """Record, and run operators as in training, or neither; returns what was before."""
    before = autograd.set_recording(is_train)
    autograd.set_training(is_train)
    return before


def train_section() -> Any:
    """A scope in which operators are recorded, in train mode."""
    return autograd.record()


def test_section() -> Any:
    """A scope in a `train_section` that is not recorded, in predict mode."""
    return autograd.pause()


def compute_gradient(outputs: Sequence[NDArray]) -> None:
    """`backward` of `outputs`."""
    backward(outputs)


def grad_and_loss(func: Callable, argnum: int | Sequence[int] | None = None) -> Callable:
    """The function that returns (gradients of the arguments, what `func` returns); `argnum`: of which arguments."""
    numbers = [argnum] if isinstance(argnum, int) else argnum

    def wrapped(*args: NDArray) -> tuple[list[NDArray], Any]:
        variables = list(args) if numbers is None else [args[i] for i in numbers]
        for x in variables:
            if not isinstance(x, NDArray):
                raise AssertionError(f"autograd.grad_and_loss: gradients are of arrays; got {type(x).__name__}")
        grads = [zeros_like(x) for x in variables]
        mark_variables(variables, grads)
        with train_section():
            outputs = func(*args)
        backward([outputs] if isinstance(outputs, NDArray) else outputs)
        return grads, outputs
    return wrapped


def grad(func: Callable, argnum: int | Sequence[int] | None = None) -> Callable:
    """The function that returns the gradients of `func`."""
    with_loss = grad_and_loss(func, argnum)
    return lambda *args: with_loss(*args)[0]
