"""The nets of memory.py in MXNet's API (`mx` is mxdl or MXNet 1.9.1), and their sizes."""
from __future__ import annotations

SHAPES = {"mlp": (2048, 256), "resnet50": (4, 3, 128, 128), "transformer": (4, 64, 128)}
DEPTH, UNITS = {"mlp": 48, "transformer": 12}, {"mlp": 256, "transformer": 128}


def gluon_net(mx, name):
    if name == "resnet50":
        return mx.gluon.model_zoo.vision.resnet50_v1(classes=10)
    net = mx.gluon.nn.HybridSequential()
    for _ in range(DEPTH[name]):
        net.add(mx.gluon.nn.Dense(UNITS[name], activation="tanh") if name == "mlp" else _encoder(mx, UNITS[name]))
    return net


def _encoder(mx, units):
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
