"""Trainer.backward_and_step: the bits of backward() and step(), in less memory."""
import numpy as np
import pytest

import mxdl as mx
from mxdl import autograd, gluon, nd, optimizer
from mxdl.errors import MXNetError
from mxdl.executor.memory import track
from mxdl.gluon import nn

WIDTH, DEPTH = 64, 6
#: SGLD draws noise in the order of the updates, which is another one here; GroupAdaGrad takes no biases
SAME_IN_ANY_ORDER = sorted(set(optimizer.Optimizer.opt_registry) - {"sgld", "groupadagrad"})


def chain(hybridize, ctx=None, mirror=False):
    mx.random.seed(3)
    net = nn.HybridSequential()
    for _ in range(DEPTH):
        net.add(nn.Dense(WIDTH, activation="tanh", in_units=WIDTH))
    net.initialize(mx.init.Xavier(), ctx=ctx)
    if hybridize:
        net.hybridize(mirror=mirror)
    return net


class Recurrent(gluon.HybridBlock):
    """One weight used at each of five steps, by a product whose two gradients are separate steps of the program."""

    def __init__(self):
        super().__init__()
        self.weight = self.params.get("weight", shape=(WIDTH, WIDTH), init=mx.init.Normal(0.1))

    def hybrid_forward(self, F, x, weight):
        for _ in range(5):
            x = F.tanh(F.dot(x, weight))
        return x


def values(net):
    return [p.data(ctx).asnumpy() for p in net.collect_params().values() for ctx in p.list_ctx()]


def train(net, handing_over, *, loss=lambda out: (out ** 2).sum(), optimizer="sgd", options=None, contexts=None,
          steps=3, **kwargs):
    trainer = gluon.Trainer(net.collect_params(), optimizer, options or {}, **kwargs)
    contexts = contexts or [mx.cpu()]
    for step in range(steps):
        mx.random.seed(step)
        x = nd.random.uniform(-1, 1, shape=(8, WIDTH))
        parts = gluon.utils.split_and_load(x, contexts)
        with autograd.record():
            losses = [loss(net(part)) for part in parts]
        if handing_over:
            trainer.backward_and_step(losses, 8)
        else:
            autograd.backward(losses)
            trainer.step(8)
    return values(net)


def assert_same(make, **how):
    mine, plain = train(make(), True, **how), train(make(), False, **how)
    start = values(make())
    assert not all(np.array_equal(a, b) for a, b in zip(start, plain, strict=True))
    for a, b in zip(mine, plain, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("hybridize", [False, True], ids=["eager", "hybridized"])
@pytest.mark.parametrize("name", SAME_IN_ANY_ORDER)
def test_same_bits_with_every_optimizer(name, hybridize):
    assert_same(lambda: chain(hybridize), optimizer=name, options={"wd": 0.01} if name != "test" else {})


def test_every_optimizer_was_tried():
    assert len(SAME_IN_ANY_ORDER) >= 18


@pytest.mark.parametrize("options", [{"momentum": 0.9, "learning_rate": 0.1}, {"clip_gradient": 0.01}], ids=str)
@pytest.mark.parametrize("mirror", [False, True, "sqrt"])
def test_same_bits_with_mirroring(mirror, options):
    assert_same(lambda: chain(True, mirror=mirror), options=options)


@pytest.mark.parametrize("store", [{"kvstore": "device"}, {"kvstore": "local"},
                                   {"kvstore": "device", "update_on_kvstore": False}], ids=str)
def test_same_bits_on_two_contexts(store):
    contexts = [mx.cpu(0), mx.cpu(1)]
    assert_same(lambda: chain(True, contexts), contexts=contexts, options={"momentum": 0.9}, **store)


def recurrent():
    mx.random.seed(4)
    net = Recurrent()
    net.initialize()
    net.hybridize()
    return net


def test_a_weight_is_overwritten_after_its_last_reader():
    assert_same(recurrent, options={"learning_rate": 0.5})


def test_a_weight_that_is_used_outside_too_waits_for_its_whole_gradient():
    made = []

    def make():
        made.append(recurrent())
        return made[-1]

    def loss(out):
        weight = made[-1].weight.data()
        return (out ** 2).sum() + (weight ** 2).sum() + made[-1](out).sum()
    mine = train(make(), True, loss=loss)
    for a, b in zip(mine, train(make(), False, loss=loss), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("hybridize", [False, True], ids=["eager", "hybridized"])
def test_no_two_gradients_live_at_once(hybridize):
    def peak(handing_over):
        net = chain(hybridize)
        train(net, handing_over, steps=1)   # the momenta are there, the programs are made
        trainer = gluon.Trainer(net.collect_params(), "sgd", {"momentum": 0.9})
        with track() as usage:
            with autograd.record():
                loss = (net(nd.ones((1, WIDTH))) ** 2).sum()
            if handing_over:
                trainer.backward_and_step(loss, 1)
            else:
                loss.backward()
                trainer.step(1)
        return usage.peak
    weight = 4 * WIDTH * WIDTH
    momenta = DEPTH * (weight + 4 * WIDTH)   # the new trainer's
    assert peak(False) > momenta + DEPTH * weight
    assert peak(True) < momenta + 2.5 * weight


def test_gradients_are_nan_afterwards_and_come_back():
    net = chain(True)
    train(net, True, steps=1)
    weight = net[0].weight
    assert np.isnan(weight.grad().asnumpy()).all() and weight.grad().shape == (WIDTH, WIDTH)
    weight.zero_grad()
    assert not weight.grad().asnumpy().any()
    train(net, True, steps=1)
    with autograd.record():
        loss = net(nd.ones((2, WIDTH))).sum()
    loss.backward()
    assert np.isfinite(weight.grad().asnumpy()).all() and weight.grad().asnumpy().any()


def test_what_cannot_be_handed_over_says_so():
    net = chain(True)
    net[2].weight.grad_req = "add"
    with pytest.raises(MXNetError, match="backward_and_step: gradients that add up.*grad_req='add' for .*weight"):
        train(net, True)

    class Mine(gluon.Trainer):
        def _update(self, ignore_stale_grad=False):
            super()._update(ignore_stale_grad)
    net = chain(True)
    with autograd.record():
        loss = net(nd.ones((2, WIDTH))).sum()
    with pytest.raises(MXNetError, match="got Mine with _update"):
        Mine(net.collect_params(), "sgd").backward_and_step(loss, 1)


def test_a_parameter_that_is_not_reached_stops_the_step_before_anything_changes():
    net, other = chain(True), nn.Dense(2, in_units=2)
    other.initialize()
    before = values(net)
    trainer = gluon.Trainer([*net.collect_params().values(), *other.collect_params().values()], "sgd")
    with autograd.record():
        loss = net(nd.ones((2, WIDTH))).sum()
    with pytest.raises(UserWarning, match="no backward\\(\\) reached Parameter 'dense"):
        trainer.backward_and_step(loss, 1)
    assert all(np.array_equal(a, b) for a, b in zip(before, values(net), strict=True))
    trainer.backward_and_step(loss, 1, ignore_stale_grad=True)
    assert not np.array_equal(before[0], values(net)[0])
