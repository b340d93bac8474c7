"""Errors say in which block they happened: ``... in net0.features.3 (Conv2D net0_conv3), model.py:20``.

The path grows while the error passes through the blocks on its way out, so that calls that succeed pay nothing.
"""
from __future__ import annotations

import sys
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

from ..errors import MXNetError

if TYPE_CHECKING:
    from .block import Block

_PACKAGE = str(Path(__file__).resolve().parents[1])


def locate(error: Exception, block: Block) -> None:
    """Add `block`, through which `error` now passes, to the text of one of mxdl's own errors."""
    if not isinstance(error, MXNetError) or len(error.args) != 1 or not isinstance(error.args[0], str):
        return
    trail = error.__dict__.setdefault("blocks", [])
    if not trail:
        error.__dict__["plain_text"] = error.args[0]
        error.__dict__["line"] = _line_of(error)
    trail.append(block)
    error.args = (f"{error.__dict__['plain_text']}\n  in {path(trail)}{error.__dict__['line']}",)


def users_line(frame: FrameType | None = None) -> str:
    """``", model.py:20"``: the innermost line outside mxdl at or above `frame` (default: the caller's)."""
    frame = frame or sys._getframe(1)
    while frame is not None and frame.f_code.co_filename.startswith(_PACKAGE):
        frame = frame.f_back
    return "" if frame is None else f", {Path(frame.f_code.co_filename).name}:{frame.f_lineno}"


def _line_of(error: Exception) -> str:
    """The user's line that `error` comes from; frames below the block have returned, the traceback still has them."""
    text, trace = users_line(), error.__traceback__
    while trace is not None:
        if not trace.tb_frame.f_code.co_filename.startswith(_PACKAGE):
            text = f", {Path(trace.tb_frame.f_code.co_filename).name}:{trace.tb_lineno}"
        trace = trace.tb_next
    return text


def path(trail: list[Block]) -> str:
    """The way from the outermost block (last of `trail`) to the innermost (first), by the children's names."""
    words = [trail[-1].name]
    for outer, inner in zip(trail[:0:-1], trail[-2::-1], strict=True):
        words.append(child_name(outer, inner))
    return f"{'.'.join(words)} ({type(trail[0]).__name__} {trail[0].name})"


def child_name(outer: Block, inner: Block) -> str:
    """The name under which `inner` is registered in `outer`; its own name where it is not."""
    for name, child in outer._children.items():
        if child is inner:
            return name
    return inner.name
