"""Inception v3 (arXiv 1512.00567)."""
from __future__ import annotations

from typing import Any

from ...contrib.nn import HybridConcurrent
from ...hybrid import HybridBlock
from ...nn import Activation, AvgPool2D, BatchNorm, Conv2D, Dense, Dropout, HybridSequential, MaxPool2D
from ..model_store import get_model_file


def conv(channels: int, kernel: Any, stride: int = 1, pad: Any = 0) -> HybridSequential:
    """Convolution, batch norm, relu."""
    out = HybridSequential(prefix="")
    out.add(Conv2D(channels, kernel, stride, pad, use_bias=False), BatchNorm(epsilon=0.001), Activation("relu"))
    return out


def branch(*convolutions: tuple, pool: str = "") -> HybridSequential:
    """Convolutions (arguments of `conv`) one after the other, maybe after an average or maximum pool."""
    out = HybridSequential(prefix="")
    if pool == "avg":
        out.add(AvgPool2D(pool_size=3, strides=1, padding=1))
    elif pool == "max":
        out.add(MaxPool2D(pool_size=3, strides=2))
    for arguments in convolutions:
        out.add(conv(*arguments))
    return out


def wide(channels: int) -> tuple:
    return channels, (1, 7), 1, (0, 3)


def tall(channels: int) -> tuple:
    return channels, (7, 1), 1, (3, 0)


def module_a(pool_features: int, prefix: str) -> HybridConcurrent:
    out = HybridConcurrent(axis=1, prefix=prefix)
    with out.name_scope():
        out.add(branch((64, 1)), branch((48, 1), (64, 5, 1, 2)), branch((64, 1), (96, 3, 1, 1), (96, 3, 1, 1)),
                branch((pool_features, 1), pool="avg"))
    return out


def module_b(prefix: str) -> HybridConcurrent:
    out = HybridConcurrent(axis=1, prefix=prefix)
    with out.name_scope():
        out.add(branch((384, 3, 2)), branch((64, 1), (96, 3, 1, 1), (96, 3, 2)), branch(pool="max"))
    return out


def module_c(channels: int, prefix: str) -> HybridConcurrent:
    c = channels
    out = HybridConcurrent(axis=1, prefix=prefix)
    with out.name_scope():
        out.add(branch((192, 1)), branch((c, 1), wide(c), tall(192)),
                branch((c, 1), tall(c), wide(c), tall(c), wide(192)), branch((192, 1), pool="avg"))
    return out


def module_d(prefix: str) -> HybridConcurrent:
    out = HybridConcurrent(axis=1, prefix=prefix)
    with out.name_scope():
        out.add(branch((192, 1), (320, 3, 2)), branch((192, 1), wide(192), tall(192), (192, 3, 2)), branch(pool="max"))
    return out


def forked(*convolutions: tuple) -> HybridSequential:
    """A branch that ends in a 1x3 and a 3x1 convolution side by side."""
    out = HybridSequential(prefix="")
    out.add(branch(*convolutions))
    fork = HybridConcurrent(axis=1, prefix="")
    fork.add(branch((384, (1, 3), 1, (0, 1))), branch((384, (3, 1), 1, (1, 0))))
    out.add(fork)
    return out


def module_e(prefix: str) -> HybridConcurrent:
    out = HybridConcurrent(axis=1, prefix=prefix)
    with out.name_scope():
        out.add(branch((320, 1)), forked((384, 1)), forked((448, 1), (384, 3, 1, 1)), branch((192, 1), pool="avg"))
    return out


class Inception3(HybridBlock):
    """For images of 299x299."""

    def __init__(self, classes: int = 1000, **kwargs: Any):
        super().__init__(**kwargs)
        with self.name_scope():
            self.features = HybridSequential(prefix="")
            self.features.add(
                conv(32, 3, 2), conv(32, 3), conv(64, 3, 1, 1), MaxPool2D(pool_size=3, strides=2),
                conv(80, 1), conv(192, 3), MaxPool2D(pool_size=3, strides=2),
                module_a(32, "A1_"), module_a(64, "A2_"), module_a(64, "A3_"), module_b("B_"),
                module_c(128, "C1_"), module_c(160, "C2_"), module_c(160, "C3_"), module_c(192, "C4_"),
                module_d("D_"), module_e("E1_"), module_e("E2_"), AvgPool2D(pool_size=8), Dropout(0.5))
            self.output = Dense(classes)

    def hybrid_forward(self, F: Any, x: Any) -> Any:
        return self.output(self.features(x))


def inception_v3(pretrained: bool = False, ctx: Any = None, root: str | None = None, **kwargs: Any) -> Inception3:
    """Inception v3."""
    net = Inception3(**kwargs)
    if pretrained:
        net.load_parameters(get_model_file("inceptionv3", root), ctx=ctx)
    return net
