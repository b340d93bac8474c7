"""What an imperative operator must know of the thread that it runs in."""
from __future__ import annotations

import threading
from typing import Any

import torch


class State(threading.local):
    """recording: operators go on the tape.   training: dropout drops, batch normalization uses batch statistics.
    tracer: while a block is traced under deferred compute, what takes the operators instead of running them.
    delivering: the backward pass that runs writes gradients to the buffers of variables."""

    recording: bool = False
    training: bool = False
    tracer: Any = None
    delivering: bool = False

    @property
    def retain_graph(self) -> bool:
        """Whether the backward pass that runs now must leave the tape usable.  Asked of torch's engine, because
        on a GPU it runs nodes in a thread of its own."""
        return torch._C._autograd._get_current_graph_task_keep_graph()


state = State()
