"""Functions whose gradient the user writes."""
import numpy as np
import pytest

import mxdl as mx
from mxdl import autograd
from mxdl.errors import MXNetError


class Sigmoid(autograd.Function):
    def forward(self, x):
        assert not autograd.is_recording()
        y = 1 / (1 + mx.nd.exp(-x))
        self.save_for_backward(y)
        return y

    def backward(self, dy):
        y, = self.saved_tensors
        return dy * y * (1 - y)


class Swap(autograd.Function):
    """Two in, two out; the gradients are crossed and scaled, so that a mix-up shows."""

    def forward(self, a, b):
        return b * 1, a * 1

    def backward(self, d_first, d_second):
        return d_second * 10, d_first * 100


def test_gradient_of_the_user():
    x = mx.nd.array([0.0, 1.0])
    x.attach_grad()
    with autograd.record():
        y = Sigmoid()(x * 2)
    y.backward()
    s = 1 / (1 + np.exp([0.0, -2.0]))
    np.testing.assert_allclose(x.grad.asnumpy(), 2 * s * (1 - s), rtol=1e-6)


def test_several_inputs_and_outputs():
    a, b = mx.nd.array([1.0]), mx.nd.array([2.0])
    a.attach_grad()
    b.attach_grad()
    with autograd.record():
        first, second = Swap()(a, b)
        total = first * 3 + second * 5
    total.backward()
    assert (first.asscalar(), second.asscalar()) == (2, 1)
    assert (a.grad.asscalar(), b.grad.asscalar()) == (50, 300)


def test_it_works_without_recording():
    assert Sigmoid()(mx.nd.array([0.0])).asscalar() == 0.5


def test_an_instance_is_for_one_call():
    f = Sigmoid()
    f(mx.nd.ones((1,)))
    with pytest.raises(MXNetError, match="for one call"):
        f(mx.nd.ones((1,)))


class Wrong(autograd.Function):
    def __init__(self, result):
        super().__init__()
        self.result = result

    def forward(self, x):
        return x * 1

    def backward(self, dy):
        return self.result


@pytest.mark.parametrize("result, error", [
    ((mx.nd.ones((2,)), mx.nd.ones((2,))), "wrong number of gradients; got 2"),
    (mx.nd.ones((3,)), r"gradient of input 0 has the wrong shape; got \(3,\); return \(2,\)")])
def test_wrong_gradients(result, error):
    x = mx.nd.ones((2,))
    x.attach_grad()
    with autograd.record():
        y = Wrong(result)(x)
    with pytest.raises(MXNetError, match=error):
        y.backward()


def test_methods_that_were_not_written():
    with pytest.raises(NotImplementedError, match="forward is not written"):
        autograd.Function()(mx.nd.ones((1,)))


class Square(autograd.Function):
    def forward(self, x):
        self.save_for_backward(x)
        return x * x

    def backward(self, dy):
        x, = self.saved_tensors
        return 2 * x * dy


def test_a_gradient_can_be_differentiated_again():
    x = mx.nd.array([3.0])
    x.attach_grad()
    with autograd.record():
        y = Square()(x)
        dy, = autograd.grad(y * y, x, create_graph=True)
    assert dy.asscalar() == 108
