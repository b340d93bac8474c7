"""The benchmarks' nets in MXNet's API: the same text runs on mxdl and on MXNet 1.9.1 (`mx` is either)."""
from __future__ import annotations

import cases
import numpy as np


def mlp(mx, case):
    nn = mx.gluon.nn
    net = nn.HybridSequential()
    for _ in range(3):
        net.add(nn.Dense(512, activation="relu"))
    net.add(nn.Dense(case.classes))
    return net


def lenet(mx, case):
    nn = mx.gluon.nn
    net = nn.HybridSequential()
    net.add(nn.Conv2D(20, 5, activation="relu"), nn.MaxPool2D(2, 2), nn.Conv2D(50, 5, activation="relu"),
            nn.MaxPool2D(2, 2), nn.Dense(500, activation="relu"), nn.Dense(case.classes))
    return net


def resnet20(mx, case):
    """He et al.'s CIFAR ResNet: three stages of three basic blocks, 16, 32 and 64 channels."""
    nn = mx.gluon.nn

    class Block(mx.gluon.HybridBlock):
        def __init__(self, channels, stride, downsample, **kwargs):
            super().__init__(**kwargs)
            with self.name_scope():
                self.body = nn.HybridSequential()
                self.body.add(nn.Conv2D(channels, 3, stride, 1, use_bias=False), nn.BatchNorm(),
                              nn.Activation("relu"), nn.Conv2D(channels, 3, 1, 1, use_bias=False), nn.BatchNorm())
                self.shortcut = None
                if downsample:
                    self.shortcut = nn.HybridSequential()
                    self.shortcut.add(nn.Conv2D(channels, 1, stride, use_bias=False), nn.BatchNorm())

        def hybrid_forward(self, F, x):
            skip = x if self.shortcut is None else self.shortcut(x)
            return F.Activation(self.body(x) + skip, act_type="relu")

    net = nn.HybridSequential()
    net.add(nn.Conv2D(16, 3, 1, 1, use_bias=False), nn.BatchNorm(), nn.Activation("relu"))
    for stage, channels in enumerate((16, 32, 64)):
        for i in range(3):
            first = stage > 0 and i == 0
            net.add(Block(channels, 2 if first else 1, first))
    net.add(nn.GlobalAvgPool2D(), nn.Dense(case.classes))
    return net


def resnet50(mx, case):
    return mx.gluon.model_zoo.vision.resnet50_v1(classes=case.classes)


def lstm(mx, case):
    """Language model: embedding, two LSTM layers, a dense layer a token."""
    gluon = mx.gluon

    class Model(gluon.HybridBlock):
        def __init__(self, **kwargs):
            super().__init__(**kwargs)
            with self.name_scope():
                self.embed = gluon.nn.Embedding(case.tokens, cases.LSTM_UNITS)
                self.rnn = gluon.rnn.LSTM(cases.LSTM_UNITS, cases.LSTM_LAYERS, layout="NTC",
                                          input_size=cases.LSTM_UNITS)
                self.decoder = gluon.nn.Dense(case.classes, flatten=False, in_units=cases.LSTM_UNITS)

        def hybrid_forward(self, F, tokens):
            return self.decoder(self.rnn(self.embed(tokens)))

    return Model()


def transformer(mx, case):
    """Post-norm encoder: embedding with learnt positions, self-attention and feed-forward layers, a dense layer."""
    nn = mx.gluon.nn
    length, units, heads = case.shape[0], cases.UNITS, cases.HEADS

    class Layer(mx.gluon.HybridBlock):
        def __init__(self, **kwargs):
            super().__init__(**kwargs)
            with self.name_scope():
                self.qkv = nn.Dense(3 * units, flatten=False, in_units=units)
                self.out = nn.Dense(units, flatten=False, in_units=units)
                self.norm1 = nn.LayerNorm(in_channels=units)
                self.ffn1 = nn.Dense(cases.HIDDEN, activation="relu", flatten=False, in_units=units)
                self.ffn2 = nn.Dense(units, flatten=False, in_units=cases.HIDDEN)
                self.norm2 = nn.LayerNorm(in_channels=units)

        def hybrid_forward(self, F, x):  # x: [N, T, C]
            def split(y):  # [N, T, C] -> [N * heads, T, C / heads]
                y = F.transpose(F.reshape(y, shape=(0, 0, heads, -1)), axes=(0, 2, 1, 3))
                return F.reshape(y, shape=(-1, length, units // heads))

            q, k, v = (split(y) for y in F.split(self.qkv(x), num_outputs=3, axis=2))
            weights = F.softmax(F.batch_dot(q, k, transpose_b=True) * (units // heads) ** -0.5, axis=-1)
            y = F.reshape(F.batch_dot(weights, v), shape=(-1, heads, length, units // heads))
            y = F.reshape(F.transpose(y, axes=(0, 2, 1, 3)), shape=(0, 0, -1))
            x = self.norm1(x + self.out(y))
            return self.norm2(x + self.ffn2(self.ffn1(x)))

    class Model(mx.gluon.HybridBlock):
        def __init__(self, **kwargs):
            super().__init__(**kwargs)
            with self.name_scope():
                self.embed = nn.Embedding(case.tokens, units)
                self.position = self.params.get("position", shape=(1, length, units), init=mx.init.Normal(0.02))
                self.layers = nn.HybridSequential()
                for _ in range(cases.ENCODER_LAYERS):
                    self.layers.add(Layer())
                self.decoder = nn.Dense(case.classes, flatten=False, in_units=units)

        def hybrid_forward(self, F, tokens, position):
            return self.decoder(self.layers(F.broadcast_add(self.embed(tokens), position)))

    return Model()


NETS = {"mlp": mlp, "lenet": lenet, "resnet20": resnet20, "resnet50": resnet50, "lstm": lstm,
        "transformer": transformer}


def batch(mx, case):
    """(inputs, labels) with the same numbers for every peer."""
    rng = np.random.RandomState(0)
    if case.tokens:
        x = rng.randint(0, case.tokens, (case.batch, *case.shape)).astype("float32")
        y = rng.randint(0, case.classes, x.shape).astype("float32")
    else:
        x = rng.uniform(-1, 1, (case.batch, *case.shape)).astype("float32")
        y = rng.randint(0, case.classes, case.batch).astype("float32")
    return mx.nd.array(x), mx.nd.array(y)


def training_step(mx, name: str, **backend):
    """(function that trains one step and waits for it, function that tells); `backend` goes to hybridize."""
    case = cases.CASES[name]
    net, loss = NETS[name](mx, case), mx.gluon.loss.SoftmaxCrossEntropyLoss()
    net.initialize(mx.init.Xavier())
    net.hybridize(static_alloc=True, static_shape=True, **backend)
    loss.hybridize(static_alloc=True, static_shape=True)
    trainer = mx.gluon.Trainer(net.collect_params(), "sgd", {"learning_rate": 1e-3, "momentum": 0.9}, kvstore=None)
    x, y = batch(mx, case)

    def step():
        with mx.autograd.record():
            out = loss(net(x), y)
        out.backward()
        trainer.step(case.batch)
        mx.nd.waitall()

    def tell():
        trained = [p for p in net.collect_params().values() if p.grad_req != "null"]
        return {"parameters": int(sum(np.prod(p.shape) for p in trained))}

    return step, tell
