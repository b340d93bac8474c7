"""The two nets of the sublinear-memory result (Chen et al. 2016, memonger's examples), in Gluon, any depth."""
from __future__ import annotations

import mxdl as mx
from mxdl.gluon import nn, rnn

WIDTH = 64   # channels of the first stage's bottleneck


class ConvModule(nn.HybridSequential):
    """Convolution, batch normalization, leaky relu."""

    def __init__(self, channels: int, kernel: int, stride: int, in_channels: int):
        super().__init__()
        self.add(nn.Conv2D(channels, kernel, stride, kernel // 2, use_bias=False, in_channels=in_channels),
                 nn.BatchNorm(in_channels=channels), nn.LeakyReLU(0.25))


class Bottleneck(mx.gluon.HybridBlock):
    """x, or a 1x1 module of it, + three modules: 1x1, 3x3, 1x1 to four times the channels."""

    def __init__(self, channels: int, stride: int, in_channels: int, first: bool):
        super().__init__()
        self.body = nn.HybridSequential()
        self.body.add(ConvModule(channels, 1, 1, in_channels), ConvModule(channels, 3, stride, channels),
                      ConvModule(4 * channels, 1, 1, channels))
        self.shortcut = ConvModule(4 * channels, 1, stride, in_channels) if first else None

    def hybrid_forward(self, F, x):
        return self.body(x) + (x if self.shortcut is None else self.shortcut(x))


class ResNet(mx.gluon.HybridBlock):
    """Bottleneck blocks in stages of `layers` ([3, 128, 199, 3]: 1001 convolutions) and the cross entropy."""

    def __init__(self, layers: tuple[int, ...], classes: int = 1000):
        super().__init__()
        self.features = nn.HybridSequential()
        self.features.add(ConvModule(WIDTH, 7, 2, 3), nn.MaxPool2D(3, 2, 1))
        in_channels = WIDTH
        for stage, count in enumerate(layers):
            channels = WIDTH * 2 ** stage
            for block in range(count):
                stride = 2 if stage and not block else 1
                self.features.add(Bottleneck(channels, stride, in_channels, block == 0))
                in_channels = 4 * channels
        self.features.add(nn.GlobalAvgPool2D(), nn.Dense(classes, in_units=in_channels))
        self.loss = mx.gluon.loss.SoftmaxCrossEntropyLoss()

    def hybrid_forward(self, F, images, labels):
        return self.loss(self.features(images), labels)


class Lstm(mx.gluon.HybridBlock):
    """Layers of LSTM cells over tokens, unrolled; the last layer's state at each step is the logits of the next token.

    Nothing is kept for all steps at once: tokens are embedded, and losses added up, step by step.
    """

    def __init__(self, layers: int, hidden: int, steps: int):
        super().__init__()
        self.steps = steps
        self.embed = nn.Embedding(hidden, hidden)
        self.cells = rnn.HybridSequentialRNNCell()
        for _ in range(layers):
            self.cells.add(rnn.LSTMCell(hidden, input_size=hidden))
        self.loss = mx.gluon.loss.SoftmaxCrossEntropyLoss()

    def hybrid_forward(self, F, tokens, labels):   # each float[T, N]
        def at(x, t):
            return F.reshape(F.slice_axis(x, axis=0, begin=t, end=t + 1), shape=(-1,))
        states, total = None, 0
        for t in range(self.steps):
            x = self.embed(at(tokens, t))
            if states is None:
                zero = F.zeros_like(x)
                states = [zero] * len(self.cells.state_info())
                self.cells.reset()
            out, states = self.cells(x, states)
            total = total + self.loss(out, at(labels, t))
        return total
