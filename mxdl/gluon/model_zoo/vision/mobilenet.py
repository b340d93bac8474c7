"""MobileNet (arXiv 1704.04861) and MobileNetV2 (arXiv 1801.04381), in several widths."""
from __future__ import annotations

from typing import Any

from ...hybrid import HybridBlock
from ...nn import Activation, BatchNorm, Conv2D, Dense, Flatten, GlobalAvgPool2D, HybridSequential
from ..model_store import get_model_file


class RELU6(HybridBlock):
    """min(max(x, 0), 6)."""

    def hybrid_forward(self, F: Any, x: Any) -> Any:
        return F.clip(x, 0, 6, name="relu6")


def add_conv(out: HybridSequential, channels: int, kernel: int = 1, stride: int = 1, pad: int = 0, groups: int = 1,
             active: bool = True, relu6: bool = False) -> None:
    """Append convolution, batch norm and (active) the activation."""
    out.add(Conv2D(channels, kernel, stride, pad, groups=groups, use_bias=False), BatchNorm())
    if active:
        out.add(RELU6() if relu6 else Activation("relu"))


def add_separable_conv(out: HybridSequential, in_channels: int, channels: int, stride: int) -> None:
    """Append a 3x3 convolution of each channel and a 1x1 convolution across them."""
    add_conv(out, in_channels, kernel=3, stride=stride, pad=1, groups=in_channels)
    add_conv(out, channels)


class LinearBottleneck(HybridBlock):
    """1x1 to t times the channels, 3x3 of each channel, 1x1 down again, plus x where shapes agree."""

    def __init__(self, in_channels: int, channels: int, t: int, stride: int, **kwargs: Any):
        super().__init__(**kwargs)
        self.use_shortcut = stride == 1 and in_channels == channels
        with self.name_scope():
            self.out = HybridSequential()
            add_conv(self.out, in_channels * t, relu6=True)
            add_conv(self.out, in_channels * t, kernel=3, stride=stride, pad=1, groups=in_channels * t, relu6=True)
            add_conv(self.out, channels, active=False, relu6=True)

    def hybrid_forward(self, F: Any, x: Any) -> Any:
        out = self.out(x)
        return F.elemwise_add(out, x) if self.use_shortcut else out


class MobileNet(HybridBlock):
    """multiplier: factor on all channels."""

    def __init__(self, multiplier: float = 1.0, classes: int = 1000, **kwargs: Any):
        super().__init__(**kwargs)
        widths = [32, 64, 128, 128, 256, 256, *[512] * 6, 1024, 1024]
        channels = [int(c * multiplier) for c in widths]
        strides = [1, 2, 1, 2, 1, 2, 1, 1, 1, 1, 1, 2, 1]
        with self.name_scope():
            self.features = HybridSequential(prefix="")
            with self.features.name_scope():
                add_conv(self.features, channels[0], kernel=3, pad=1, stride=2)
                for before, after, stride in zip(channels[:-1], channels[1:], strides, strict=True):
                    add_separable_conv(self.features, before, after, stride)
                self.features.add(GlobalAvgPool2D(), Flatten())
            self.output = Dense(classes)

    def hybrid_forward(self, F: Any, x: Any) -> Any:
        return self.output(self.features(x))


class MobileNetV2(HybridBlock):
    """multiplier: factor on all channels but, below 1, the last."""

    def __init__(self, multiplier: float = 1.0, classes: int = 1000, **kwargs: Any):
        super().__init__(**kwargs)
        widths = [32, 16, *[24] * 2, *[32] * 3, *[64] * 4, *[96] * 3, *[160] * 3, 320]
        channels = [int(c * multiplier) for c in widths]
        expansions = [1, *[6] * 16]
        strides = [1, 2, 1, 2, 1, 1, 2, 1, 1, 1, 1, 1, 1, 2, 1, 1, 1]
        with self.name_scope():
            self.features = HybridSequential(prefix="features_")
            with self.features.name_scope():
                add_conv(self.features, channels[0], kernel=3, stride=2, pad=1, relu6=True)
                for before, after, t, stride in zip(channels[:-1], channels[1:], expansions, strides, strict=True):
                    self.features.add(LinearBottleneck(before, after, t, stride))
                add_conv(self.features, int(1280 * multiplier) if multiplier > 1 else 1280, relu6=True)
                self.features.add(GlobalAvgPool2D())
            self.output = HybridSequential(prefix="output_")
            with self.output.name_scope():
                self.output.add(Conv2D(classes, 1, use_bias=False, prefix="pred_"), Flatten())

    def hybrid_forward(self, F: Any, x: Any) -> Any:
        return self.output(self.features(x))


def width_text(multiplier: float) -> str:
    """The width in file names: 1.0, 0.75, 0.5, 0.25."""
    text = f"{multiplier:.2f}"
    return text[:-1] if text in ("1.00", "0.50") else text


def get_mobilenet(multiplier: float, pretrained: bool = False, ctx: Any = None, root: str | None = None,
                  **kwargs: Any) -> MobileNet:
    """MobileNet with `multiplier` times the channels."""
    net = MobileNet(multiplier, **kwargs)
    if pretrained:
        net.load_parameters(get_model_file(f"mobilenet{width_text(multiplier)}", root), ctx=ctx)
    return net


def get_mobilenet_v2(multiplier: float, pretrained: bool = False, ctx: Any = None, root: str | None = None,
                     **kwargs: Any) -> MobileNetV2:
    """MobileNetV2 with `multiplier` times the channels."""
    net = MobileNetV2(multiplier, **kwargs)
    if pretrained:
        net.load_parameters(get_model_file(f"mobilenetv2_{width_text(multiplier)}", root), ctx=ctx)
    return net


def mobilenet1_0(**kwargs: Any) -> MobileNet:
    return get_mobilenet(1.0, **kwargs)


def mobilenet0_75(**kwargs: Any) -> MobileNet:
    return get_mobilenet(0.75, **kwargs)


def mobilenet0_5(**kwargs: Any) -> MobileNet:
    return get_mobilenet(0.5, **kwargs)


def mobilenet0_25(**kwargs: Any) -> MobileNet:
    return get_mobilenet(0.25, **kwargs)


def mobilenet_v2_1_0(**kwargs: Any) -> MobileNetV2:
    return get_mobilenet_v2(1.0, **kwargs)


def mobilenet_v2_0_75(**kwargs: Any) -> MobileNetV2:
    return get_mobilenet_v2(0.75, **kwargs)


def mobilenet_v2_0_5(**kwargs: Any) -> MobileNetV2:
    return get_mobilenet_v2(0.5, **kwargs)


def mobilenet_v2_0_25(**kwargs: Any) -> MobileNetV2:
    return get_mobilenet_v2(0.25, **kwargs)
