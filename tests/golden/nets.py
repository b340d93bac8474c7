"""Ten reference nets, small but of every kind: each a symbol with its loss, and the types of its inputs."""
from __future__ import annotations

import mxdl as mx
from mxdl.gluon import nn, rnn
from mxdl.name import NameManager
from mxdl.types import TensorType


def sequence(*layers):
    net = nn.HybridSequential(prefix="net_")
    with net.name_scope():
        for layer in layers:
            net.add(layer())
    return net


def conv(channels, kernel=3, **kwargs):
    kwargs.setdefault("padding", kernel // 2)
    return lambda: nn.Conv2D(channels, kernel, use_bias=False, **kwargs)


class Residual(mx.gluon.HybridBlock):
    """x + body(x), then relu."""

    def __init__(self, *body, **kwargs):
        super().__init__(**kwargs)
        with self.name_scope():
            self.body = nn.HybridSequential()
            for layer in body:
                self.body.add(layer())

    def hybrid_forward(self, F, x):
        return F.Activation(x + self.body(x), act_type="relu")


class Dense(mx.gluon.HybridBlock):
    """A DenseNet unit: its input and what it adds, joined along the channels."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        with self.name_scope():
            self.norm, self.conv = nn.BatchNorm(), nn.Conv2D(4, 3, padding=1, use_bias=False)

    def hybrid_forward(self, F, x):
        return F.concat(x, self.conv(F.relu(self.norm(x))), dim=1)


class Attention(mx.gluon.HybridBlock):
    """Self-attention of one head with a residual connection and layer normalization."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        with self.name_scope():
            self.qkv, self.norm = nn.Dense(24, flatten=False), nn.LayerNorm()

    def hybrid_forward(self, F, x):
        q, k, v = F.split(self.qkv(x), num_outputs=3, axis=2)
        weights = F.softmax(F.batch_dot(q, k, transpose_b=True) * 8 ** -0.5)
        return self.norm(x + F.batch_dot(weights, v))


relu = lambda: nn.Activation("relu")     # noqa: E731
image = TensorType((2, 3, 8, 8))
row = TensorType((4, 12))
tokens = TensorType((2, 5))

NETS = {
    "mlp": (lambda: sequence(lambda: nn.Dense(8, activation="relu"), lambda: nn.Dropout(0.5), lambda: nn.Dense(3)),
            row),
    "lenet": (lambda: sequence(lambda: nn.Conv2D(4, 3, activation="tanh"), nn.MaxPool2D, lambda: nn.Dense(3)), image),
    "resnet": (lambda: sequence(conv(4), nn.BatchNorm, relu,
                                lambda: Residual(conv(4, 1), nn.BatchNorm, relu, conv(4), nn.BatchNorm),
                                nn.GlobalAvgPool2D, lambda: nn.Dense(3)), image),
    "mobilenet": (lambda: sequence(conv(6, 1), nn.BatchNorm, lambda: nn.HybridLambda(relu6),
                                   conv(6, 3, groups=6, strides=2), nn.BatchNorm, lambda: nn.Dense(3)), image),
    "densenet": (lambda: sequence(conv(4), Dense, Dense, nn.AvgPool2D, lambda: nn.Dense(3)), image),
    "autoencoder": (lambda: sequence(conv(4, strides=2), lambda: nn.LeakyReLU(0.1),
                                     lambda: nn.Conv2DTranspose(3, 2, strides=2), lambda: nn.Dense(3)), image),
    "lstm": (lambda: sequence(lambda: nn.Embedding(7, 4), lambda: rnn.LSTM(4, layout="NTC", input_size=4),
                              lambda: nn.Dense(3)), tokens),
    "transformer": (lambda: sequence(lambda: nn.Embedding(7, 8), Attention, lambda: nn.Dense(3)), tokens),
    "norms": (lambda: sequence(conv(4), nn.InstanceNorm, lambda: nn.GroupNorm(2), lambda: nn.PReLU(),
                               lambda: nn.Dense(3)), image),
    "classic": (None, row),
}


def relu6(F, x):
    return F.clip(x, 0, 6)


def classic():
    """As scripts of Module compose it, ending in the loss."""
    x = mx.sym.FullyConnected(mx.sym.var("data"), num_hidden=8, name="fc1")
    x = mx.sym.BatchNorm(mx.sym.Activation(x, act_type="sigmoid", name="act"), name="bn", fix_gamma=False)
    return mx.sym.SoftmaxOutput(mx.sym.FullyConnected(x, num_hidden=3, name="fc2"), name="softmax")


def symbols(name):
    """(the net, the net with its loss) as symbols, with the same names in every process."""
    make, _ = NETS[name]
    with NameManager():
        if make is None:
            return classic().get_internals()["fc2_output"], classic()
        net, loss = make(), mx.gluon.loss.SoftmaxCrossEntropyLoss(prefix="loss_")
        out = net(mx.sym.var("data"))
        return out, loss(out, mx.sym.var("label"))
