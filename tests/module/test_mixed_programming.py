"""The source talk's listing: a symbol is bound once, and the training loop is plain Python over its arrays.

Imperative code with the tape and the bound symbol compute the same numbers.
"""
import numpy as np
import pytest

import mxdl as mx
from mxdl import public_data
from tests.module.batches import Batches, blobs

RATE = 0.2


def cross_entropy(probabilities, label):
    rows = np.arange(len(label))
    return -np.log(probabilities.asnumpy()[rows, label.asnumpy().astype(int)] + 1e-12).mean()


def listing(train_data, losses, hidden=128):
    net = mx.symbol.Variable('data')
    net = mx.symbol.FullyConnected(data=net, num_hidden=hidden)
    net = mx.symbol.SoftmaxOutput(data=net, normalization='batch')
    exec = mx.module.Module(net)
    for batch in train_data:
        exec.forward(batch)
        losses.append(cross_entropy(exec.get_outputs()[0], batch.label[0]))
        exec.backward()
        for param, grad in zip(exec.get_params(), exec.get_grads()):  # noqa: B905 - the listing, as it was shown
            param -= 0.2 * grad
    return exec


def imperative(train_data, weight, bias):
    losses = []
    for array in (weight, bias):
        array.attach_grad()
    for batch in train_data:
        with mx.autograd.record():
            scores = mx.nd.FullyConnected(batch.data[0], weight, bias, num_hidden=weight.shape[0])
            out = mx.nd.SoftmaxOutput(scores, batch.label[0], normalization='batch')
        losses.append(cross_entropy(out, batch.label[0]))
        out.backward()
        for array in (weight, bias):
            array -= RATE * array.grad
    return losses


def test_imperative_and_symbolic_losses_agree_over_200_steps():
    data, label = blobs(rows=200 * 20, classes=10)
    batches = list(Batches(data, label, 20, label_name="softmaxoutput0_label"))
    assert len(batches) == 200
    mx.random.seed(7)
    weight, bias = mx.nd.zeros((10, 8)), mx.nd.zeros((10,))
    mx.init.Uniform(0.01)("fullyconnected0_weight", weight)
    expected = imperative(batches, weight, bias)
    mx.random.seed(7)
    losses = []
    with mx.name.NameManager():
        module = listing(batches, losses, hidden=10)
    np.testing.assert_allclose(losses, expected, atol=1e-6)
    assert losses[-1] < 0.1 * losses[0]
    arguments, _ = module.get_params()
    np.testing.assert_allclose(arguments["fullyconnected0_weight"].asnumpy(), weight.asnumpy(), atol=1e-6)
    np.testing.assert_allclose(arguments["fullyconnected0_bias"].asnumpy(), bias.asnumpy(), atol=1e-6)


@pytest.mark.slow
def test_a_perceptron_learns_mnist_in_three_epochs():
    paths = [public_data.local("mnist", remote.name) for remote in public_data.MNIST]
    if None in paths:
        pytest.skip("MXDL_DATA/mnist is not there")
    images, labels, test_images, test_labels = map(public_data.read_idx, paths)
    train = Batches(images.reshape(-1, 784).astype("float32") / 255, labels.astype("float32"), 32)
    net = mx.sym.Activation(mx.sym.FullyConnected(mx.sym.var("data"), num_hidden=128, name="fc1"), act_type="relu")
    net = mx.sym.FullyConnected(net, num_hidden=10, name="fc2")
    exec = mx.mod.Module(mx.sym.SoftmaxOutput(net, name="softmax", normalization="batch"))
    exec.bind(train.provide_data, train.provide_label)
    exec.init_params(mx.init.Xavier())
    for _ in range(3):
        for batch in train:
            exec.forward_backward(batch)
            for param, grad in zip(exec.get_params(), exec.get_grads(), strict=True):
                param -= RATE * grad
    held_out = Batches(test_images.reshape(-1, 784).astype("float32") / 255, test_labels.astype("float32"), 100)
    assert dict(exec.score(held_out, "acc"))["accuracy"] >= 0.97
