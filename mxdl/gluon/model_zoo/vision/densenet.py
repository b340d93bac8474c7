"""DenseNet (arXiv 1608.06993)."""
from __future__ import annotations

from typing import Any

from ...contrib.nn import HybridConcurrent, Identity
from ...hybrid import HybridBlock
from ...nn import Activation, AvgPool2D, BatchNorm, Conv2D, Dense, Dropout, Flatten, HybridSequential, MaxPool2D
from ..model_store import get_model_file

#: channels of the stem, growth, layers of each block
SPECIFICATIONS = {121: (64, 32, [6, 12, 24, 16]), 161: (96, 48, [6, 12, 36, 24]), 169: (64, 32, [6, 12, 32, 32]),
                  201: (64, 32, [6, 12, 48, 32])}


def dense_layer(growth: int, bn_size: int, dropout: float) -> HybridConcurrent:
    """x with `growth` new channels beside it."""
    new = HybridSequential(prefix="")
    new.add(BatchNorm(), Activation("relu"), Conv2D(bn_size * growth, kernel_size=1, use_bias=False),
            BatchNorm(), Activation("relu"), Conv2D(growth, kernel_size=3, padding=1, use_bias=False))
    if dropout:
        new.add(Dropout(dropout))
    out = HybridConcurrent(axis=1, prefix="")
    out.add(Identity(), new)
    return out


def dense_block(count: int, bn_size: int, growth: int, dropout: float, number: int) -> HybridSequential:
    out = HybridSequential(prefix=f"stage{number}_")
    with out.name_scope():
        for _ in range(count):
            out.add(dense_layer(growth, bn_size, dropout))
    return out


def transition(channels: int) -> HybridSequential:
    out = HybridSequential(prefix="")
    out.add(BatchNorm(), Activation("relu"), Conv2D(channels, kernel_size=1, use_bias=False),
            AvgPool2D(pool_size=2, strides=2))
    return out


class DenseNet(HybridBlock):
    """num_init_features: channels of the stem.   growth_rate: new channels a layer.   block_config: layers a block."""

    def __init__(self, num_init_features: int, growth_rate: int, block_config: list[int], bn_size: int = 4,
                 dropout: float = 0, classes: int = 1000, **kwargs: Any):
        super().__init__(**kwargs)
        with self.name_scope():
            self.features = HybridSequential(prefix="")
            self.features.add(Conv2D(num_init_features, kernel_size=7, strides=2, padding=3, use_bias=False),
                              BatchNorm(), Activation("relu"), MaxPool2D(pool_size=3, strides=2, padding=1))
            channels = num_init_features
            for i, count in enumerate(block_config):
                self.features.add(dense_block(count, bn_size, growth_rate, dropout, i + 1))
                channels += count * growth_rate
                if i != len(block_config) - 1:
                    channels //= 2
                    self.features.add(transition(channels))
            self.features.add(BatchNorm(), Activation("relu"), AvgPool2D(pool_size=7), Flatten())
            self.output = Dense(classes)

    def hybrid_forward(self, F: Any, x: Any) -> Any:
        return self.output(self.features(x))


def get_densenet(num_layers: int, pretrained: bool = False, ctx: Any = None, root: str | None = None,
                 **kwargs: Any) -> DenseNet:
    """DenseNet with 121, 161, 169 or 201 layers."""
    if num_layers not in SPECIFICATIONS:
        raise ValueError(f"get_densenet: no such network; got {num_layers} layers; "
                         f"use one of {', '.join(map(str, SPECIFICATIONS))}")
    net = DenseNet(*SPECIFICATIONS[num_layers], **kwargs)
    if pretrained:
        net.load_parameters(get_model_file(f"densenet{num_layers}", root), ctx=ctx)
    return net


def densenet121(**kwargs: Any) -> DenseNet:
    return get_densenet(121, **kwargs)


def densenet161(**kwargs: Any) -> DenseNet:
    return get_densenet(161, **kwargs)


def densenet169(**kwargs: Any) -> DenseNet:
    return get_densenet(169, **kwargs)


def densenet201(**kwargs: Any) -> DenseNet:
    return get_densenet(201, **kwargs)
