"""Automatic mixed precision of eager arrays: casts the inputs of each operator as a policy says, and runs it."""
from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..autograd.state import State, state
from ..ops import Operator
from ..ops.precision import Policy
from . import takers
from .invoke import invoke, plain, wrap
from .ndarray import NDArray


class Casting:
    """Takes every operator of eager code (`state.taker`) while a policy is in force."""

    def __init__(self, policy: Policy):
        self._policy = policy

    def apply(self, op: Operator, inputs: Sequence[NDArray | None], attrs: Mapping[str, Any], out: Any = None) -> Any:
        """What `invoke` does, with the inputs cast.  Casts are on the tape: gradients keep their variables' dtype."""
        casts = self._policy.dtypes(op, attrs, [None if x is None else x._data.dtype for x in inputs])
        if casts is not None:
            inputs = [x if x is None or cast is None else _cast(x, cast) for x, cast in zip(inputs, casts, strict=True)]
        state.taker = None   # of this thread: what the operator itself calls is its own business
        try:
            return invoke(op, inputs, self._policy.scaled(op, attrs), out)
        finally:
            state.__dict__.pop("taker", None)


def _cast(x: NDArray, dtype: Any) -> NDArray:
    return wrap((x._data if state.recording else plain(x._data)).to(dtype), x._ctx)


def use(policy: Policy | None) -> None:
    """From now on, operators of every thread work in the precisions that `policy` says; None: in their inputs'."""
    State.policy = policy
    takers.cast_by(None if policy is None else Casting(policy))
