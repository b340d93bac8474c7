"""A loss that is kept after backward holds no graph, and still says that it was differentiated."""
import pytest
import torch

import mxdl as mx
from mxdl import autograd
from mxdl.errors import MXNetError


def loss_of(hybrid: bool):
    net = mx.gluon.nn.Dense(3, in_units=2)
    net.initialize()
    net.hybridize(hybrid)
    with autograd.record():
        loss = (net(mx.nd.ones((4, 2))) ** 2).sum()
    return net, loss


@pytest.mark.parametrize("hybrid", [False, True])
def test_backward_takes_its_heads_out_of_the_used_graph(hybrid):
    net, loss = loss_of(hybrid)
    assert loss._data.grad_fn is not None
    value = loss.asnumpy()
    loss.backward()
    assert loss._data.grad_fn is None
    assert loss.asnumpy() == value
    assert net.weight.grad().asnumpy().any()
    with pytest.raises(MXNetError, match="already differentiated"):
        loss.backward()


def test_a_graph_that_is_retained_stays():
    net, loss = loss_of(True)
    loss.backward(retain_graph=True)
    first = net.weight.grad().asnumpy()
    loss.backward()
    assert (net.weight.grad().asnumpy() == first).all()
    assert isinstance(loss._data, torch.Tensor)
    assert loss._data.grad_fn is None
