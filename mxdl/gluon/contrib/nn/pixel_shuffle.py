"""Channels to space: f ** n channels become one with f times the resolution in each of n dimensions.

Letters: N samples, C channels, D H W space, f the factors.
"""
from __future__ import annotations

from typing import Any

from ...hybrid import HybridBlock


class _PixelShuffle(HybridBlock):
    _dimensions = 0

    def __init__(self, factor: int | tuple[int, ...]):
        super().__init__()
        n = self._dimensions
        self._factors = (factor,) * n if isinstance(factor, int) else tuple(factor)
        if len(self._factors) != n:
            raise AssertionError(f"{type(self).__name__}: wrong length of factor; got {factor!r}; give {n} numbers")

    def hybrid_forward(self, F: Any, x: Any) -> Any:
        """float[N, f1 * .. * fn * C, *space] to float[N, C, f * space...]"""
        n, product = self._dimensions, 1
        for factor in self._factors:
            product *= factor
        x = F.reshape(x, shape=(0, -4, -1, product, *(0,) * n))            # N, C, f1 .. fn, space
        for i, factor in enumerate(self._factors[:-1]):                      # take f1 .. fn apart
            product //= factor
            x = F.reshape(x, shape=(*(0,) * (2 + i), -4, factor, product, *(0,) * n))
        order = [axis for i in range(n) for axis in (2 + n + i, 2 + i)]
        x = F.transpose(x, axes=(0, 1, *order))                              # N, C, D, f1, H, f2, W, f3
        return F.reshape(x, shape=(0, 0, *(-3,) * n))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._factors if self._dimensions > 1 else self._factors[0]})"


class PixelShuffle1D(_PixelShuffle):
    """float[N, f C, W] to float[N, C, f W]."""

    _dimensions = 1


class PixelShuffle2D(_PixelShuffle):
    """float[N, f1 f2 C, H, W] to float[N, C, f1 H, f2 W] (arXiv 1609.05158)."""

    _dimensions = 2


class PixelShuffle3D(_PixelShuffle):
    """float[N, f1 f2 f3 C, D, H, W] to float[N, C, f1 D, f2 H, f3 W]."""

    _dimensions = 3
