"""SqueezeNet 1.0 and 1.1 (arXiv 1602.07360)."""
from __future__ import annotations

from typing import Any

from ...contrib.nn import HybridConcurrent
from ...hybrid import HybridBlock
from ...nn import Activation, AvgPool2D, Conv2D, Dropout, Flatten, HybridSequential, MaxPool2D
from ..model_store import get_model_file

#: channels and kernel of the first convolution; then for each stage the squeeze channels of its fire modules
SPECIFICATIONS = {"1.0": (96, 7, [[16, 16, 32], [32, 48, 48, 64], [64]]),
                  "1.1": (64, 3, [[16, 16], [32, 32], [48, 48, 64, 64]])}


def fire_conv(channels: int, kernel: int, padding: int = 0) -> HybridSequential:
    out = HybridSequential(prefix="")
    out.add(Conv2D(channels, kernel, padding=padding), Activation("relu"))
    return out


def fire(squeeze: int) -> HybridSequential:
    """1x1 down to `squeeze` channels, then 1x1 and 3x3 side by side up to four times as many each."""
    out = HybridSequential(prefix="")
    out.add(fire_conv(squeeze, 1))
    paths = HybridConcurrent(axis=1, prefix="")
    paths.add(fire_conv(4 * squeeze, 1), fire_conv(4 * squeeze, 3, 1))
    out.add(paths)
    return out


class SqueezeNet(HybridBlock):
    """version: "1.0" or "1.1"."""

    def __init__(self, version: str, classes: int = 1000, **kwargs: Any):
        super().__init__(**kwargs)
        if version not in SPECIFICATIONS:
            raise AssertionError(f"SqueezeNet: unsupported version; got {version!r}; use '1.0' or '1.1'")
        channels, kernel, stages = SPECIFICATIONS[version]
        with self.name_scope():
            self.features = HybridSequential(prefix="")
            self.features.add(Conv2D(channels, kernel_size=kernel, strides=2), Activation("relu"))
            for stage in stages:
                self.features.add(MaxPool2D(pool_size=3, strides=2, ceil_mode=True))
                for squeeze in stage:
                    self.features.add(fire(squeeze))
            self.features.add(Dropout(0.5))
            self.output = HybridSequential(prefix="")
            self.output.add(Conv2D(classes, kernel_size=1), Activation("relu"), AvgPool2D(13), Flatten())

    def hybrid_forward(self, F: Any, x: Any) -> Any:
        return self.output(self.features(x))


def get_squeezenet(version: str, pretrained: bool = False, ctx: Any = None, root: str | None = None,
                   **kwargs: Any) -> SqueezeNet:
    """SqueezeNet "1.0" or "1.1"."""
    net = SqueezeNet(version, **kwargs)
    if pretrained:
        net.load_parameters(get_model_file(f"squeezenet{version}", root), ctx=ctx)
    return net


def squeezenet1_0(**kwargs: Any) -> SqueezeNet:
    return get_squeezenet("1.0", **kwargs)


def squeezenet1_1(**kwargs: Any) -> SqueezeNet:
    return get_squeezenet("1.1", **kwargs)
