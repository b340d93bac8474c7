"""Pooling and padding layers."""
from __future__ import annotations

from typing import Any

from ..hybrid import HybridBlock
from .conv_layers import check_layout, spread


class _Pooling(HybridBlock):
    _dimensions = 0

    def __init__(self, pool_type: str, pool_size: Any, strides: Any, padding: Any, ceil_mode: bool, layout: str,
                 global_pool: bool = False, count_include_pad: bool | None = None, **kwargs: Any):
        super().__init__(**kwargs)
        n = self._dimensions
        check_layout(layout, n, type(self).__name__)
        size = spread(pool_size, n, "pool_size")
        self._kwargs: dict[str, Any] = {
            "kernel": size, "stride": size if strides is None else spread(strides, n, "strides"),
            "pad": spread(padding, n, "padding"), "global_pool": global_pool, "pool_type": pool_type,
            "layout": layout, "pooling_convention": "full" if ceil_mode else "valid"}
        if count_include_pad is not None:
            self._kwargs["count_include_pad"] = count_include_pad

    def _alias(self) -> str:
        return "pool"

    def hybrid_forward(self, F: Any, x: Any) -> Any:
        return F.Pooling(x, name="fwd", **self._kwargs)

    def __repr__(self) -> str:
        attrs = self._kwargs
        return (f"{type(self).__name__}(size={attrs['kernel']}, stride={attrs['stride']}, padding={attrs['pad']}, "
                f"ceil_mode={attrs['pooling_convention'] == 'full'}, global_pool={attrs['global_pool']}, "
                f"pool_type={attrs['pool_type']}, layout={attrs['layout']})")


class _MaxPool(_Pooling):
    def __init__(self, pool_size: Any, strides: Any, padding: Any, layout: str, ceil_mode: bool, **kwargs: Any):
        super().__init__("max", pool_size, strides, padding, ceil_mode, layout, **kwargs)


class _AvgPool(_Pooling):
    def __init__(self, pool_size: Any, strides: Any, padding: Any, layout: str, ceil_mode: bool,
                 count_include_pad: bool, **kwargs: Any):
        super().__init__("avg", pool_size, strides, padding, ceil_mode, layout, False, count_include_pad, **kwargs)


class _GlobalPool(_Pooling):
    _pool_type = ""

    def __init__(self, layout: str, **kwargs: Any):
        super().__init__(self._pool_type, 1, None, 0, True, layout, global_pool=True, **kwargs)


class MaxPool1D(_MaxPool):
    """The greatest value of each window.  x: float[N, C, W];   strides: default pool_size"""

    _dimensions = 1

    def __init__(self, pool_size: Any = 2, strides: Any = None, padding: Any = 0, layout: str = "NCW",
                 ceil_mode: bool = False, **kwargs: Any):
        super().__init__(pool_size, strides, padding, layout, ceil_mode, **kwargs)


class MaxPool2D(_MaxPool):
    """The greatest value of each window.  x: float[N, C, H, W];   strides: default pool_size"""

    _dimensions = 2

    def __init__(self, pool_size: Any = (2, 2), strides: Any = None, padding: Any = 0, layout: str = "NCHW",
                 ceil_mode: bool = False, **kwargs: Any):
        super().__init__(pool_size, strides, padding, layout, ceil_mode, **kwargs)


class MaxPool3D(_MaxPool):
    """The greatest value of each window.  x: float[N, C, D, H, W];   strides: default pool_size"""

    _dimensions = 3

    def __init__(self, pool_size: Any = (2, 2, 2), strides: Any = None, padding: Any = 0, ceil_mode: bool = False,
                 layout: str = "NCDHW", **kwargs: Any):
        super().__init__(pool_size, strides, padding, layout, ceil_mode, **kwargs)


class AvgPool1D(_AvgPool):
    """The mean of each window.  x: float[N, C, W];   count_include_pad: padding counts in the mean"""

    _dimensions = 1

    def __init__(self, pool_size: Any = 2, strides: Any = None, padding: Any = 0, layout: str = "NCW",
                 ceil_mode: bool = False, count_include_pad: bool = True, **kwargs: Any):
        super().__init__(pool_size, strides, padding, layout, ceil_mode, count_include_pad, **kwargs)


class AvgPool2D(_AvgPool):
    """The mean of each window.  x: float[N, C, H, W];   count_include_pad: padding counts in the mean"""

    _dimensions = 2

    def __init__(self, pool_size: Any = (2, 2), strides: Any = None, padding: Any = 0, ceil_mode: bool = False,
                 layout: str = "NCHW", count_include_pad: bool = True, **kwargs: Any):
        super().__init__(pool_size, strides, padding, layout, ceil_mode, count_include_pad, **kwargs)


class AvgPool3D(_AvgPool):
    """The mean of each window.  x: float[N, C, D, H, W];   count_include_pad: padding counts in the mean"""

    _dimensions = 3

    def __init__(self, pool_size: Any = (2, 2, 2), strides: Any = None, padding: Any = 0, ceil_mode: bool = False,
                 layout: str = "NCDHW", count_include_pad: bool = True, **kwargs: Any):
        super().__init__(pool_size, strides, padding, layout, ceil_mode, count_include_pad, **kwargs)


class GlobalMaxPool1D(_GlobalPool):
    """The greatest value over W: float[N, C, W] to float[N, C, 1]."""

    _dimensions, _pool_type = 1, "max"

    def __init__(self, layout: str = "NCW", **kwargs: Any):
        super().__init__(layout, **kwargs)


class GlobalMaxPool2D(_GlobalPool):
    """The greatest value over H, W: float[N, C, H, W] to float[N, C, 1, 1]."""

    _dimensions, _pool_type = 2, "max"

    def __init__(self, layout: str = "NCHW", **kwargs: Any):
        super().__init__(layout, **kwargs)


class GlobalMaxPool3D(_GlobalPool):
    """The greatest value over D, H, W: float[N, C, D, H, W] to float[N, C, 1, 1, 1]."""

    _dimensions, _pool_type = 3, "max"

    def __init__(self, layout: str = "NCDHW", **kwargs: Any):
        super().__init__(layout, **kwargs)


class GlobalAvgPool1D(_GlobalPool):
    """The mean over W: float[N, C, W] to float[N, C, 1]."""

    _dimensions, _pool_type = 1, "avg"

    def __init__(self, layout: str = "NCW", **kwargs: Any):
        super().__init__(layout, **kwargs)


class GlobalAvgPool2D(_GlobalPool):
    """The mean over H, W: float[N, C, H, W] to float[N, C, 1, 1]."""

    _dimensions, _pool_type = 2, "avg"

    def __init__(self, layout: str = "NCHW", **kwargs: Any):
        super().__init__(layout, **kwargs)


class GlobalAvgPool3D(_GlobalPool):
    """The mean over D, H, W: float[N, C, D, H, W] to float[N, C, 1, 1, 1]."""

    _dimensions, _pool_type = 3, "avg"

    def __init__(self, layout: str = "NCDHW", **kwargs: Any):
        super().__init__(layout, **kwargs)


class ReflectionPad2D(HybridBlock):
    """Pads H and W with what lies inside, mirrored at the border.

    padding: one length for all sides, or (N, N, C, C, top, bottom, left, right), the first four zero.
    """

    def __init__(self, padding: int | tuple[int, ...] = 0, **kwargs: Any):
        super().__init__(**kwargs)
        if isinstance(padding, int):
            padding = (0, 0, 0, 0, padding, padding, padding, padding)
        if len(padding) != 8:
            raise AssertionError(f"ReflectionPad2D: padding must be one length or 8; got {padding!r}; "
                                 f"give (0, 0, 0, 0, top, bottom, left, right)")
        self._padding = tuple(padding)

    def hybrid_forward(self, F: Any, x: Any) -> Any:
        return F.pad(x, mode="reflect", pad_width=self._padding)
