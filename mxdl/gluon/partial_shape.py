"""Shapes of which some lengths are not known yet: 0 or -1 in their place, or None for the whole."""
from __future__ import annotations

from collections.abc import Sequence

from ..types import Shape


def known(shape: Shape | None) -> bool:
    """Whether every dimension of `shape` is known."""
    return shape is not None and all(length > 0 for length in shape)


def compatible(partial: Sequence[int], shape: Sequence[int]) -> bool:
    """Whether `shape` agrees with `partial` where both are known."""
    return len(partial) == len(shape) and all(a <= 0 or b <= 0 or a == b
                                              for a, b in zip(partial, shape, strict=True))
