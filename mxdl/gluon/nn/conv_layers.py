"""Convolutions and transposed convolutions.

Letters: N samples, C channels, I input channels, O output channels, g groups, D H W space, k kernel lengths.
"""
from __future__ import annotations

import importlib
from collections.abc import Sequence
from typing import Any

from ..hybrid import HybridBlock
from .activations import Activation

LAYOUTS = {1: ("NCW", "NWC"), 2: ("NCHW", "NHWC"), 3: ("NCDHW", "NDHWC")}


def spread(value: int | Sequence[int], dimensions: int, what: str) -> tuple[int, ...]:
    """`value` for each of the dimensions: a number stands for all of them."""
    if isinstance(value, int):
        return (value,) * dimensions
    if len(value) != dimensions:
        raise AssertionError(f"{what}: takes one int for all axes, or {dimensions} ints; got {value!r}")
    return tuple(value)


def check_layout(layout: str, dimensions: int, who: str) -> None:
    """Raises AssertionError unless `layout` is one for that many spatial dimensions."""
    if layout not in LAYOUTS[dimensions]:
        raise AssertionError(f"{who}: only supports {' and '.join(map(repr, LAYOUTS[dimensions]))} layout; "
                             f"got {layout!r}")


class _Conv(HybridBlock):
    _dimensions = 0
    _operator = "Convolution"

    def __init__(self, channels: int, kernel_size: Any, strides: Any, padding: Any, dilation: Any, groups: int,
                 layout: str, in_channels: int = 0, activation: str | None = None, use_bias: bool = True,
                 weight_initializer: Any = None, bias_initializer: Any = "zeros", output_padding: Any = None,
                 **kwargs: Any):
        super().__init__(**kwargs)
        n = self._dimensions
        check_layout(layout, n, type(self).__name__)
        self._channels, self._in_channels = channels, in_channels
        self._kwargs: dict[str, Any] = {
            "kernel": spread(kernel_size, n, "kernel_size"), "stride": spread(strides, n, "strides"),
            "dilate": spread(dilation, n, "dilation"), "pad": spread(padding, n, "padding"),
            "num_filter": channels, "num_group": groups, "no_bias": not use_bias, "layout": layout}
        if output_padding is not None:
            self._kwargs["adj"] = spread(output_padding, n, "output_padding")
        with self.name_scope():
            self.weight = self.params.get("weight", shape=self._weight_shape(), init=weight_initializer,
                                          allow_deferred_init=True)
            self.bias = self.params.get("bias", shape=(channels,), init=bias_initializer,
                                        allow_deferred_init=True) if use_bias else None
            self.act = None if activation is None else Activation(activation, prefix=f"{activation}_")

    def _alias(self) -> str:
        return "conv"

    def _ends(self) -> tuple[int, int]:
        """The first and the channel length of the weight."""
        return self._channels, self._in_channels // self._kwargs["num_group"]

    def _weight_shape(self) -> tuple[int, ...]:
        """[O, I / g, k...], or [O, k..., I / g] for layouts with channels last."""
        first, channels = self._ends()
        kernel = self._kwargs["kernel"]
        return (first, channels, *kernel) if self._kwargs["layout"][1] == "C" else (first, *kernel, channels)

    def hybrid_forward(self, F: Any, x: Any, weight: Any, bias: Any = None) -> Any:
        out = getattr(F, self._operator)(x, weight, bias, name="fwd", **self._kwargs)
        return out if self.act is None else self.act(out)

    def _in_channels_text(self) -> int | None:
        shape = self.weight.shape
        return (shape[1] if self._kwargs["layout"][1] == "C" else shape[-1]) or None

    def __repr__(self) -> str:
        attrs, n = self._kwargs, self._dimensions
        words = [f"{self._in_channels_text()} -> {self._channels}", f"kernel_size={attrs['kernel']}",
                 f"stride={attrs['stride']}"]
        if attrs["pad"] != (0,) * n:
            words.append(f"padding={attrs['pad']}")
        if attrs["dilate"] != (1,) * n:
            words.append(f"dilation={attrs['dilate']}")
        if any(attrs.get("adj", ())):
            words.append(f"output_padding={attrs['adj']}")
        if attrs["num_group"] != 1:
            words.append(f"groups={attrs['num_group']}")
        if self.bias is None:
            words.append("bias=False")
        if self.act is not None:
            words.append(repr(self.act))
        return f"{type(self).__name__}({', '.join(words)})"


class _ConvTranspose(_Conv):
    _operator = "Deconvolution"

    def _ends(self) -> tuple[int, int]:
        """The weight is [I, O / g, k...]."""
        return self._in_channels, self._channels // self._kwargs["num_group"]

    def _in_channels_text(self) -> int | None:
        return self.weight.shape[0] or None


class Conv1D(_Conv):
    """Convolution over W.  x: float[N, C, W] (layout NCW);   channels: O;   in_channels: 0 to take it from data."""

    _dimensions = 1

    def __init__(self, channels: int, kernel_size: Any, strides: Any = 1, padding: Any = 0, dilation: Any = 1,
                 groups: int = 1, layout: str = "NCW", activation: str | None = None, use_bias: bool = True,
                 weight_initializer: Any = None, bias_initializer: Any = "zeros", in_channels: int = 0, **kwargs: Any):
        super().__init__(channels, kernel_size, strides, padding, dilation, groups, layout, in_channels, activation,
                         use_bias, weight_initializer, bias_initializer, **kwargs)


class Conv2D(_Conv):
    """Convolution over H, W.  x: float[N, C, H, W] (layout NCHW);   weight: float[O, I / g, kh, kw]"""

    _dimensions = 2

    def __init__(self, channels: int, kernel_size: Any, strides: Any = (1, 1), padding: Any = (0, 0),
                 dilation: Any = (1, 1), groups: int = 1, layout: str = "NCHW", activation: str | None = None,
                 use_bias: bool = True, weight_initializer: Any = None, bias_initializer: Any = "zeros",
                 in_channels: int = 0, **kwargs: Any):
        super().__init__(channels, kernel_size, strides, padding, dilation, groups, layout, in_channels, activation,
                         use_bias, weight_initializer, bias_initializer, **kwargs)


class Conv3D(_Conv):
    """Convolution over D, H, W.  x: float[N, C, D, H, W] (layout NCDHW);   weight: float[O, I / g, kd, kh, kw]"""

    _dimensions = 3

    def __init__(self, channels: int, kernel_size: Any, strides: Any = (1, 1, 1), padding: Any = (0, 0, 0),
                 dilation: Any = (1, 1, 1), groups: int = 1, layout: str = "NCDHW", activation: str | None = None,
                 use_bias: bool = True, weight_initializer: Any = None, bias_initializer: Any = "zeros",
                 in_channels: int = 0, **kwargs: Any):
        super().__init__(channels, kernel_size, strides, padding, dilation, groups, layout, in_channels, activation,
                         use_bias, weight_initializer, bias_initializer, **kwargs)


class Conv1DTranspose(_ConvTranspose):
    """The gradient of Conv1D as a layer.  x: float[N, C, W];   weight: float[I, O / g, kw]"""

    _dimensions = 1

    def __init__(self, channels: int, kernel_size: Any, strides: Any = 1, padding: Any = 0, output_padding: Any = 0,
                 dilation: Any = 1, groups: int = 1, layout: str = "NCW", activation: str | None = None,
                 use_bias: bool = True, weight_initializer: Any = None, bias_initializer: Any = "zeros",
                 in_channels: int = 0, **kwargs: Any):
        super().__init__(channels, kernel_size, strides, padding, dilation, groups, layout, in_channels, activation,
                         use_bias, weight_initializer, bias_initializer, output_padding, **kwargs)


class Conv2DTranspose(_ConvTranspose):
    """The gradient of Conv2D as a layer.  x: float[N, C, H, W];   weight: float[I, O / g, kh, kw]"""

    _dimensions = 2

    def __init__(self, channels: int, kernel_size: Any, strides: Any = (1, 1), padding: Any = (0, 0),
                 output_padding: Any = (0, 0), dilation: Any = (1, 1), groups: int = 1, layout: str = "NCHW",
                 activation: str | None = None, use_bias: bool = True, weight_initializer: Any = None,
                 bias_initializer: Any = "zeros", in_channels: int = 0, **kwargs: Any):
        super().__init__(channels, kernel_size, strides, padding, dilation, groups, layout, in_channels, activation,
                         use_bias, weight_initializer, bias_initializer, output_padding, **kwargs)


class Conv3DTranspose(_ConvTranspose):
    """The gradient of Conv3D as a layer.  x: float[N, C, D, H, W];   weight: float[I, O / g, kd, kh, kw]"""

    _dimensions = 3

    def __init__(self, channels: int, kernel_size: Any, strides: Any = (1, 1, 1), padding: Any = (0, 0, 0),
                 output_padding: Any = (0, 0, 0), dilation: Any = (1, 1, 1), groups: int = 1, layout: str = "NCDHW",
                 activation: str | None = None, use_bias: bool = True, weight_initializer: Any = None,
                 bias_initializer: Any = "zeros", in_channels: int = 0, **kwargs: Any):
        super().__init__(channels, kernel_size, strides, padding, dilation, groups, layout, in_channels, activation,
                         use_bias, weight_initializer, bias_initializer, output_padding, **kwargs)


def __getattr__(name: str) -> Any:
    """Names that MXNet has in this module and mxdl in another of this package."""
    for module in ("pooling",):
        found = getattr(importlib.import_module(f"{__package__}.{module}"), name, None)
        if found is not None and not name.startswith("__"):
            return found
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
