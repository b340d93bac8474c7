"""Batches of a toy classification task, described as MXNet's iterators describe theirs."""
from __future__ import annotations

from types import SimpleNamespace

import numpy as np

import mxdl as mx


class Batches:
    """Iterates over (data, label) in batches; the last one is padded with the first rows, as NDArrayIter does."""

    def __init__(self, data, label, batch_size, data_name="data", label_name="softmax_label"):
        self.data, self.label, self.size = data, label, batch_size
        self.provide_data = [(data_name, (batch_size, *data.shape[1:]))]
        self.provide_label = [(label_name, (batch_size, *label.shape[1:]))]
        self.resets = 0

    def reset(self):
        self.resets += 1

    def __iter__(self):
        for start in range(0, len(self.data), self.size):
            rows = np.arange(start, start + self.size) % len(self.data)
            yield SimpleNamespace(data=[mx.nd.array(self.data[rows])], label=[mx.nd.array(self.label[rows])],
                                  pad=max(0, start + self.size - len(self.data)), provide_data=self.provide_data,
                                  provide_label=self.provide_label)


@mx.init.register
class Waves(mx.init.Initializer):
    """Weights that look random and are the same at every call: sin(1), sin(2), ..."""

    def _init_weight(self, name, arr):
        arr[:] = np.sin(np.arange(1, arr.size + 1)).reshape(arr.shape) * 0.5


def blobs(rows=240, features=8, classes=3, seed=0):
    """(data, label): one Gaussian blob a class, far apart."""
    rng = np.random.default_rng(seed)
    label = np.arange(rows) % classes
    centres = rng.normal(size=(classes, features)) * 4
    return (centres[label] + rng.normal(size=(rows, features))).astype("float32"), label.astype("float32")


def classifier(classes=3, hidden=16, normalization="null"):
    """A small multilayer perceptron that ends in SoftmaxOutput."""
    net = mx.sym.FullyConnected(mx.sym.var("data"), num_hidden=hidden, name="fc1")
    net = mx.sym.Activation(net, act_type="relu", name="relu1")
    net = mx.sym.FullyConnected(net, num_hidden=classes, name="fc2")
    return mx.sym.SoftmaxOutput(net, name="softmax", normalization=normalization)
