"""Small nets for small pictures.  `facts` gives the classes and the picture's shape (C, H, W)."""
from typing import Literal

from ..check import Fraction, Positive
from ..components import component

_Activation = Literal["relu", "tanh", "sigmoid"]


@component("model", task="image_classification")
def mlp(facts, *, hidden: list[int] = (128, 64), activation: _Activation = "relu", dropout: Fraction = 0.0):
    """Fully connected layers."""
    from mxdl.gluon import nn
    net = nn.HybridSequential(prefix="mlp_")
    with net.name_scope():
        net.add(nn.Flatten())
        for units in hidden:
            net.add(nn.Dense(units, activation=activation))
            if dropout:
                net.add(nn.Dropout(dropout))
        net.add(nn.Dense(len(facts["classes"])))
    return net


@component("model", task="image_classification")
def lenet(facts, *, channels: list[int] = (20, 50), kernel: Positive = 5, hidden: Positive = 500,
          activation: _Activation = "tanh", dropout: Fraction = 0.0):
    """LeCun's net: convolutions each followed by 2x2 max pooling, then one hidden layer."""
    from mxdl.gluon import nn
    net = nn.HybridSequential(prefix="lenet_")
    with net.name_scope():
        for number in channels:
            net.add(nn.Conv2D(number, kernel, padding=kernel // 2, activation=activation), nn.MaxPool2D(2, 2))
        net.add(nn.Flatten(), nn.Dense(hidden, activation=activation))
        if dropout:
            net.add(nn.Dropout(dropout))
        net.add(nn.Dense(len(facts["classes"])))
    return net


@component("model", task="image_classification")
def resnet_cifar(facts, *, blocks: Positive = 3, width: Positive = 16):
    """The CIFAR ResNet of 6 * blocks + 2 layers: 3 blocks is ResNet-20."""
    from .resnet import CifarResNet
    return CifarResNet(len(facts["classes"]), blocks, width, prefix="resnet_")
