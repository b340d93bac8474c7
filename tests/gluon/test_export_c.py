"""net.export_c: one C file from a block and example inputs, control flow included."""
import json
import shutil

import numpy as np
import pytest

import mxdl as mx
from mxdl.errors import MXNetError, NotBuiltError, OperatorError
from mxdl.gluon import HybridBlock, nn
from tests.codegen.compiled import assert_same, compiled

needs_compiler = pytest.mark.skipif(not shutil.which("cc"), reason="no C compiler on this machine")


class Flow(HybridBlock):
    """A running sum, a branch on its sign, and doublings until it is large."""

    def hybrid_forward(self, F, x):
        sums, last = F.contrib.foreach(lambda row, total: (row + total, row + total), x, F.zeros((2,)))
        signed = F.contrib.cond(F.sum(last) > 0, lambda: F.log(last), lambda: [-last][0])
        steps, (_, grown) = F.contrib.while_loop(lambda n, v: F.sum(v) < 30, lambda n, v: (n, (n + 1, v * 2)),
                                                 (F.zeros((1,)), F.abs(last)), max_iterations=5)
        return sums, signed, steps, grown


class Whole(HybridBlock):
    """The same kinds written for arrays alone."""

    def forward(self, x):
        return mx.nd.contrib.cond(x.max() > 1, lambda: [x, x * 2], lambda: [x - 1, x])


INPUTS = ([[1, 2], [3, 4]], [[-1, -2], [-3, -4]], [[12, 3], [0, 1]])


@pytest.mark.parametrize("block", [Flow, Whole])
def test_control_flow_hybridized_is_as_eager(block):
    for values in INPUTS:
        x = mx.nd.array(values)
        eager, net = block()(x), block()
        net.hybridize()
        for shape in ((2, 2), (3, 2), (2, 2)):     # a trace holds for its shapes alone
            traced = net(x if shape == (2, 2) else mx.nd.ones(shape))
        for a, b in zip(eager, traced, strict=True):
            np.testing.assert_array_equal(a.asnumpy(), b.asnumpy())


@needs_compiler
def test_control_flow_as_c(tmp_path, monkeypatch):
    monkeypatch.setenv("MXDL_HOME", str(tmp_path / "home"))
    model = mx.Predictor(Flow().export_c(tmp_path / "my-flow.c", mx.nd.ones((2, 2))))
    assert model._model._prefix == "my_flow"
    for values in INPUTS:
        expected = Flow()(mx.nd.array(values))
        for a, b in zip(model(mx.nd.array(values)), expected, strict=True):
            np.testing.assert_allclose(a.asnumpy(), b.asnumpy(), rtol=2e-6)


def test_gradients_go_through_the_way_that_is_taken():
    for hybrid in (False, True):
        net, x = Whole(), mx.nd.array([0.5, 0.25])
        if hybrid:
            net.hybridize()
        x.attach_grad()
        with mx.autograd.record():
            a, b = net(x)
            total = (a * 3 + b).sum()
        total.backward()
        assert x.grad.asnumpy().tolist() == [4, 4]


def test_what_a_traced_branch_refuses():
    class Bad(HybridBlock):
        def __init__(self, then, **kwargs):
            super().__init__(**kwargs)
            self.then = then

        def forward(self, x):
            return mx.nd.contrib.cond(*self.then(x), lambda: x)
    x = mx.nd.ones((2,))
    for then, text in [(lambda x: (x, lambda: x), "array of one element"),
                       (lambda x: (x.sum(), lambda: x.sum()), "must give the same type"),
                       (lambda x: (x.sum(), lambda: [x]), "as many arrays")]:
        net = Bad(then)
        net.hybridize()
        with pytest.raises(MXNetError, match=text):
            net(x)
    with pytest.raises(NotBuiltError, match="a symbol has no shape"):
        mx.sym.contrib.foreach(lambda d, s: (d, s), mx.sym.var("x"), [])


FOREACH = {
    "nodes": [{"op": "null", "name": "data", "inputs": []}, {"op": "null", "name": "state", "inputs": []},
              {"op": "_foreach", "name": "loop", "inputs": [[0, 0, 0], [1, 0, 0]],
               "attrs": {"in_data_locs": "(0,)", "in_state_locs": "(1,)", "num_args": "3", "num_outputs": "2",
                         "num_out_data": "1", "remain_locs": "()"},
               "subgraphs": [{"nodes": [{"op": "null", "name": "row", "inputs": []},
                                        {"op": "null", "name": "total", "inputs": []},
                                        {"op": "elemwise_add", "name": "sum", "inputs": [[0, 0, 0], [1, 0, 0]]}],
                              "arg_nodes": [0, 1], "node_row_ptr": [0, 1, 2, 3], "heads": [[2, 0, 0], [2, 0, 0]]}]}],
    "arg_nodes": [0, 1], "node_row_ptr": [0, 1, 2, 4], "heads": [[2, 0, 0]], "attrs": {"mxnet_version": ["int", 10901]}}


@needs_compiler
def test_a_loop_in_a_file_of_mxnet_is_unrolled(tmp_path):
    graph = mx.sym.load_json(json.dumps(FOREACH)).graph()
    given = {"data": np.arange(6, dtype=np.float32).reshape(3, 2), "state": np.ones(2, np.float32)}
    stdout, = compiled(graph, {}, given, tmp_path)
    assert_same(stdout, [given["data"].cumsum(0) + 1])
    bound = mx.sym.load_json(json.dumps(FOREACH)).bind(mx.cpu(), {k: mx.nd.array(v) for k, v in given.items()})
    np.testing.assert_array_equal(bound.forward()[0].asnumpy(), given["data"].cumsum(0) + 1)


def test_deferred_shapes_wrong_inputs_and_nothing_written(tmp_path):
    net = nn.HybridSequential()
    net.add(nn.Conv2D(3, 3), nn.Dense(2))
    net.initialize()
    path = net.export_c(tmp_path / "net.c", mx.nd.ones((1, 1, 5, 5)), weights="beside")
    assert path.is_file() and (tmp_path / "net.bin").is_file() and net[0].weight.shape == (3, 1, 3, 3)
    with pytest.raises(OperatorError, match="got none; give the arrays"):
        net.export_c(tmp_path / "no.c")
    with pytest.raises(ValueError, match="made of NDArrays"):
        net.export_c(tmp_path / "no.c", (1, 1, 5, 5))

    class Drawn(HybridBlock):
        def hybrid_forward(self, F, x):
            return F.random.uniform(shape=(2,)) + x
    with pytest.raises(NotBuiltError, match="no C kernel"):
        Drawn().export_c(tmp_path / "no.c", mx.nd.ones((2,)))
    assert not (tmp_path / "no.c").exists()
