"""Symbols as blocks."""
import numpy as np
import pytest

import mxdl as mx
from mxdl import autograd, gluon, nd


def make():
    x = mx.sym.var("x")
    hidden = mx.sym.FullyConnected(x, num_hidden=3, name="fc")
    return gluon.SymbolBlock([mx.sym.tanh(hidden), hidden], x)


def test_parameters_are_the_other_variables(tmp_path):
    block = make()
    block.initialize()
    tanh, hidden = block(nd.ones((2, 5)))
    np.testing.assert_allclose(np.tanh(hidden.asnumpy()), tanh.asnumpy(), rtol=1e-6)
    assert {n: p.shape for n, p in block.collect_params().items()} == {"fc_weight": (3, 5), "fc_bias": (3,)}
    block.save_parameters(str(tmp_path / "p"))
    assert list(nd.load(str(tmp_path / "p"))) == ["weight", "bias"], "the common prefix is left out, as in MXNet"


def test_it_trains_and_nests():
    net = gluon.nn.HybridSequential()
    x = mx.sym.var("x")
    net.add(gluon.nn.Dense(4), gluon.SymbolBlock(mx.sym.FullyConnected(x, num_hidden=2, name="fc"), x))
    net.initialize(mx.init.One())
    x = nd.ones((1, 3))
    eager = net(x).asnumpy()
    net.hybridize()
    with autograd.record():
        out = net(x)
    out.backward()
    np.testing.assert_array_equal(out.asnumpy(), eager)
    assert net.collect_params()["fc_weight"].grad().asnumpy().tolist() == [[3] * 4] * 2


def test_inputs_must_be_variables():
    x = mx.sym.var("x")
    y = mx.sym.relu(x)
    with pytest.raises(ValueError, match="must be variables"):
        gluon.SymbolBlock(mx.sym.tanh(y), y)


def test_imports_without_parameters_waits_for_them(tmp_path):
    file = str(tmp_path / "s.json")
    mx.sym.FullyConnected(mx.sym.var("data"), num_hidden=2, name="fc").save(file)
    block = gluon.SymbolBlock.imports(file, "data")
    with pytest.raises(RuntimeError, match="'fc_weight': not initialized"):
        block(nd.ones((1, 2)))
    block.initialize(mx.init.One())
    assert block(nd.ones((1, 2))).asnumpy().tolist() == [[3, 3]]
