"""hybridize(fold=True): batch norm inside the convolution before it, computed once for each state of the parameters."""
import numpy as np
import pytest
import torch

import mxdl as mx
from mxdl import autograd
from mxdl.executor.program import Program
from mxdl.passes.layout import channels_last_parameters

nn = mx.gluon.nn


@pytest.fixture
def net():
    net = nn.HybridSequential()
    net.add(nn.Conv2D(6, 3, padding=1, use_bias=False), nn.BatchNorm(), nn.Activation("relu"),
            nn.Conv2D(4, 1), nn.BatchNorm(scale=False), nn.Flatten(), nn.Dense(5))
    net.initialize(mx.init.Xavier())
    with autograd.record():     # running statistics other than 0 and 1
        net(images())
    return net


def images():
    return mx.nd.array(np.random.default_rng(0).normal(size=(2, 3, 8, 8)))


def predicting_program(net):
    runners = next(iter(net._compiled.values())).run._runners
    return next(runner.forward for runner in runners.values() if runner.backward is None)


def check(net):
    """The folded net computes what the net as it is written does; returns the output."""
    net.hybridize(False)
    expected = net(images()).asnumpy()
    net.hybridize(fold=True)
    np.testing.assert_allclose(net(images()).asnumpy(), expected, rtol=1e-4, atol=1e-5)
    return expected


def test_folding_leaves_no_batch_norm_and_the_values(net):
    check(net)
    operators = [step.node.op.name for step in predicting_program(net).steps]
    assert operators == ["Convolution", "Activation", "Convolution", "Flatten", "FullyConnected"]


def test_it_is_not_the_default(net):
    net.hybridize()
    net(images())
    assert "BatchNorm" in [step.node.op.name for step in predicting_program(net).steps]


def runs_of(program):
    """Counts how often the folded parameters are computed."""
    count = []
    inner = program._prepare

    class Counting:
        def run(self, tensors):
            count.append(1)
            return inner.run(tensors)
    program._prepare = Counting()
    return count


CHANGES = {
    "set_data": lambda p: p.set_data(p.data() * 2 + 1),
    "slice": lambda p: p.data().__setitem__(slice(None), 3.0),
    "in place": lambda p: p.data().__iadd__(1),
    "out": lambda p: mx.nd.elemwise_add(p.data(), p.data() + 1, out=p.data()),
    "cast and back": lambda p: (p.cast("float64"), p.cast("float32"), p.set_data(p.data() + 1)),
}


@pytest.mark.parametrize("change", CHANGES, ids=str)
@pytest.mark.parametrize("name", ["gamma", "running_mean", "weight"])
def test_a_changed_parameter_is_noticed(net, change, name):
    net.hybridize(fold=True)
    before = net(images()).asnumpy()
    parameter = next(p for key, p in net.collect_params().items() if key.endswith(name))
    CHANGES[change](parameter)
    after = net(images()).asnumpy()
    assert np.abs(after - before).max() > 1e-3
    net.hybridize(False)
    np.testing.assert_allclose(after, net(images()).asnumpy(), rtol=1e-4, atol=1e-5)


def test_parameters_are_folded_once_until_a_training_step_changes_them(net):
    trainer = mx.gluon.Trainer(net.collect_params(), "sgd", {"learning_rate": 0.1})
    net.hybridize(fold=True)
    net(images())
    count = runs_of(predicting_program(net))
    for _ in range(3):
        net(images())
    assert len(count) == 0
    with autograd.record():
        loss = (net(images()) ** 2).sum()
    loss.backward()
    trainer.step(2)
    after = [net(images()).asnumpy() for _ in range(2)]
    assert len(count) == 1
    np.testing.assert_array_equal(*after)
    net.hybridize(False)
    np.testing.assert_allclose(after[0], net(images()).asnumpy(), rtol=1e-4, atol=1e-5)


def test_training_and_gradients_in_predict_mode_do_not_fold(net):
    def gradients():
        with autograd.record(train_mode=False):
            out = net(images())
        out.backward()
        return [out.asnumpy(), *(p.grad().asnumpy() for p in net.collect_params().values() if p.grad_req != "null")]
    expected = gradients()
    net.hybridize(fold=True)
    for a, b in zip(gradients(), expected, strict=True):
        np.testing.assert_array_equal(a, b)


def test_the_layout_pass_names_filters_and_the_call_stores_them_so(net):
    net.hybridize()
    expected = net(images()).asnumpy()
    trace = next(iter(net._compiled.values())).trace
    stored = [node.name for node in channels_last_parameters(trace.graph)]
    weights = [p for p in net.collect_params().values() if p.name in stored and p.data().ndim == 4]
    assert len(weights) == 2
    assert all(p.data()._data.is_contiguous(memory_format=torch.channels_last) for p in weights)
    assert isinstance(predicting_program(net), Program)
    np.testing.assert_array_equal(net(images()).asnumpy(), expected)
