"""What an operator tells the single-file build of itself, so that it may run on channel-blocked buffers.

`@op.blocked` rules return one of these (letters as in convolution.py; two spatial axes, channels first), or None where
the case at hand has no such form.  The build chooses the algorithm; `.emit_c` is what runs otherwise.
"""
from __future__ import annotations

from typing import NamedTuple

Pair = tuple[int, int]


class Convolve(NamedTuple):
    """out = data * weight (+ bias), inputs in this order."""

    kernel: Pair
    stride: Pair
    pad: Pair
    dilate: Pair
    groups: int


class Pool(NamedTuple):
    """kind: "max", "avg" or "sum" of each window.   include_pad: a mean counts the margin too."""

    kind: str
    kernel: Pair
    stride: Pair
    pad: Pair
    include_pad: bool


class Join(NamedTuple):
    """The inputs' channels one after another."""
