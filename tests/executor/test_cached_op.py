"""CachedOp: the same numbers as eager operators, one node on the tape, clear errors."""
import numpy as np
import pytest
import torch

import mxdl as mx
from mxdl import autograd, nd
from mxdl.errors import MXNetError
from mxdl.executor import CachedOp
from mxdl.executor.inductor import CompiledProgram
from mxdl.graph import Value


def two_layers():
    x = mx.sym.var("x")
    h = mx.sym.relu(mx.sym.FullyConnected(x, num_hidden=8, name="fc1"))
    return mx.sym.sum(mx.sym.FullyConnected(h * 2 + 1, num_hidden=3, name="fc2") ** 2, axis=1).graph()


def eager(x, w1, b1, w2, b2):
    h = nd.relu(nd.FullyConnected(x, w1, b1, num_hidden=8))
    return nd.sum(nd.FullyConnected(h * 2 + 1, w2, b2, num_hidden=3) ** 2, axis=1)


def variables():
    rng = np.random.default_rng(3)
    arrays = [nd.array(rng.normal(size=s)) for s in ((4, 5), (8, 5), (8,), (3, 8), (3,))]
    for a in arrays:
        a.attach_grad()
    return arrays


def gradients(function, arrays):
    with autograd.record():
        y = function(*arrays)
    y.backward()
    return [y.asnumpy(), *(a.grad.asnumpy() for a in arrays)]


@pytest.mark.parametrize("flags", [{}, {"mirror": True}, {"mirror": "sqrt"}, {"static_alloc": True}], ids=str)
def test_same_bits_as_eager(flags):
    arrays = variables()
    op = CachedOp(two_layers(), flags)
    mine = gradients(lambda *a: op(*a)[0], arrays)
    for a, b in zip(mine, gradients(eager, arrays), strict=True):
        np.testing.assert_array_equal(a, b)


def test_only_what_asks_for_a_gradient_gets_one():
    arrays = variables()
    frozen = [a.detach() if i in (0, 3) else a for i, a in enumerate(arrays)]
    with autograd.record():
        y = CachedOp(two_layers())(*frozen)[0]
    y.backward()
    full = gradients(eager, variables())
    for i in (1, 2, 4):
        np.testing.assert_array_equal(arrays[i].grad.asnumpy(), full[1 + i])
    assert not arrays[0].grad.asnumpy().any() and not arrays[3].grad.asnumpy().any()


def test_retain_graph_allows_a_second_backward_and_its_absence_says_so():
    arrays = variables()
    op = CachedOp(two_layers())
    with autograd.record():
        y = op(*arrays)[0]
    y.backward(retain_graph=True)
    first = arrays[1].grad.asnumpy()
    y.backward()
    np.testing.assert_array_equal(first, arrays[1].grad.asnumpy())
    with pytest.raises(MXNetError):
        y.backward()


def test_wrong_number_of_inputs_and_unknown_options():
    op = CachedOp(two_layers())
    with pytest.raises(MXNetError, match=r"got 1, expected 5: x, fc1_weight"):
        op(nd.ones((4, 5)))
    with pytest.raises(MXNetError, match="mirro"):
        CachedOp(two_layers(), {"mirro": True})
    for flags, message in (({"mirro": True}, "did you mean 'mirror'"), ({"backend": "tvm"}, "'tvm'"),
                           ({"mirror": 7.5}, "7.5")):
        with pytest.raises(MXNetError, match=message):   # at once, not in the first call
            mx.gluon.nn.Dense(2).hybridize(**flags)
    with pytest.raises(MXNetError, match="'tvm'"):
        CachedOp(two_layers(), {"backend": "tvm"})


def test_a_failing_kernel_names_operator_node_and_types():
    arrays = variables()
    arrays[1] = nd.ones((8, 6))
    with pytest.raises(MXNetError, match=r"FullyConnected 'fc1'.*data=float32\[4, 5\].*weight=float32\[8, 6\]"):
        CachedOp(two_layers())(*arrays)


@pytest.mark.slow
def test_inductor_backend_agrees():
    arrays = variables()
    op = CachedOp(two_layers(), {"backend": "inductor"})
    mine = gradients(lambda *a: op(*a)[0], arrays)
    for a, b in zip(mine, gradients(eager, arrays), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


@pytest.mark.slow
def test_inductor_compiles_again_for_other_shapes_and_strides():
    x = mx.sym.var("x")
    graph = (mx.sym.sum(mx.sym.tanh(x) * x, axis=1) + 1).graph()
    program = CompiledProgram(graph.outputs, [Value(graph.inputs[0], 0)])
    wide = torch.rand(6, 4)
    for data in (torch.rand(4, 5), torch.rand(3, 7), wide, wide.t(), torch.rand(4, 5)):
        given = [data]
        found, = program.run(given)
        assert given == []   # taken, so that memory can be freed on the way
        np.testing.assert_allclose(found, (torch.tanh(data) * data).sum(1) + 1, rtol=1e-5)
    assert len(program._compiled) == 4


@pytest.mark.slow
def test_inductor_says_where_it_cannot_make_one_graph():
    x, index = mx.sym.var("x"), mx.sym.var("index")
    graph = mx.sym.contrib.boolean_mask(x * 2, index).graph()
    program = CompiledProgram(graph.outputs, [Value(node, 0) for node in graph.inputs])
    with pytest.warns(UserWarning, match="compiled in parts.*cannot be one graph"):
        found, = program.run([torch.arange(3.0), torch.tensor([1.0, 0, 1])])
    assert found.tolist() == [0, 4]


def test_arrays_from_nothing_are_made_where_the_graph_runs():
    from mxdl.passes.place import placed
    data = mx.sym.var("data")
    symbol = data + mx.sym.zeros((2,)) * mx.sym.ones((2,), ctx=mx.cpu())
    nodes = {n.op.name: n for n in placed(symbol.graph(), "gpu(1)").nodes if n.op is not None}
    assert nodes["_zeros"].attrs["ctx"] == "gpu(1)", "the node leaves the device open"
    assert nodes["_ones"].attrs["ctx"] == "cpu(0)", "the node says where"
    assert placed(data.graph(), "gpu(1)").outputs == data.graph().outputs
