"""Errors say in which block they happened: ``... in net0.features.3 (Conv2D net0_conv3)``.

The path grows while the error passes through the blocks on its way out, so that calls that succeed pay nothing.
"""
from __future__ import annotations

from typing import TYPE_CHECKING

from ..errors import MXNetError

if TYPE_CHECKING:
    from .block import Block


def locate(error: Exception, block: Block) -> None:
    """Add `block`, through which `error` now passes, to the text of one of mxdl's own errors."""
    if not isinstance(error, MXNetError) or len(error.args) != 1 or not isinstance(error.args[0], str):
        return
    trail = error.__dict__.setdefault("blocks", [])
    if not trail:
        error.__dict__["plain_text"] = error.args[0]
    trail.append(block)
    error.args = (f"{error.__dict__['plain_text']}\n  in {path(trail)}",)


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
