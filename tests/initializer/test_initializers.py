"""Initializers: values, spreads, choice by name, JSON, files and patterns, seeds."""
import math

import numpy as np
import pytest

import mxdl as mx
from mxdl import init
from mxdl.initializer import InitDesc, Initializer, create


def filled(initializer, name="a_weight", shape=(3, 2), attrs=None, dtype="float32"):
    array = mx.nd.full(shape, 7.0, dtype=dtype)
    initializer(InitDesc(name, attrs), array)
    return array.asnumpy()


@pytest.mark.parametrize("name, value", [
    ("fc_weight", 5), ("weight", 5), ("fc_bias", 0), ("bn_gamma", 1), ("bn_beta", 0), ("bn_moving_mean", 0),
    ("bn_running_mean", 0), ("bn_moving_var", 1), ("bn_running_var", 1), ("q_min", 0), ("q_max", 1),
])
def test_the_name_chooses(name, value):
    assert (filled(init.Constant(5), name) == value).all()


def test_an_unknown_name_is_an_error():
    with pytest.raises(ValueError, match="cannot tell how to fill 'foo'"):
        filled(init.One(), "foo")
    with pytest.raises(TypeError, match="its name"):
        init.One()(3, mx.nd.zeros((1,)))


@pytest.mark.parametrize("chosen", [init.Constant(3), init.Constant(3).dumps()])
def test_an_attribute_comes_first(chosen):
    assert (filled(init.One(), "x_bias", attrs={"__init__": chosen}) == 3).all()
    assert (filled(init.One(), "x_bias", attrs={"__init__": "ones"}) == 1).all()


def test_json_and_names_make_the_same_initializer():
    for one in (init.Xavier(magnitude=2), init.Zero(), init.MSRAPrelu("in", 0.1), init.Constant(mx.nd.array([1, 2]))):
        assert create(one.dumps()).dumps() == one.dumps() and create(one.dumps()) == one
    assert init.Xavier().dumps() == '["xavier", {"rnd_type": "uniform", "factor_type": "avg", "magnitude": 3}]'
    assert create("zeros") == init.Zero() and create("xavier", magnitude=2).magnitude == 2
    assert create({"initializer": "normal", "sigma": 2}).sigma == 2
    assert create(create("one")) == init.One() != init.Zero()
    with pytest.raises(ValueError, match="did you mean 'xavier'"):
        create("xavierr")
    with pytest.raises(ValueError, match="already"):
        create(init.Zero(), a=1)


@pytest.mark.parametrize("initializer, uniform, spread", [
    (init.Uniform(0.5), True, 0.5), (init.Normal(0.3), False, 0.3), (init.Xavier(), True, math.sqrt(3 / 432)),
    (init.Xavier("gaussian", "in", 2), False, math.sqrt(2 / 288)),
    (init.Xavier(factor_type="out"), True, math.sqrt(3 / 576)),
    (init.MSRAPrelu("avg", 0.25), False, math.sqrt(2 / (1 + 0.25 ** 2) / 432)),
])
def test_spreads(initializer, uniform, spread):
    mx.random.seed(0)
    values = filled(initializer, shape=(64, 32, 3, 3))
    assert abs(values.std() - (spread / math.sqrt(3) if uniform else spread)) < 0.02 * spread
    assert abs(values.mean()) < 0.03 * spread
    if uniform:
        assert 0.99 * spread < values.max() <= spread and 0.99 * spread < -values.min() <= spread


@pytest.mark.parametrize("name", ["uniform", "normal", "xavier", "orthogonal"])
@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_the_same_seed_gives_the_same_values(name, dtype):
    def values(seed):
        mx.random.seed(seed)
        return filled(create(name), shape=(4, 5), dtype=dtype)

    np.testing.assert_array_equal(values(1), values(1))
    assert not np.array_equal(values(1), values(2))


@pytest.mark.parametrize("shape", [(3, 8), (8, 3), (4, 2, 2)])
@pytest.mark.parametrize("rand_type", ["uniform", "normal"])
def test_orthogonal(shape, rand_type):
    matrix = filled(init.Orthogonal(2.0, rand_type), shape=shape).reshape(shape[0], -1)
    product = matrix @ matrix.T if matrix.shape[0] <= matrix.shape[1] else matrix.T @ matrix
    np.testing.assert_allclose(product, 4 * np.eye(min(matrix.shape)), atol=1e-5)


def test_xavier_needs_fans():
    with pytest.raises(ValueError, match="at least 2 axes"):
        filled(init.Xavier(), shape=(3,))
    with pytest.raises(ValueError, match="rnd_type"):
        init.Xavier("x")
    with pytest.raises(ValueError, match="factor_type"):
        init.Xavier(factor_type="x")


def test_structured_values():
    row = [0.0625, 0.1875, 0.1875, 0.0625]
    assert filled(init.Bilinear(), shape=(1, 1, 4, 4))[0, 0, 0].tolist() == row
    bias = filled(init.LSTMBias(2.0), "h_bias", (8,), {"__init__": init.LSTMBias(2.0)})
    assert bias.tolist() == [0, 0, 2, 2, 0, 0, 0, 0]
    assert filled(init.Constant([[1, 2]]), shape=(1, 2)).tolist() == [[1, 2]]


@pytest.mark.parity
@pytest.mark.parametrize("mode, bidirectional", [("lstm", False), ("gru", True), ("rnn_tanh", True), ("lstm", True)])
def test_packed_recurrent_parameters_equal_mxnets(mxnet, mode, bidirectional):
    gates, directions, hidden, inputs = {"lstm": 4, "gru": 3, "rnn_tanh": 1}[mode], 1 + bidirectional, 3, 5
    size = gates * hidden * directions * (inputs + hidden + 2 + hidden * directions + hidden + 2)
    source = """
array = mx.nd.zeros((size,))
mx.init.FusedRNN(mx.init.Constant(0.5), 3, 2, mode, bidirectional, 2.0)._init_weight(mx.init.InitDesc("x"), array)
result = array
"""
    ours = mx.nd.zeros((size,))
    init.FusedRNN(init.Constant(0.5), hidden, 2, mode, bidirectional, 2.0)._init_weight(InitDesc("x"), ours)
    np.testing.assert_array_equal(ours.asnumpy(), mxnet.run(source, size=size, mode=mode, bidirectional=bidirectional))


def test_packed_recurrent_matrices_have_their_own_fans():
    initializer = init.FusedRNN(init.Xavier(), 4, 1, "lstm")
    array = mx.nd.zeros((4 * 4 * (100 + 4 + 2),))
    initializer(InitDesc("x", {"__init__": initializer.dumps()}), array)
    values = array.asnumpy()
    assert abs(values[:1600].std() - math.sqrt(1 / 58)) < 0.02
    assert abs(values[1600:1664].std() - math.sqrt(1 / 10)) < 0.1


def test_loading(tmp_path):
    mx.nd.save(str(tmp_path / "a.params"), {"arg:a_weight": mx.nd.ones((3, 2)) * 4})
    load = init.Load(str(tmp_path / "a.params"), default_init=init.Constant(9))
    assert (filled(load) == 4).all() and (filled(load, "b_weight") == 9).all()
    with pytest.raises(ValueError, match="give default_init"):
        filled(init.Load({}))
    with pytest.raises(ValueError, match=r"has shape \(2,\); got \(3, 2\)"):
        filled(load, shape=(2,))


def test_patterns():
    mixed = init.Mixed(["embed", ".*"], [init.Zero(), init.Constant(5)])
    assert (filled(mixed, "embed_weight") == 0).all() and (filled(mixed) == 5).all()
    assert (filled(init.One(), attrs={"__init__": mixed}) == 5).all()
    with pytest.raises(ValueError, match="no pattern fits 'a_weight'"):
        filled(init.Mixed(["b"], [init.Zero()]))


def test_an_initializer_of_ones_own(caplog):
    @init.register
    class Fives(Initializer):
        def __init__(self, value=5):
            super().__init__(value=value)
            self.value = value

        def _init_weight(self, name, arr):
            arr[:] = self.value

    assert create("fives", value=6).dumps() == '["fives", {"value": 6}]'
    with caplog.at_level("INFO"):
        assert (filled(create("fives").set_verbosity(True)) == 5).all()
    assert "Initialized a_weight as Fives(value=5): root mean square 5" in caplog.text
