"""The nets of memory.py in MXNet's API (`mx` is mxdl or MXNet 1.9.1), and their sizes: a step takes one to ten seconds,
the ResNet-50 is as large as people train it."""
from __future__ import annotations

#: of the input: images [N, C, H, W], sequences [N, T, C], for "lstm" [T, N, C], rows [N, C]
SHAPES = {"resnet50": (32, 3, 224, 224), "resnet200": (4, 3, 128, 128), "densenet121": (2, 3, 224, 224),
          "unet": (4, 3, 192, 192), "lstm": (24, 128, 256), "transformer": (4, 256, 256), "mlp": (2048, 256)}
DEPTH = {"mlp": 48, "transformer": 12, "lstm": 4}
UNITS = {"mlp": 256, "transformer": 256, "lstm": 256}
STAGES = {"resnet50": (3, 4, 6, 3), "resnet200": (3, 24, 36, 3)}   # bottleneck blocks
UNET_CHANNELS = (32, 64, 128, 256, 512)   # of each level, the finest first
CLASSES = 10


def gluon_net(mx, name):
    vision, net = mx.gluon.model_zoo.vision, mx.gluon.nn.HybridSequential()
    if name in STAGES:
        return vision.ResNetV1(vision.BottleneckV1, list(STAGES[name]), [64, 256, 512, 1024, 2048], classes=CLASSES)
    if name == "densenet121":
        return vision.densenet121(classes=CLASSES)
    if name in ("unet", "lstm"):
        return _unet(mx) if name == "unet" else _lstm(mx, UNITS[name])
    for _ in range(DEPTH[name]):
        net.add(mx.gluon.nn.Dense(UNITS[name], activation="tanh") if name == "mlp" else _encoder(mx, UNITS[name]))
    return net


def _encoder(mx, units):
    """Self-attention of one head, written out, and a feed-forward layer."""
    gluon = mx.gluon

    class Encoder(gluon.HybridBlock):
        def __init__(self, **kwargs):
            super().__init__(**kwargs)
            with self.name_scope():
                self.qkv = gluon.nn.Dense(3 * units, flatten=False, in_units=units)
                self.norm1, self.norm2 = (gluon.nn.LayerNorm(in_channels=units) for _ in range(2))
                self.up = gluon.nn.Dense(4 * units, flatten=False, activation="relu", in_units=units)
                self.down = gluon.nn.Dense(units, flatten=False, in_units=4 * units)

        def hybrid_forward(self, F, x):
            q, k, v = F.split(self.qkv(x), num_outputs=3, axis=2)
            x = self.norm1(x + F.batch_dot(F.softmax(F.batch_dot(q, k, transpose_b=True) * units ** -0.5), v))
            return self.norm2(x + self.down(self.up(x)))
    return Encoder()


def _unet(mx):
    """Ronneberger et al. with padding and BatchNorm: two convolutions a level, strided ones up, skips concatenated."""
    nn = mx.gluon.nn

    def double(channels):
        block = nn.HybridSequential()
        for _ in range(2):
            block.add(nn.Conv2D(channels, 3, padding=1, use_bias=False), nn.BatchNorm(), nn.Activation("relu"))
        return block

    class UNet(mx.gluon.HybridBlock):
        def __init__(self, **kwargs):
            super().__init__(**kwargs)
            with self.name_scope():
                self.down, self.up, self.joined = (nn.HybridSequential() for _ in range(3))
                for channels in UNET_CHANNELS:
                    self.down.add(double(channels))
                for channels in UNET_CHANNELS[-2::-1]:
                    self.up.add(nn.Conv2DTranspose(channels, 2, strides=2))
                    self.joined.add(double(channels))
                self.pool, self.head = nn.MaxPool2D(2, 2), nn.Conv2D(CLASSES, 1)

        def hybrid_forward(self, F, x):
            skips = []
            for level in self.down._children.values():
                x = level(self.pool(x) if skips else x)
                skips.append(x)
            skips.pop()
            for up, joined in zip(self.up._children.values(), self.joined._children.values(), strict=True):
                x = joined(F.concat(skips.pop(), up(x), dim=1))
            return self.head(x)
    return UNet()


def _lstm(mx, units):
    """Layers of LSTM cells, unrolled; the sum of the last layer's outputs."""
    rnn, steps = mx.gluon.rnn, SHAPES["lstm"][0]

    class Unrolled(mx.gluon.HybridBlock):
        def __init__(self, **kwargs):
            super().__init__(**kwargs)
            with self.name_scope():
                self.cells = rnn.HybridSequentialRNNCell()
                for _ in range(DEPTH["lstm"]):
                    self.cells.add(rnn.LSTMCell(units, input_size=units))

        def hybrid_forward(self, F, x):
            self.cells.reset()
            states = total = None
            for t in range(steps):
                now = F.reshape(F.slice_axis(x, axis=0, begin=t, end=t + 1), shape=(-3, 0))
                states = states or [F.zeros_like(now)] * (2 * DEPTH["lstm"])
                out, states = self.cells(now, states)
                total = out if total is None else total + out
            return total
    return Unrolled()
