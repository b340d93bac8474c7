"""Who is given the operators of eager code before they run: what casts their inputs, and around it what times them."""
from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ..autograd.state import State, state
from ..device import wait_for_gpus
from ..ops import Operator
from .invoke import invoke
from .ndarray import NDArray

#: given the operator's name, and when it began and ended (`time.perf_counter`)
Listener = Callable[[str, float, float], None]

_casting: Any = None
_listener: Listener | None = None


class Timing:
    """Tells a listener of each operator.  On a GPU the operator is waited for, so its time is its own."""

    def __init__(self, listener: Listener, inner: Any):
        self._listener, self._inner = listener, inner

    def apply(self, op: Operator, inputs: Sequence[NDArray | None], attrs: Mapping[str, Any], out: Any = None) -> Any:
        """What `invoke` does."""
        state.taker = None   # of this thread: what the operator itself calls belongs to it
        began = time.perf_counter()
        try:
            result = (invoke if self._inner is None else self._inner.apply)(op, inputs, attrs, out)
            wait_for_gpus()
            return result
        finally:
            self._listener(op.name, began, time.perf_counter())
            state.__dict__.pop("taker", None)


def cast_by(casting: Any) -> None:
    """Operators of every thread go through `casting` from now on; None: they run as they are."""
    global _casting
    _casting = casting
    _install()


def listen(listener: Listener | None) -> None:
    """`listener` is told of every operator of every thread from now on; None: nobody is, and nothing is timed."""
    global _listener
    _listener = listener
    _install()


def _install() -> None:
    State.taker = _casting if _listener is None else Timing(_listener, _casting)
