"""What an imperative operator must know of the thread that it runs in."""
from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from typing import Any

import torch


class State(threading.local):
    """recording: operators go on the tape.   training: dropout drops, batch normalization uses batch statistics.
    tracer: while a block is traced under deferred compute, what takes the operators instead of running them.
    taker: what is given operators instead of the kernels: the tracer, or what casts their inputs under `policy`.
    policy: the way to mix precisions (`ops.precision.Policy`).  It and that taker are the class's, so every thread's.
    delivering: the backward pass that runs writes gradients to the buffers of variables."""

    recording: bool = False
    training: bool = False
    tracer: Any = None
    taker: Any = None
    policy: Any = None
    delivering: bool = False

    @property
    def retain_graph(self) -> bool:
        """Whether the backward pass that runs now must leave the tape usable.  Asked of torch's engine, because
        on a GPU it runs nodes in a thread of its own."""
        return torch._C._autograd._get_current_graph_task_keep_graph()

    @contextlib.contextmanager
    def traced_by(self, tracer: Any) -> Iterator[None]:
        """This thread's operators go to `tracer`; None: they run, whatever is traced around."""
        outer = self.tracer
        self._trace_with(tracer)
        try:
            yield
        finally:
            self._trace_with(outer)

    def _trace_with(self, tracer: Any) -> None:
        self.tracer = tracer
        if tracer is None:
            self.__dict__.pop("taker", None)   # the class's shows again
        else:
            self.taker = tracer


state = State()
