"""The nets of inference.py in torch: the model zoo's own (strides and biases where the zoo has them)."""
from __future__ import annotations

import torch
from torch import nn


def conv_norm(inside: int, outside: int, kernel: int, stride: int = 1, groups: int = 1, bias: bool = False) -> list:
    return [nn.Conv2d(inside, outside, kernel, stride, kernel // 2, groups=groups, bias=bias), nn.BatchNorm2d(outside)]


class Residual(nn.Module):
    """relu(body + shortcut), the shortcut projected where shapes differ."""

    def __init__(self, body: list, inside: int, outside: int, stride: int):
        super().__init__()
        self.body = nn.Sequential(*body)
        same = inside == outside and stride == 1
        self.shortcut = nn.Identity() if same else nn.Sequential(*conv_norm(inside, outside, 1, stride))

    def forward(self, x):
        return torch.relu(self.body(x) + self.shortcut(x))


def basic(inside: int, outside: int, stride: int) -> Residual:
    body = [*conv_norm(inside, outside, 3, stride), nn.ReLU(), *conv_norm(outside, outside, 3)]
    return Residual(body, inside, outside, stride)


def bottleneck(inside: int, outside: int, stride: int) -> Residual:
    narrow = outside // 4
    body = [*conv_norm(inside, narrow, 1, stride, bias=True), nn.ReLU(), *conv_norm(narrow, narrow, 3), nn.ReLU(),
            *conv_norm(narrow, outside, 1, bias=True)]
    return Residual(body, inside, outside, stride)


def resnet(block, stages: list) -> nn.Sequential:
    layers, inside = [*conv_norm(3, 64, 7, 2), nn.ReLU(), nn.MaxPool2d(3, 2, 1)], 64
    for number, (count, outside) in enumerate(stages):
        for i in range(count):
            layers.append(block(inside, outside, 2 if number and not i else 1))
            inside = outside
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(inside, 1000))


class Inverted(nn.Module):
    def __init__(self, inside: int, outside: int, stride: int, expand: int):
        super().__init__()
        wide = inside * expand
        self.body = nn.Sequential(*conv_norm(inside, wide, 1), nn.ReLU6(), *conv_norm(wide, wide, 3, stride, wide),
                                  nn.ReLU6(), *conv_norm(wide, outside, 1))
        self.adds = stride == 1 and inside == outside

    def forward(self, x):
        return x + self.body(x) if self.adds else self.body(x)


def mobilenet_v2() -> nn.Sequential:
    layers, inside = [*conv_norm(3, 32, 3, 2), nn.ReLU6()], 32
    stages = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))
    for expand, outside, count, stride in stages:
        for i in range(count):
            layers.append(Inverted(inside, outside, 1 if i else stride, expand))
            inside = outside
    return nn.Sequential(*layers, *conv_norm(inside, 1280, 1), nn.ReLU6(), nn.AdaptiveAvgPool2d(1),
                         nn.Conv2d(1280, 1000, 1, bias=False), nn.Flatten())


NETS = {"resnet18_v1": lambda: resnet(basic, [(2, 64), (2, 128), (2, 256), (2, 512)]),
        "resnet50_v1": lambda: resnet(bottleneck, [(3, 256), (4, 512), (6, 1024), (3, 2048)]),
        "mobilenetv2_1.0": mobilenet_v2}
