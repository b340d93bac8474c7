"""MXNet's files, both ways: .params and symbol JSON written by one side are read by the other."""
import json

import numpy as np
import pytest

import mxdl as mx

pytestmark = pytest.mark.parity

ARRAYS = """
arrays = {'arg:w': mx.nd.array(np.arange(6).reshape(2, 3)), 'aux:m': mx.nd.array([1, 2], dtype='int64'),
          'half': mx.nd.array([0.5, 1.5], dtype='float16'), 'bytes': mx.nd.array([3, 4], dtype='uint8')}
"""


def run(source: str, **values):
    space = {**values, "mx": mx, "np": np}
    with mx.name.NameManager():
        exec(source, space)
    return space.get("result")


@pytest.mark.parametrize("what", ["arrays", "list(arrays.values())", "arrays['half']"])
def test_params_written_are_the_same_bytes(what, mxnet, tmp_path):
    source = f"{ARRAYS}\nmx.nd.save(path, {what})"
    ours, theirs = tmp_path / "ours.params", tmp_path / "theirs.params"
    run(source, path=str(ours))
    mxnet.run(source, path=str(theirs))
    assert ours.read_bytes() == theirs.read_bytes()


NET = """
nn = mx.gluon.nn
net = nn.HybridSequential(prefix='net_')
with net.name_scope():
    net.add(nn.Conv2D(3, 3, activation='relu'), nn.BatchNorm(), nn.MaxPool2D(), nn.Flatten(), nn.Dense(4))
net.initialize(mx.init.Uniform(0.5))
net.hybridize()
x = mx.nd.array(np.linspace(-1, 1, 2 * 2 * 8 * 8).reshape(2, 2, 8, 8))
y = net(x)
"""
LOAD = """
block = mx.gluon.SymbolBlock.imports(path + '-symbol.json', ['data'], path + '-0000.params')
x = mx.nd.array(np.linspace(-1, 1, 2 * 2 * 8 * 8).reshape(2, 2, 8, 8))
result = block(x).asnumpy()
"""


def test_export_by_mxnet_runs_here(mxnet, tmp_path):
    path = str(tmp_path / "model")
    theirs = mxnet.run(f"{NET}\nnet.export(path)\nresult = y", path=path)
    np.testing.assert_allclose(run(LOAD, path=path), theirs, rtol=1e-5, atol=1e-6)


def test_export_from_here_runs_in_mxnet(mxnet, tmp_path):
    path = str(tmp_path / "model")
    ours = run(f"{NET}\nnet.export(path)\nresult = y.asnumpy()", path=path)
    np.testing.assert_allclose(mxnet.run(LOAD, path=path), ours, rtol=1e-5, atol=1e-6)


def test_parameters_saved_by_either_load_in_the_other(mxnet, tmp_path):
    theirs, ours = str(tmp_path / "theirs.params"), str(tmp_path / "ours.params")
    expected = mxnet.run(f"{NET}\nnet.save_parameters(path)\nresult = y", path=theirs)
    got = run(f"{NET}\nnet.load_parameters(path)\nnet.save_parameters(ours)\nresult = net(x).asnumpy()",
              path=theirs, ours=ours)
    np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-6)
    back = mxnet.run(f"{NET}\nnet.load_parameters(path)\nresult = net(x)", path=ours)
    np.testing.assert_array_equal(back, expected)


SYMBOL = """
data = mx.sym.Variable('data')
with mx.AttrScope(ctx_group='dev1'):
    net = mx.sym.FullyConnected(data, num_hidden=4, name='fc1')
net = mx.sym.Activation(net, act_type='relu', name='relu1')
net = mx.sym.FullyConnected(net, num_hidden=3, no_bias=True, name='fc2')
parts = mx.sym.split(net, num_outputs=3, axis=1, name='parts')
net = mx.sym.SoftmaxOutput(parts[0] + parts[2] * 2, name='softmax')
"""


def test_symbol_json_is_the_same(mxnet):
    ours, theirs = run(f"{SYMBOL}\nresult = net.tojson()"), mxnet.run(f"{SYMBOL}\nresult = net.tojson()")
    assert json.loads(ours) == json.loads(theirs)


@pytest.mark.parametrize("question", [
    "net.list_arguments()", "net.list_outputs()", "net.list_auxiliary_states()", "net.get_internals().list_outputs()",
    "net.infer_shape(data=(2, 5))", "net.infer_type(data='float64')[1][0] is np.float64", "net.name",
    "net.attr_dict()", "mx.sym.Group([parts, net]).list_outputs()", "net.get_internals()['relu1_output'].name",
])
def test_symbol_answers(question, same_as_mxnet):
    same_as_mxnet(f"{SYMBOL}\nresult = {question}\nresult = result and [list(r) if isinstance(r, list) else r "
                  "for r in result] if isinstance(result, tuple) else result")
