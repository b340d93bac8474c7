"""Loops and branches in MXNet's own files, exported to C and to ONNX: the answers that MXNet gives."""
import numpy as np
import pytest
import torch

import mxdl as mx
from mxdl.codegen import export_c
from mxdl.codegen.onnx import export_onnx
from mxdl.errors import MXNetError
from mxdl.passes.unroll import unroll
from mxdl.types import TensorType
from tests.codegen.compiled import assert_same, compiled, needs_compiler

pytestmark = [pytest.mark.parity, needs_compiler]
ASK = """
sym = mx.sym
{made}
net.save(path)
arrays = {{name: mx.nd.array(values) for name, values in given.items()}}
bound = net.bind(mx.cpu(), arrays)
result = [out.asnumpy() for out in bound.forward(is_train=False)], net.list_outputs(), net.list_arguments()
"""
FOREACH = """
w = sym.var('w')
def step(x, states):
    y = sym.FullyConnected(x, weight=w, num_hidden=3, no_bias=True, name='fc') + states[0]
    return [y, y * 2], [sym.tanh(y), states[1] + 1]
outs, states = sym.contrib.foreach(step, sym.var('data'), [sym.var('init'), sym.var('count')])
net = sym.Group([*outs, *states])
"""
TWO_DATA = """
def step(xs, state):
    return xs[0] * xs[1] + state, state - xs[1]
outs, state = sym.contrib.foreach(step, [sym.var('a') * 2, sym.var('b')], sym.var('s'))
net = sym.Group([outs, state])
"""
WHILE = """
limit = sym.var('limit')
outs, last = sym.contrib.while_loop(lambda i, s: i < limit, lambda i, s: ([s + i, s * s], [i + 1, s * 2 + limit]),
                                    [sym.var('i'), sym.var('s')], max_iterations=5)
net = sym.Group([*outs, *last])
"""
COND = """
a, b = sym.var('a'), sym.var('b')
net = sym.contrib.cond(sym.sum(a) < sym.sum(b), lambda: a + b, lambda: a * b - 2)
"""
NESTED = """
def step(x, state):
    y = sym.contrib.cond(sym.sum(x) < sym.sum(state), lambda: x + state, lambda: x - state)
    return y, y
outs, state = sym.contrib.foreach(step, sym.exp(sym.var('data')), sym.var('init'))
net = sym.Group([outs, state])
"""
RNG = np.random.default_rng(7)


def drawn(**shapes) -> dict[str, np.ndarray]:
    return {name: RNG.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}


def number(value: float) -> np.ndarray:
    return np.array([value], np.float32)


CASES = {
    "foreach": (FOREACH, drawn(data=(4, 2, 3), init=(2, 3), count=(1,), w=(3, 3)), ()),
    "foreach over two": (TWO_DATA, drawn(a=(3, 2), b=(3, 2), s=(2,)), ()),
    "while": (WHILE, {"i": number(0), "s": number(1.5), "limit": number(3)}, (3, 3, None, None)),
    "while to the end": (WHILE, {"i": number(0), "s": number(1.5), "limit": number(9)}, ()),
    "cond holds": (COND, {"a": np.full((2, 2), 1, "f"), "b": np.full((2, 2), 3, "f")}, ()),
    "cond fails": (COND, {"a": np.full((2, 2), 3, "f"), "b": np.full((2, 2), 1, "f")}, ()),
}


@pytest.mark.parametrize("name", CASES)
def test_a_file_of_mxnet_with_control_flow(name, mxnet, tmp_path):
    made, given, rows = CASES[name]
    path = str(tmp_path / "net-symbol.json")
    answers, outputs, arguments = mxnet.run(ASK.format(made=made), path=path, given=given)
    symbol = mx.sym.load(path)
    assert symbol.list_arguments() == arguments and symbol.list_outputs() == outputs
    parameters = {"w": torch.from_numpy(given["w"])} if "w" in given else {}
    inputs = {key: array for key, array in given.items() if key not in parameters}
    stdout, = compiled(symbol.graph(), parameters, inputs, tmp_path, "-O1 -DNET_MAX_ISA=0")
    expected = [*map(np.array, answers)]
    for i, count in enumerate(rows):        # what MXNet leaves behind the last iteration is not defined; here it is 0
        if count is not None:
            expected[i][count:] = 0
    assert_same(stdout, expected, 2e-6)
    bound = symbol.bind(mx.cpu(), {key: mx.nd.array(array) for key, array in given.items()})
    for found, one in zip(bound.forward(), expected, strict=True):
        np.testing.assert_allclose(found.asnumpy(), one, rtol=2e-6, atol=1e-6)
    assert all(output in (tmp_path / "net.c").read_text() for output in outputs)


def test_a_branch_in_a_loop_which_mxnet_writes_but_does_not_run(mxnet, tmp_path):
    path, given = str(tmp_path / "net-symbol.json"), drawn(data=(3, 2, 2), init=(2, 2))
    mxnet.run(f"sym = mx.sym\n{NESTED}\nnet.save(path)", path=path)
    stdout, = compiled(mx.sym.load(path).graph(), {}, given, tmp_path, "-O1 -DNET_MAX_ISA=0")
    state, outs = given["init"], []
    for x in np.exp(given["data"]):
        state = x + state if x.sum() < state.sum() else x - state
        outs.append(state)
    assert_same(stdout, [np.stack(outs), state], 2e-6)


def test_the_same_file_as_onnx(mxnet, tmp_path):
    runtime = pytest.importorskip("onnxruntime", reason="the package onnxruntime is not installed")
    path = str(tmp_path / "net-symbol.json")
    made, given, _ = CASES["foreach over two"]
    answers, _, _ = mxnet.run(ASK.format(made=made), path=path, given=given)
    shapes = {key: array.shape for key, array in given.items()}
    export_onnx(mx.sym.load(path).graph(), {}, shapes, tmp_path / "net.onnx")
    session = runtime.InferenceSession(str(tmp_path / "net.onnx"), providers=["CPUExecutionProvider"])
    for found, expected in zip(session.run(None, given), answers, strict=True):
        np.testing.assert_allclose(found, expected, rtol=2e-6, atol=1e-6)


def test_gradients_through_a_loop_of_a_file(mxnet, tmp_path):
    path, given = str(tmp_path / "net-symbol.json"), CASES["foreach"][1]
    theirs = mxnet.run(f"sym = mx.sym\n{FOREACH}\nnet.save(path)\n" + """
arrays = {name: mx.nd.array(values) for name, values in given.items()}
grads = {name: mx.nd.zeros(a.shape) for name, a in arrays.items()}
bound = net.bind(mx.cpu(), arrays, grads)
outs = bound.forward(is_train=True)
bound.backward([mx.nd.ones(out.shape) for out in outs])
result = [grads[name].asnumpy() for name in sorted(grads)]
""", path=path, given=given)
    arrays = {key: mx.nd.array(array) for key, array in given.items()}
    grads = {key: mx.nd.zeros(array.shape) for key, array in given.items()}
    bound = mx.sym.load(path).bind(mx.cpu(), arrays, grads)
    bound.backward([mx.nd.ones(out.shape) for out in bound.forward(is_train=True)])
    for key, expected in zip(sorted(grads), theirs, strict=True):
        np.testing.assert_allclose(grads[key].asnumpy(), expected, rtol=1e-5, atol=1e-6)


def test_a_file_with_a_loop_as_a_block(mxnet, tmp_path):
    path, given = str(tmp_path / "net-symbol.json"), CASES["foreach over two"][1]
    answers, _, arguments = mxnet.run(ASK.format(made=TWO_DATA), path=path, given=given)
    block = mx.gluon.SymbolBlock.imports(path, arguments)
    found = block(*(mx.nd.array(given[name]) for name in arguments))
    for one, expected in zip(found, answers, strict=True):
        np.testing.assert_allclose(one.asnumpy(), expected, rtol=2e-6, atol=1e-6)


def test_what_does_not_fit_is_refused(mxnet, tmp_path):
    path = str(tmp_path / "net-symbol.json")
    mxnet.run("a = mx.sym.var('a'); mx.sym.contrib.cond(a < 1, lambda: a + 1, lambda: a - 1).save(path)", path=path)
    with pytest.raises(MXNetError, match="the condition is an array of one element; got float32"):
        export_c(mx.sym.load(path).graph(), {}, {"a": (2, 2)}, tmp_path / "net.c", "net")
    assert not (tmp_path / "net.c").exists()
    graph = mx.sym.FullyConnected(mx.sym.var("x"), num_hidden=2).graph()
    assert unroll(graph, {"x": TensorType((1, 3))}) is graph
