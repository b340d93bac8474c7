"""Trainer: learning, stores and contexts, stale gradients, states."""
import numpy as np
import pytest

import mxdl as mx
from mxdl import autograd, gluon, nd
from mxdl.gluon import nn

XOR = np.float32([[0, 0], [0, 1], [1, 0], [1, 1]])
ANSWERS = np.float32([0, 1, 1, 0])


def dense(ctx=None):
    net = nn.Dense(1, in_units=2)
    net.initialize(mx.init.One(), ctx=ctx)
    return net


def backward(net, *arrays):
    with autograd.record():
        outs = [(net(x) ** 2).sum() for x in arrays]
    for out in outs:
        out.backward()


@pytest.mark.parametrize("hybridize", [False, True])
def test_it_learns_xor(hybridize):
    mx.random.seed(5)
    net = nn.HybridSequential()
    net.add(nn.Dense(8, activation="tanh"), nn.Dense(1))
    net.initialize(mx.init.Xavier(magnitude=2))
    if hybridize:
        net.hybridize()
    trainer = gluon.Trainer(net.collect_params(), "adam", {"learning_rate": 0.1})
    bce = gluon.loss.SigmoidBCELoss()
    x, y = nd.array(XOR), nd.array(ANSWERS)
    for _ in range(100):
        with autograd.record():
            loss = bce(net(x), y)
        loss.backward()
        trainer.step(4)
    assert ((net(x).asnumpy().reshape(-1) > 0) == ANSWERS).all() and loss.mean().asscalar() < 0.05


def test_a_step_divides_by_the_batch_size():
    net = dense()
    trainer = gluon.Trainer(net.collect_params(), "sgd", {"learning_rate": 0.5})
    backward(net, nd.array([[1., 2.], [0., 1.]]))   # outputs 3 and 1: gradient 2 * (3 * [1, 2] + 1 * [0, 1])
    trainer.step(2)
    np.testing.assert_allclose(net.weight.data().asnumpy(), [[1 - 0.5 * 6 / 2, 1 - 0.5 * 14 / 2]])
    np.testing.assert_allclose(net.bias.data().asnumpy(), [0 - 0.5 * 8 / 2])


@pytest.mark.parametrize("kvstore", ["device", "local"])
@pytest.mark.parametrize("on_store", [None, True, False])
def test_two_contexts_are_one_batch(kvstore, on_store):
    contexts = [mx.cpu(0), mx.cpu(1)]
    options = {"learning_rate": 0.1, "momentum": 0.9, "wd": 0.01}
    one, two = dense(), dense(contexts)
    single = gluon.Trainer(one.collect_params(), "sgd", options)
    double = gluon.Trainer(two.collect_params(), "sgd", options, kvstore=kvstore, update_on_kvstore=on_store)
    x = nd.array(XOR)
    for _ in range(3):
        backward(one, x)
        backward(two, *gluon.utils.split_and_load(x, contexts))
        single.step(4)
        double.step(4)
        for ctx in contexts:
            np.testing.assert_allclose(two.weight.data(ctx).asnumpy(), one.weight.data().asnumpy(), rtol=1e-6)


def test_a_parameter_set_by_hand_replaces_the_stores():
    contexts = [mx.cpu(0), mx.cpu(1)]
    net = dense(contexts)
    trainer = gluon.Trainer(net.collect_params(), "sgd", {"learning_rate": 0.1})
    x = gluon.utils.split_and_load(nd.array(XOR), contexts)
    backward(net, *x)
    trainer.step(4)
    net.weight.set_data(nd.zeros((1, 2)))
    net.bias.set_data(nd.zeros((1,)))
    backward(net, *x)
    trainer.step(4)
    assert net.weight.data(contexts[1]).asnumpy().tolist() == [[0, 0]]


def test_reducing_and_updating_apart():
    contexts = [mx.cpu(0), mx.cpu(1)]
    net = dense(contexts)
    trainer = gluon.Trainer(net.collect_params(), "sgd", {"learning_rate": 1.0}, update_on_kvstore=False)
    backward(net, *gluon.utils.split_and_load(nd.array(XOR), contexts))
    trainer.allreduce_grads()
    for grad in net.weight.list_grad():
        assert grad.asnumpy().tolist() == [[6, 6]]
        grad[:] = 1
    trainer.update(1)
    assert net.weight.data(contexts[1]).asnumpy().tolist() == [[0, 0]]
    on_store = gluon.Trainer(net.collect_params(), "sgd", update_on_kvstore=True)
    for call in (on_store.allreduce_grads, lambda: on_store.update(1)):
        with pytest.raises(AssertionError, match="got update_on_kvstore=True"):
            call()


def test_stale_gradients_are_an_error_or_ignored():
    used, unused = dense(), dense()
    params = [*used.collect_params().values(), *unused.collect_params().values()]
    trainer = gluon.Trainer(params, "sgd", {"learning_rate": 0.1})
    backward(used, nd.array(XOR))
    with pytest.raises(UserWarning, match=unused.weight.name):
        trainer.step(1)
    before = unused.weight.data().asnumpy()
    trainer.step(1, ignore_stale_grad=True)
    np.testing.assert_array_equal(unused.weight.data().asnumpy(), before)
    changed = used.weight.data().asnumpy()
    trainer.step(1, ignore_stale_grad=True)
    np.testing.assert_array_equal(used.weight.data().asnumpy(), changed, "a gradient is used once")


@pytest.mark.parametrize("contexts", [[mx.cpu()], [mx.cpu(0), mx.cpu(1)]])
def test_states_resume_exactly(contexts, tmp_path):
    file = str(tmp_path / "t.states")
    x = gluon.utils.split_and_load(nd.array(XOR), contexts)

    def train(net, trainer, steps):
        for _ in range(steps):
            backward(net, *x)
            trainer.step(4)
        return net.weight.data(contexts[0]).asnumpy()

    def build():
        net = dense(contexts)
        return net, gluon.Trainer(net.collect_params(), "adam", {"learning_rate": 0.01})
    whole = train(*build(), 5)
    net, trainer = build()
    half = train(net, trainer, 3)
    trainer.save_states(file)
    resumed, resumed_trainer = build()
    for ours, theirs in zip(resumed.collect_params().values(), net.collect_params().values(), strict=True):
        ours.set_data(theirs.data(contexts[0]))
    resumed_trainer.load_states(file)
    np.testing.assert_array_equal(train(resumed, resumed_trainer, 2), whole)
    assert (half != whole).any()


def test_learning_rate_and_multipliers():
    net = dense()
    net.bias.lr_mult = 0
    trainer = gluon.Trainer(net.collect_params(), "sgd", {"learning_rate": 0.5})
    assert trainer.learning_rate == 0.5
    trainer.set_learning_rate(0.1)
    assert trainer.learning_rate == trainer.optimizer.learning_rate == 0.1
    backward(net, nd.array([[1., 1.]]))
    trainer.step(1)
    np.testing.assert_allclose(net.weight.data().asnumpy(), [[0.6, 0.6]], rtol=1e-6)
    assert net.bias.data().asscalar() == 0


def test_frozen_parameters_stay():
    net = dense()
    net.bias.grad_req = "null"
    trainer = gluon.Trainer(net.collect_params(), "sgd", {"learning_rate": 0.5})
    backward(net, nd.array([[1., 1.]]))
    trainer.step(1)
    assert net.bias.data().asscalar() == 0 and net.weight.data().asnumpy().tolist() == [[-1, -1]]


def test_wrong_arguments():
    with pytest.raises(ValueError, match="in a list or by name; got"):
        gluon.Trainer(3, "sgd")
    with pytest.raises(ValueError, match="got an object of type int"):
        gluon.Trainer([1], "sgd")
    with pytest.raises(AssertionError, match="brings its settings along; got optimizer_params="):
        gluon.Trainer(dense().collect_params(), mx.optimizer.SGD(), {"learning_rate": 1})
    with pytest.raises(ValueError, match="update_on_kvstore=True needs a kvstore"):
        net = dense()
        backward(net, nd.array(XOR))
        gluon.Trainer(net.collect_params(), "sgd", update_on_kvstore=True).step(1)
    mixed = [*dense([mx.cpu(0)]).collect_params().values(), *dense([mx.cpu(1)]).collect_params().values()]
    with pytest.raises(AssertionError, match="live on different contexts"):
        gluon.Trainer(mixed, "sgd").step(1)
