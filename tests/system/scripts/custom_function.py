"""An autograd.Function of one's own inside a small regression."""
import numpy as np
import mxnet as mx
from mxnet import autograd, nd

rs = np.random.RandomState(5)


class Sigmoid(autograd.Function):
    def forward(self, x):
        y = 1 / (1 + mx.nd.exp(-x))
        self.save_for_backward(y)
        return y

    def backward(self, dy):
        y, = self.saved_tensors
        return dy * y * (1 - y)


x = nd.array(rs.randn(50, 3))
target = nd.array((rs.rand(50, 1) > 0.5).astype('float32'))
w, v = nd.array(rs.randn(3, 8)), nd.array(rs.randn(8, 1))
for p in (w, v):
    p.attach_grad()
for step in range(12):
    with autograd.record():
        hidden = Sigmoid()(nd.dot(x, w))
        out = Sigmoid()(nd.dot(hidden, v))
        loss = ((out - target) ** 2).mean()
    loss.backward()
    for p in (w, v):
        p -= 4 * p.grad
    print("loss", step, loss.asscalar())
