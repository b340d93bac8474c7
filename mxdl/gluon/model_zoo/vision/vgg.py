"""VGG (arXiv 1409.1556), with and without batch norm."""
from __future__ import annotations

from typing import Any

from ....initializer import Xavier
from ...hybrid import HybridBlock
from ...nn import Activation, BatchNorm, Conv2D, Dense, Dropout, HybridSequential, MaxPool2D
from ..model_store import get_model_file

SPECIFICATIONS = {11: [1, 1, 2, 2, 2], 13: [2, 2, 2, 2, 2], 16: [2, 2, 3, 3, 3], 19: [2, 2, 4, 4, 4]}
FILTERS = [64, 128, 256, 512, 512]


class VGG(HybridBlock):
    """layers: 3x3 convolutions of each stage.   filters: their channels."""

    def __init__(self, layers: list[int], filters: list[int], classes: int = 1000, batch_norm: bool = False,
                 **kwargs: Any):
        super().__init__(**kwargs)
        if len(layers) != len(filters):
            raise AssertionError(f"VGG: layers and filters differ in length; got {layers} and {filters}")
        with self.name_scope():
            self.features = HybridSequential(prefix="")
            for count, channels in zip(layers, filters, strict=True):
                self._add_stage(count, channels, batch_norm)
            for _ in range(2):
                self.features.add(Dense(4096, activation="relu", weight_initializer="normal",
                                        bias_initializer="zeros"), Dropout(rate=0.5))
            self.output = Dense(classes, weight_initializer="normal", bias_initializer="zeros")

    def _add_stage(self, count: int, channels: int, batch_norm: bool) -> None:
        for _ in range(count):
            self.features.add(Conv2D(channels, kernel_size=3, padding=1, bias_initializer="zeros",
                                     weight_initializer=Xavier(rnd_type="gaussian", factor_type="out", magnitude=2)))
            if batch_norm:
                self.features.add(BatchNorm())
            self.features.add(Activation("relu"))
        self.features.add(MaxPool2D(strides=2))

    def hybrid_forward(self, F: Any, x: Any) -> Any:
        return self.output(self.features(x))


def get_vgg(num_layers: int, pretrained: bool = False, ctx: Any = None, root: str | None = None,
            **kwargs: Any) -> VGG:
    """VGG with 11, 13, 16 or 19 layers; batch_norm=True for the variant with batch norm."""
    if num_layers not in SPECIFICATIONS:
        raise ValueError(f"get_vgg: no such network; got {num_layers} layers; "
                         f"use one of {', '.join(map(str, SPECIFICATIONS))}")
    net = VGG(SPECIFICATIONS[num_layers], FILTERS, **kwargs)
    if pretrained:
        suffix = "_bn" if kwargs.get("batch_norm") else ""
        net.load_parameters(get_model_file(f"vgg{num_layers}{suffix}", root), ctx=ctx)
    return net


def vgg11(**kwargs: Any) -> VGG:
    return get_vgg(11, **kwargs)


def vgg13(**kwargs: Any) -> VGG:
    return get_vgg(13, **kwargs)


def vgg16(**kwargs: Any) -> VGG:
    return get_vgg(16, **kwargs)


def vgg19(**kwargs: Any) -> VGG:
    return get_vgg(19, **kwargs)


def vgg11_bn(**kwargs: Any) -> VGG:
    return get_vgg(11, batch_norm=True, **kwargs)


def vgg13_bn(**kwargs: Any) -> VGG:
    return get_vgg(13, batch_norm=True, **kwargs)


def vgg16_bn(**kwargs: Any) -> VGG:
    return get_vgg(16, batch_norm=True, **kwargs)


def vgg19_bn(**kwargs: Any) -> VGG:
    return get_vgg(19, batch_norm=True, **kwargs)
