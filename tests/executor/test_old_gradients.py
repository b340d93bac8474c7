"""Gradients of an earlier step do not live beside the activations of the next backward pass."""
import numpy as np
import pytest

import mxdl as mx
from mxdl import autograd, gluon
from mxdl.autograd.hand_over import is_stand_in
from mxdl.executor.program import Program
from mxdl.gluon import nn


@pytest.fixture
def net():
    made = nn.Dense(5, in_units=3)
    made.initialize()
    made.hybridize()
    return made


def recorded(net):
    x = mx.nd.arange(6).reshape((2, 3))
    with autograd.record():
        return (net(x) ** 2).sum()


def watched(monkeypatch, net):
    """A list to which the running of each program adds whether the weight's gradient has memory then."""
    run, seen = Program.run, []

    def spy(program, *args):
        seen.append(not is_stand_in(net.weight.grad()._data))
        return run(program, *args)
    monkeypatch.setattr(Program, "run", spy)
    return seen


def test_they_are_freed_where_new_ones_will_be_written(monkeypatch, net):
    recorded(net).backward()
    first = net.weight.grad().asnumpy()
    seen = watched(monkeypatch, net)
    recorded(net).backward()
    assert seen == [True, False]   # there in the forward program, gone in the backward program
    np.testing.assert_array_equal(net.weight.grad().asnumpy(), first)


@pytest.mark.parametrize("keeping", ["a view is held", "they are added to", "gradients are returned"])
def test_they_stay_where_somebody_needs_them(monkeypatch, net, keeping):
    recorded(net).backward()
    first = net.weight.grad().asnumpy().copy()
    view = net.weight.grad()[1:3] if keeping == "a view is held" else None
    if keeping == "they are added to":
        net.collect_params().setattr("grad_req", "add")
        net.collect_params().zero_grad()
    seen = watched(monkeypatch, net)
    loss = recorded(net)
    if keeping == "gradients are returned":
        found = autograd.grad(loss, [net.weight.data()])[0]
        np.testing.assert_array_equal(found.asnumpy(), first)
    else:
        loss.backward()
    assert seen == [True, True]
    np.testing.assert_array_equal(net.weight.grad().asnumpy(), first)
    if view is not None:
        np.testing.assert_array_equal(view.asnumpy(), first[1:3])


def test_a_block_called_twice_sums_and_a_used_loss_leaves_no_old_gradient(net):
    with autograd.record():
        loss = (net(mx.nd.ones((2, 3))) + net(mx.nd.ones((2, 3)) * 2)).sum()
    loss.backward()
    loss_of_twice = net.weight.grad().asnumpy()
    np.testing.assert_array_equal(loss_of_twice, np.full((5, 3), 6.0))
    trainer = gluon.Trainer(net.collect_params(), "sgd")
    trainer.step(1)
    recorded(net).backward()
    trainer.step(1)


def test_zeroed_gradients_take_no_memory():
    param = gluon.Parameter("w", shape=(1 << 16,))
    param.initialize()
    with autograd.record():
        y = (param.data() * 3).sum()
    y.backward()
    held = param.grad()
    before = held._data.data_ptr()
    param.zero_grad()
    assert held is param.grad() and held._data.data_ptr() != before   # other pages, which come when they are written
    assert not held.asnumpy().any()
    view = param.grad()[0:4]
    view[:] = 7
    param.zero_grad()
    assert not view.asnumpy().any() and not param.grad().asnumpy().any()
