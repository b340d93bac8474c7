"""Deformable convolutions: where each element of a window is read is itself computed by a convolution."""
from __future__ import annotations

import math
from typing import Any

from ...hybrid import HybridBlock
from ...nn import Activation
from ...nn.conv_layers import check_layout, spread


class _Deformable(HybridBlock):
    _operator = ""
    _per_element = 0        # channels of the offset convolution for each element of a window

    def __init__(self, channels: int, kernel_size: Any = (1, 1), strides: Any = (1, 1), padding: Any = (0, 0),
                 dilation: Any = (1, 1), groups: int = 1, num_deformable_group: int = 1, layout: str = "NCHW",
                 use_bias: bool = True, in_channels: int = 0, activation: str | None = None,
                 weight_initializer: Any = None, bias_initializer: Any = "zeros",
                 offset_weight_initializer: Any = "zeros", offset_bias_initializer: Any = "zeros",
                 offset_use_bias: bool = True, prefix: str | None = None, params: Any = None):
        super().__init__(prefix=prefix, params=params)
        check_layout(layout, 2, type(self).__name__)
        kernel = spread(kernel_size, 2, "kernel_size")
        self._channels, self._in_channels = channels, in_channels
        self._elements = math.prod(kernel) * num_deformable_group
        window = {"kernel": kernel, "stride": spread(strides, 2, "strides"), "dilate": spread(dilation, 2, "dilation"),
                  "pad": spread(padding, 2, "padding"), "num_group": groups, "layout": layout}
        self._kwargs_offset = window | {"num_filter": self._per_element * self._elements, "cudnn_off": True,
                                        "no_bias": not offset_use_bias}
        self._kwargs = window | {"num_filter": channels, "num_deformable_group": num_deformable_group,
                                 "no_bias": not use_bias}
        with self.name_scope():
            self.offset_weight, self.offset_bias = self._parameters(
                "offset", self._kwargs_offset, offset_weight_initializer, offset_bias_initializer)
            self.deformable_conv_weight, self.deformable_conv_bias = self._parameters(
                "deformable_conv", self._kwargs, weight_initializer, bias_initializer)
            self.act = None if activation is None else Activation(activation, prefix=f"{activation}_")

    def _parameters(self, name: str, kwargs: dict[str, Any], weight_init: Any, bias_init: Any) -> tuple[Any, Any]:
        filters = kwargs["num_filter"]
        shape = (filters, self._in_channels // kwargs["num_group"], *kwargs["kernel"])
        weight = self.params.get(f"{name}_weight", shape=shape, init=weight_init, allow_deferred_init=True)
        if kwargs["no_bias"]:
            return weight, None
        return weight, self.params.get(f"{name}_bias", shape=(filters,), init=bias_init, allow_deferred_init=True)

    def hybrid_forward(self, F: Any, x: Any, offset_weight: Any, deformable_conv_weight: Any, offset_bias: Any = None,
                       deformable_conv_bias: Any = None) -> Any:
        moves = self._moves(F, F.Convolution(x, offset_weight, offset_bias, **self._kwargs_offset))
        operator = getattr(F.contrib, self._operator)
        out = operator(x, *moves, deformable_conv_weight, deformable_conv_bias, name="fwd", **self._kwargs)
        return out if self.act is None else self.act(out)

    def _moves(self, F: Any, offset: Any) -> tuple:
        """What the operator takes between the data and the weight."""
        return (offset,)

    def __repr__(self) -> str:
        kwargs = self._kwargs
        words = [f"{self.deformable_conv_weight.shape[1] or None} -> {self._channels}"]
        words += [f"{word}={kwargs[key]}" for word, key, usual in (
            ("kernel_size", "kernel", None), ("stride", "stride", None), ("padding", "pad", (0, 0)),
            ("dilation", "dilate", (1, 1)), ("groups", "num_group", 1)) if kwargs[key] != usual]
        words += ["bias=False"] * kwargs["no_bias"] + ([] if self.act is None else [repr(self.act)])
        return f"{type(self).__name__}({', '.join(words)})"


class DeformableConvolution(_Deformable):
    """Convolution over H, W whose windows' elements are moved by a convolution's outputs (arXiv 1703.06211).

    x: float[N, C, H, W];   num_deformable_group: parts of the channels that move alike;   in_channels: 0 to take it
    from data.   (`gluon.contrib.cnn.DeformableConvolution` of MXNet 1.9.1)
    """

    _operator = "DeformableConvolution"
    _per_element = 2

    def _alias(self) -> str:
        return "deformable_conv"


class ModulatedDeformableConvolution(_Deformable):
    """DeformableConvolution with a factor from 0 to 2 for each moved element (arXiv 1811.11168).

    x: float[N, C, H, W].   (`gluon.contrib.cnn.ModulatedDeformableConvolution` of MXNet 1.9.1)
    """

    _operator = "ModulatedDeformableConvolution"
    _per_element = 3

    def _alias(self) -> str:
        return "modulated_deformable_conv"

    def _moves(self, F: Any, offset: Any) -> tuple:
        split = 2 * self._elements
        mask = F.sigmoid(F.slice_axis(offset, axis=1, begin=split, end=None)) * 2
        return F.slice_axis(offset, axis=1, begin=0, end=split), mask
