"""What an imperative operator must know of the thread that it runs in."""
from __future__ import annotations

import threading
from typing import Any


class State(threading.local):
    """recording: operators go on the tape.   training: dropout drops, batch normalization uses batch statistics.
    retain_graph: whether the backward pass that runs now must leave the tape usable.
    tracer: while a block is traced under deferred compute, what takes the operators instead of running them."""

    recording: bool = False
    training: bool = False
    retain_graph: bool = False
    tracer: Any = None


state = State()
