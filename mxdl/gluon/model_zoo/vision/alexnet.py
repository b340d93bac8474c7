"""AlexNet, in the one-column variant (arXiv 1404.5997)."""
from __future__ import annotations

from typing import Any

from ...hybrid import HybridBlock
from ...nn import Conv2D, Dense, Dropout, Flatten, HybridSequential, MaxPool2D
from ..model_store import get_model_file


class AlexNet(HybridBlock):
    """For images of 224x224."""

    def __init__(self, classes: int = 1000, **kwargs: Any):
        super().__init__(**kwargs)
        with self.name_scope():
            self.features = HybridSequential(prefix="")
            with self.features.name_scope():
                self.features.add(
                    Conv2D(64, kernel_size=11, strides=4, padding=2, activation="relu"),
                    MaxPool2D(pool_size=3, strides=2),
                    Conv2D(192, kernel_size=5, padding=2, activation="relu"),
                    MaxPool2D(pool_size=3, strides=2),
                    Conv2D(384, kernel_size=3, padding=1, activation="relu"),
                    Conv2D(256, kernel_size=3, padding=1, activation="relu"),
                    Conv2D(256, kernel_size=3, padding=1, activation="relu"),
                    MaxPool2D(pool_size=3, strides=2),
                    Flatten(),
                    Dense(4096, activation="relu"), Dropout(0.5),
                    Dense(4096, activation="relu"), Dropout(0.5))
            self.output = Dense(classes)

    def hybrid_forward(self, F: Any, x: Any) -> Any:
        return self.output(self.features(x))


def alexnet(pretrained: bool = False, ctx: Any = None, root: str | None = None, **kwargs: Any) -> AlexNet:
    """AlexNet."""
    net = AlexNet(**kwargs)
    if pretrained:
        net.load_parameters(get_model_file("alexnet", root), ctx=ctx)
    return net
