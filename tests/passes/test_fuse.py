"""Fusion: fewer steps, the same bits, and only where nothing else reads what lies between."""
import numpy as np
import pytest

import mxdl as mx
from mxdl import autograd
from mxdl.errors import MXNetError
from mxdl.executor import CachedOp
from mxdl.graph import Graph
from mxdl.passes.fuse import fuse
from mxdl.passes.pipeline import inference_plan, training_plan


def operators(graph):
    return [node.op.name for node in graph.nodes if node.op is not None]


def cross_entropy(axis=-1, pick_axis=None, **attrs):
    logs = mx.sym.log_softmax(mx.sym.var("x"), axis=axis, **attrs)
    return mx.sym.pick(logs, mx.sym.var("label"), axis=axis if pick_axis is None else pick_axis), logs


def dense(act_type="relu"):
    return mx.sym.Activation(mx.sym.FullyConnected(mx.sym.var("x"), num_hidden=6, flatten=False), act_type=act_type)


def test_a_rule_joins_two_operators():
    assert operators(fuse(cross_entropy()[0].graph())) == ["_log_softmax_pick"]
    assert operators(fuse(dense().graph())) == ["_FullyConnected_relu"]


def test_what_no_rule_holds_for_stays():
    for graph in (dense("tanh").graph(), cross_entropy(temperature=2.0)[0].graph(),
                  cross_entropy(1, pick_axis=0)[0].graph(), cross_entropy(dtype="float64")[0].graph()):
        assert len(operators(fuse(graph))) == 2


def test_a_value_that_somebody_else_reads_stays():
    loss, logs = cross_entropy()
    assert operators(fuse(mx.sym.Group([loss, logs]).graph())) == ["log_softmax", "pick"]
    assert operators(fuse((loss + mx.sym.sum(logs)).graph()))[:2] == ["log_softmax", "pick"]


def test_only_plans_with_gradients_are_fused():
    graph = dense().graph()
    plan = training_plan(graph, True, graph.inputs)
    assert operators(Graph(plan.outputs)) == ["_FullyConnected_relu"]
    assert operators(Graph(inference_plan(graph, False).outputs)) == ["FullyConnected", "Activation"]


CASES = [(lambda: cross_entropy()[0], [(7, 33)], (7,)), (lambda: cross_entropy(1)[0], [(3, 5, 4)], (3, 4)),
         (lambda: cross_entropy(0)[0], [(5, 3)], (3,)), (dense, [(4, 3, 5), (6, 5), (6,)], None),
         (lambda: mx.sym.log_softmax(dense()).pick(mx.sym.var("label")), [(4, 5), (6, 5), (6,)], (4,))]


@pytest.mark.parametrize("flags", [{}, {"mirror": True}, {"mirror": "sqrt"}], ids=str)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("case", range(len(CASES)))
def test_the_bits_are_those_of_eager_operators(case, dtype, flags):
    make, shapes, labels = CASES[case]
    symbol = make()
    rng = np.random.default_rng(case)
    arrays = [mx.nd.array(rng.normal(size=shape), dtype=dtype) for shape in shapes]
    for array in arrays:
        array.attach_grad()
    names = symbol.list_arguments()
    if labels is not None:
        arrays.insert(names.index("label"), mx.nd.array(rng.integers(0, 3, labels)))
    by_name = dict(zip(names, arrays, strict=True))

    def eagerly():
        if "label" in names and len(names) == 2:
            axis = {0: -1, 1: 1, 2: 0}[case]
            return mx.nd.pick(mx.nd.log_softmax(by_name["x"], axis=axis), by_name["label"], axis=axis)
        weights = [by_name[name] for name in names if "weight" in name or "bias" in name]
        out = mx.nd.relu(mx.nd.FullyConnected(by_name["x"], *weights, num_hidden=6, flatten=False))
        return mx.nd.pick(mx.nd.log_softmax(out), by_name["label"]) if "label" in names else out

    op = CachedOp(symbol.graph(), flags)
    results = []
    for function in (lambda: op(*arrays)[0], eagerly):
        with autograd.record():
            out = function()
        out.backward(mx.nd.array(np.linspace(0.5, 1.5, out.size).reshape(out.shape), dtype=dtype))
        results.append([out.asnumpy(), *(a.grad.asnumpy() for a in arrays if a.grad is not None)])
    assert len(results[0]) == 1 + len(shapes)
    for a, b in zip(*results, strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_gradient_of_a_gradient_goes_through():
    op = CachedOp(cross_entropy()[0].graph())
    x, label = mx.nd.array([[0.5, -1.0, 2.0]]), mx.nd.array([1])
    x.attach_grad()
    found = []
    for function in (lambda: op(x, label)[0], lambda: mx.nd.pick(mx.nd.log_softmax(x), label)):
        with autograd.record():
            first = autograd.grad(function(), x, create_graph=True)[0]
            norm = (first ** 2).sum()
        norm.backward()
        found.append(x.grad.asnumpy())
    assert np.abs(found[0]).max() > 0.1
    np.testing.assert_allclose(*found, rtol=1e-6)


def test_an_error_says_which_labels_do_not_fit():
    op = CachedOp(cross_entropy()[0].graph())
    x = mx.nd.ones((2, 3))
    x.attach_grad()
    with autograd.record(), pytest.raises(MXNetError, match=r"one index for each place.*index\[5\]"):
        op(x, mx.nd.ones((5,)))
