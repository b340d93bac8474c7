"""ResNet: v1 (arXiv 1512.03385) and v2 with activations before the convolutions (arXiv 1603.05027)."""
from __future__ import annotations

from typing import Any

from ...hybrid import HybridBlock
from ...nn import Activation, BatchNorm, Conv2D, Dense, Flatten, GlobalAvgPool2D, HybridSequential, MaxPool2D
from ..model_store import get_model_file


def conv3x3(channels: int, stride: int, in_channels: int) -> Conv2D:
    return Conv2D(channels, kernel_size=3, strides=stride, padding=1, use_bias=False, in_channels=in_channels)


class _BlockV1(HybridBlock):
    """relu(body(x) + x), x projected where the shape changes."""

    def __init__(self, channels: int, stride: int, downsample: bool = False, in_channels: int = 0, **kwargs: Any):
        super().__init__(**kwargs)
        self.body = HybridSequential(prefix="")
        self._fill(self.body, channels, stride, in_channels)
        self.downsample = None
        if downsample:
            self.downsample = HybridSequential(prefix="")
            self.downsample.add(Conv2D(channels, kernel_size=1, strides=stride, use_bias=False,
                                       in_channels=in_channels), BatchNorm())

    def hybrid_forward(self, F: Any, x: Any) -> Any:
        y = self.body(x)
        residual = x if self.downsample is None else self.downsample(x)
        return F.Activation(self._add(residual, y), act_type="relu")

    def _add(self, residual: Any, y: Any) -> Any:
        # which operand stands first decides the order of nodes, hence of parameters, in exported files
        return residual + y


class BasicBlockV1(_BlockV1):
    """Two 3x3 convolutions: ResNet-18 and 34."""

    def _fill(self, body: HybridSequential, channels: int, stride: int, in_channels: int) -> None:
        body.add(conv3x3(channels, stride, in_channels), BatchNorm(), Activation("relu"),
                 conv3x3(channels, 1, channels), BatchNorm())


class BottleneckV1(_BlockV1):
    """1x1, 3x3, 1x1 convolutions: ResNet-50, 101 and 152."""

    def _fill(self, body: HybridSequential, channels: int, stride: int, in_channels: int) -> None:
        body.add(Conv2D(channels // 4, kernel_size=1, strides=stride), BatchNorm(), Activation("relu"),
                 conv3x3(channels // 4, 1, channels // 4), BatchNorm(), Activation("relu"),
                 Conv2D(channels, kernel_size=1, strides=1), BatchNorm())

    def _add(self, residual: Any, y: Any) -> Any:
        return y + residual


class _BlockV2(HybridBlock):
    """x + convolutions, each after its batch norm and relu; the projection takes the first activation."""

    def hybrid_forward(self, F: Any, x: Any) -> Any:
        residual = x
        for i, (norm, conv) in enumerate(self._pairs()):
            x = F.Activation(norm(x), act_type="relu")
            if i == 0 and self.downsample is not None:
                residual = self.downsample(x)
            x = conv(x)
        return x + residual

    def _project(self, channels: int, stride: int, in_channels: int) -> Conv2D:
        return Conv2D(channels, 1, stride, use_bias=False, in_channels=in_channels)


class BasicBlockV2(_BlockV2):
    """Two 3x3 convolutions: ResNet-18 and 34."""

    def __init__(self, channels: int, stride: int, downsample: bool = False, in_channels: int = 0, **kwargs: Any):
        super().__init__(**kwargs)
        self.bn1 = BatchNorm()
        self.conv1 = conv3x3(channels, stride, in_channels)
        self.bn2 = BatchNorm()
        self.conv2 = conv3x3(channels, 1, channels)
        self.downsample = self._project(channels, stride, in_channels) if downsample else None

    def _pairs(self) -> list:
        return [(self.bn1, self.conv1), (self.bn2, self.conv2)]


class BottleneckV2(_BlockV2):
    """1x1, 3x3, 1x1 convolutions: ResNet-50, 101 and 152."""

    def __init__(self, channels: int, stride: int, downsample: bool = False, in_channels: int = 0, **kwargs: Any):
        super().__init__(**kwargs)
        self.bn1 = BatchNorm()
        self.conv1 = Conv2D(channels // 4, kernel_size=1, strides=1, use_bias=False)
        self.bn2 = BatchNorm()
        self.conv2 = conv3x3(channels // 4, stride, channels // 4)
        self.bn3 = BatchNorm()
        self.conv3 = Conv2D(channels, kernel_size=1, strides=1, use_bias=False)
        self.downsample = self._project(channels, stride, in_channels) if downsample else None

    def _pairs(self) -> list:
        return [(self.bn1, self.conv1), (self.bn2, self.conv2), (self.bn3, self.conv3)]


class _ResNet(HybridBlock):
    """layers: blocks of each stage.   channels: of the stem and of each stage.   thumbnail: for 32x32 images."""

    def __init__(self, block: type, layers: list[int], channels: list[int], classes: int = 1000,
                 thumbnail: bool = False, **kwargs: Any):
        super().__init__(**kwargs)
        if len(layers) != len(channels) - 1:
            raise AssertionError(f"{type(self).__name__}: channels must have one entry more than layers; "
                                 f"got {channels} and {layers}")
        with self.name_scope():
            self.features = HybridSequential(prefix="")
            self._begin(self.features)
            if thumbnail:
                self.features.add(conv3x3(channels[0], 1, 0))
            else:
                self.features.add(Conv2D(channels[0], 7, 2, 3, use_bias=False), BatchNorm(), Activation("relu"),
                                  MaxPool2D(3, 2, 1))
            for i, count in enumerate(layers):
                self.features.add(self._stage(block, count, channels[i + 1], 1 if i == 0 else 2, i + 1, channels[i]))
            self._end(self.features)
            self.output = Dense(classes, in_units=channels[-1])

    def _stage(self, block: type, count: int, channels: int, stride: int, number: int,
               in_channels: int) -> HybridSequential:
        stage = HybridSequential(prefix=f"stage{number}_")
        with stage.name_scope():
            stage.add(block(channels, stride, channels != in_channels, in_channels=in_channels, prefix=""))
            for _ in range(count - 1):
                stage.add(block(channels, 1, False, in_channels=channels, prefix=""))
        return stage

    def hybrid_forward(self, F: Any, x: Any) -> Any:
        return self.output(self.features(x))


class ResNetV1(_ResNet):
    """Activations after the convolutions."""

    def _begin(self, features: HybridSequential) -> None:
        """Nothing stands before the stem."""

    def _end(self, features: HybridSequential) -> None:
        features.add(GlobalAvgPool2D())


class ResNetV2(_ResNet):
    """Activations before the convolutions."""

    def _begin(self, features: HybridSequential) -> None:
        features.add(BatchNorm(scale=False, center=False))

    def _end(self, features: HybridSequential) -> None:
        features.add(BatchNorm(), Activation("relu"), GlobalAvgPool2D(), Flatten())


SPECIFICATIONS = {
    18: ("basic", [2, 2, 2, 2], [64, 64, 128, 256, 512]),
    34: ("basic", [3, 4, 6, 3], [64, 64, 128, 256, 512]),
    50: ("bottleneck", [3, 4, 6, 3], [64, 256, 512, 1024, 2048]),
    101: ("bottleneck", [3, 4, 23, 3], [64, 256, 512, 1024, 2048]),
    152: ("bottleneck", [3, 8, 36, 3], [64, 256, 512, 1024, 2048]),
}
VERSIONS = {1: (ResNetV1, {"basic": BasicBlockV1, "bottleneck": BottleneckV1}),
            2: (ResNetV2, {"basic": BasicBlockV2, "bottleneck": BottleneckV2})}


def get_resnet(version: int, num_layers: int, pretrained: bool = False, ctx: Any = None, root: str | None = None,
               **kwargs: Any) -> HybridBlock:
    """ResNet of version 1 or 2 with 18, 34, 50, 101 or 152 layers.

    Raises ValueError for others, FileNotFoundError where pretrained weights are wanted and not there.
    """
    if num_layers not in SPECIFICATIONS or version not in VERSIONS:
        raise ValueError(f"get_resnet: no such network; got version {version}, {num_layers} layers; use version 1 or "
                         f"2 and one of {', '.join(map(str, SPECIFICATIONS))} layers")
    kind, layers, channels = SPECIFICATIONS[num_layers]
    network, blocks = VERSIONS[version]
    net = network(blocks[kind], layers, channels, **kwargs)
    if pretrained:
        net.load_parameters(get_model_file(f"resnet{num_layers}_v{version}", root), ctx=ctx)
    return net


def resnet18_v1(**kwargs: Any) -> HybridBlock:
    return get_resnet(1, 18, **kwargs)


def resnet34_v1(**kwargs: Any) -> HybridBlock:
    return get_resnet(1, 34, **kwargs)


def resnet50_v1(**kwargs: Any) -> HybridBlock:
    return get_resnet(1, 50, **kwargs)


def resnet101_v1(**kwargs: Any) -> HybridBlock:
    return get_resnet(1, 101, **kwargs)


def resnet152_v1(**kwargs: Any) -> HybridBlock:
    return get_resnet(1, 152, **kwargs)


def resnet18_v2(**kwargs: Any) -> HybridBlock:
    return get_resnet(2, 18, **kwargs)


def resnet34_v2(**kwargs: Any) -> HybridBlock:
    return get_resnet(2, 34, **kwargs)


def resnet50_v2(**kwargs: Any) -> HybridBlock:
    return get_resnet(2, 50, **kwargs)


def resnet101_v2(**kwargs: Any) -> HybridBlock:
    return get_resnet(2, 101, **kwargs)


def resnet152_v2(**kwargs: Any) -> HybridBlock:
    return get_resnet(2, 152, **kwargs)
