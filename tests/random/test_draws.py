"""mx.random.NAME: forms of calling, reproducible draws, the right distributions."""
import numpy as np
import pytest

import mxdl as mx
from mxdl.errors import OperatorError

#: a call with numbers -> its mean and standard deviation
NUMBERS = {
    "uniform": (lambda **k: mx.random.uniform(2, 4, **k), 3, 2 / 12**0.5),
    "normal": (lambda **k: mx.random.normal(1, 2, **k), 1, 2),
    "exponential": (lambda **k: mx.random.exponential(2, **k), 2, 2),
    "gamma": (lambda **k: mx.random.gamma(2, 3, **k), 6, 18**0.5),
    "poisson": (lambda **k: mx.random.poisson(4, **k), 4, 2),
    "negative_binomial": (lambda **k: mx.random.negative_binomial(3, 0.4, **k), 4.5, 11.25**0.5),
    "generalized_negative_binomial": (lambda **k: mx.random.generalized_negative_binomial(2, 0.5, **k), 2, 2),
    "randint": (lambda **k: mx.random.randint(0, 10, **k), 4.5, 8.25**0.5),
}


@pytest.mark.parametrize("name", NUMBERS)
def test_draws_with_numbers(name):
    draw, mean, deviation = NUMBERS[name]
    mx.random.seed(11)
    x = draw(shape=(100, 200))
    assert x.shape == (100, 200) and x.ctx == mx.cpu()
    values = x.asnumpy().astype("float64")
    assert abs(values.mean() - mean) < 5 * deviation / 20000**0.5
    assert abs(values.std() - deviation) < 0.05 * deviation
    mx.random.seed(11)
    np.testing.assert_array_equal(draw(shape=(100, 200)).asnumpy(), values)
    assert (draw(shape=(100, 200)).asnumpy() != values).any(), "the next call draws other numbers"
    assert draw(shape=3, ctx=mx.cpu(1)).ctx == mx.cpu(1) and draw().shape == (1,)
    out = mx.nd.zeros((2, 3), dtype=x.dtype)
    assert draw(out=out) is out and out.asnumpy().any()


def test_parameters_may_be_arrays():
    low, high = mx.nd.array([0, 100]), mx.nd.array([1, 101])
    x = mx.random.uniform(low, high, shape=5)
    assert x.shape == (2, 5) and (x[0].asnumpy() < 1).all() and (x[1].asnumpy() >= 100).all()
    assert mx.random.normal(low, high).shape == (2,)
    with pytest.raises(TypeError, match="all arrays or all numbers; got mu: NDArray, sigma: int"):
        mx.random.normal(low, 1)


def test_draws_in_the_shape_of_an_array():
    assert mx.nd.random.uniform_like(mx.nd.ones((2, 3)), low=5, high=6).asnumpy().min() >= 5


def test_dtypes():
    assert mx.random.uniform(shape=2, dtype="float64").dtype == np.float64
    assert mx.random.randint(0, 2**40, shape=2, dtype="int64").dtype == np.int64
    with pytest.raises((OperatorError, TypeError)):
        mx.random.uniform(shap=2)


def test_multinomial():
    mx.random.seed(2)
    probabilities = mx.nd.array([[0.2, 0.8], [1, 0]])
    draws, log = mx.random.multinomial(probabilities, shape=1000, get_prob=True)
    assert draws.shape == log.shape == (2, 1000) and draws.dtype == np.int32
    assert abs(draws[0].asnumpy().mean() - 0.8) < 0.05 and not draws[1].asnumpy().any()
    np.testing.assert_allclose(np.exp(log[0].asnumpy()), np.where(draws[0].asnumpy() == 1, 0.8, 0.2), rtol=1e-5)


def test_shuffle_and_randn():
    x = mx.nd.arange(20)
    y = mx.random.shuffle(x)
    assert sorted(y.asnumpy()) == list(range(20)) and (y.asnumpy() != x.asnumpy()).any()
    assert mx.random.randn(2, 3, loc=100).asnumpy().mean() > 90


def test_eager_and_hybridized_draw_the_same_bits():
    x = mx.nd.ones((4, 50))
    net = mx.gluon.nn.HybridSequential()
    net.add(mx.gluon.nn.Dropout(0.5), mx.gluon.nn.Dropout(0.3))
    draws = []
    for hybridize in (False, True):
        net.hybridize(hybridize)
        net(x)   # the first call traces
        mx.random.seed(5)
        with mx.autograd.record():
            draws.append([net(x).asnumpy() for _ in range(2)])
    np.testing.assert_array_equal(draws[0], draws[1])
    assert (draws[0][0] != draws[0][1]).any()
