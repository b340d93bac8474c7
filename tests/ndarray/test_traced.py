"""Methods of arrays in the `forward` of a block that is traced: the program gives what the eager call gives."""
import numpy as np
import pytest

import mxdl as mx
from mxdl.errors import GraphError, MXNetError
from mxdl.gluon import HybridBlock

VALUES = np.arange(24, dtype="float32").reshape(2, 3, 4)


def assigned(x):
    y = x * 2
    y[:, 1:3] = 0
    y[0, 1] = x[0, 1]
    y[1, 2, 3] = 5
    return y


def in_place(x):
    y = x * 2
    y += x
    y *= 3
    return y


FORWARDS = {
    "row": lambda x: x[1], "last": lambda x: x[-1], "range": lambda x: x[:, 1:3], "negative": lambda x: x[:, :, -2:],
    "step": lambda x: x[:, ::2], "reversed": lambda x: x[:, ::-1], "ellipsis": lambda x: x[..., 0],
    "column": lambda x: x[:, -1], "new axis": lambda x: x[:, None, 1], "all": lambda x: x[1, 2, 3],
    "plain": lambda x: x[:],
    "list": lambda x: x[:, [0, 2]], "array": lambda x: x[mx.nd.array([1, 0])],
    "reshape": lambda x: x.reshape((0, -1)), "T": lambda x: x.T, "astype": lambda x: x.astype("float16"),
    "copy": lambda x: x.copy() + 1, "detach": lambda x: x.detach() * x, "context": lambda x: x.as_in_context(mx.cpu()),
    "arithmetic": lambda x: 2 - (-x) / 3 + abs(x) % 2 + x * x + (x > 3) * x ** 2, "assigned": assigned,
    "in place": in_place, "iteration": lambda x: sum(list(x)[1:], x[0]), "len": lambda x: x * len(x),
    "split": lambda x: x.split(num_outputs=2, axis=2)[1], "broadcast_to": lambda x: x[:1].broadcast_to((2, 3, 4)),
    "moveaxis": lambda x: mx.nd.moveaxis(x, 0, 2), "zeros_like": lambda x: mx.nd.zeros_like(x) + x,
    "max": lambda x: mx.nd.maximum(x, 5), "concat": lambda x: mx.nd.concatenate([x, x], axis=1),
}


class Net(HybridBlock):
    def __init__(self, function):
        super().__init__()
        self._function = function

    def forward(self, x):
        return self._function(x)


@pytest.mark.parametrize("name", FORWARDS)
def test_traced_as_eager(name):
    net = Net(FORWARDS[name])
    eager = net(mx.nd.array(VALUES))
    net.hybridize()
    for _ in range(2):
        traced = net(mx.nd.array(VALUES))
        np.testing.assert_array_equal(traced.asnumpy(), eager.asnumpy())
        assert traced.dtype == eager.dtype and traced.shape == eager.shape


@pytest.mark.parametrize("function, error", [
    (lambda x: x[np.array([0, 1]), np.array([0, 1])], "takes one array of indices"),
    (lambda x: x * float(x.sum()), "no values while a block is traced"),
    (lambda x: mx.nd.array(x.asnumpy()), "no values while a block is traced"),
    (lambda x: x.__setitem__([0, 1], 1) or x, "assigns to slices and integers only")])
def test_what_a_trace_cannot_do(function, error):
    net = Net(function)
    net.hybridize()
    with pytest.raises((GraphError, MXNetError), match=error):
        net(mx.nd.array(VALUES))
