"""mx.nd.contrib's loops and branches.  Expected values were observed on MXNet 1.9.1."""
import numpy as np
import pytest

import mxdl as mx
from mxdl.errors import OperatorError

contrib = mx.nd.contrib


def test_foreach():
    x = mx.nd.arange(6).reshape((3, 2))
    out, state = contrib.foreach(lambda d, s: (d + s, d + s), x, mx.nd.zeros((2,)))
    assert out.asnumpy().tolist() == [[0, 1], [2, 4], [6, 9]] and state.asnumpy().tolist() == [6, 9]
    outs, states = contrib.foreach(lambda d, s: ([d + s[0], d * 2], [d + s[0]]), x, [mx.nd.zeros((2,))])
    assert [o.shape for o in outs] == [(3, 2), (3, 2)] and isinstance(states, list)
    both, none = contrib.foreach(lambda d, s: (d[0] + d[1], s), [x, x], [])
    np.testing.assert_array_equal(both.asnumpy(), 2 * x.asnumpy())
    assert none == []
    with pytest.raises(OperatorError, match="one length"):
        contrib.foreach(lambda d, s: (d[0], s), [x, x[:2]], [])


def test_foreach_records():
    x = mx.nd.arange(3)
    x.attach_grad()
    with mx.autograd.record():
        _, total = contrib.foreach(lambda d, s: (d, s + d * d), x, mx.nd.zeros((1,)))
    total.backward()
    assert x.grad.asnumpy().tolist() == [0, 2, 4]


def test_while_loop():
    out, (i, s) = contrib.while_loop(lambda i, s: i < 3, lambda i, s: ([i + s], [i + 1, s + i]),
                                     [mx.nd.array([0]), mx.nd.array([1])], max_iterations=5)
    assert out[0].asnumpy().tolist() == [[1], [2], [4], [0], [0]] and (i.asscalar(), s.asscalar()) == (3, 4)
    out, i = contrib.while_loop(lambda i: i < 3, lambda i: (i * 2, i + 1), mx.nd.array([0]), max_iterations=2)
    assert out.asnumpy().tolist() == [[0], [2]] and i.asscalar() == 2
    assert contrib.while_loop(lambda i: i < 0, lambda i: (i, i), mx.nd.array([0]), max_iterations=5)[0] == []
    with pytest.raises(OperatorError, match="no max_iterations"):
        contrib.while_loop(lambda i: i < 0, lambda i: (i, i), mx.nd.array([0]))
    with pytest.raises(OperatorError, match="got 2 for 1"):
        contrib.while_loop(lambda i: i < 1, lambda i: (i, [i, i]), mx.nd.array([0]), max_iterations=2)


def test_cond():
    for value in (0, 1):
        got = contrib.cond(mx.nd.array([value]), lambda: mx.nd.ones((1,)), lambda: mx.nd.zeros((1,)))
        assert got.asscalar() == value


def test_rand_zipfian():
    mx.random.seed(1)
    classes, of_true, of_drawn = contrib.rand_zipfian(mx.nd.array([3], dtype="int64"), 4000, 5)
    assert classes.dtype == np.int64 and set(classes.asnumpy()) == {0, 1, 2, 3, 4}
    np.testing.assert_allclose(of_true.asnumpy(), 4000 * np.log(5 / 4) / np.log(6))
    first = (classes.asnumpy() == 0)
    assert abs(first.sum() - of_drawn.asnumpy()[first][0]) < 150
