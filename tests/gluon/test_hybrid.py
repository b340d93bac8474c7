"""Hybrid blocks: the same answers as a graph, traced once a structure, exported and read again."""
import copy
import pickle
import threading

import numpy as np
import pytest

import mxdl as mx
from mxdl import autograd, gluon, nd
from mxdl.errors import MXNetError, NotBuiltError
from mxdl.gluon import nn
from tests.gluon.layer_checks import same, train


class Counting(gluon.HybridBlock):
    """Notes every run of its Python code."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.runs = []
        with self.name_scope():
            self.dense = nn.Dense(3)

    def hybrid_forward(self, F, x):
        self.runs.append(F.__name__.rsplit(".", 1)[-1])
        return F.tanh(self.dense(x))


class Traced(gluon.HybridBlock):
    """Overrides forward: traced by running it."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.runs = 0
        self.fixed = nd.array([1., 2., 3.])
        with self.name_scope():
            self.dense = nn.Dense(3)
            self.norm = nn.BatchNorm()

    def forward(self, x):
        self.runs += 1
        return self.norm(self.dense(x)).relu() * self.fixed + x.shape[0]


def data(*shape):
    return nd.array(np.sin(np.arange(np.prod(shape))).reshape(shape))


def small_net():
    net = nn.HybridSequential()
    net.add(nn.Conv2D(4, 3, activation="relu"), nn.BatchNorm(), nn.MaxPool2D(), nn.Flatten(), nn.Dense(5),
            nn.Dropout(0.5), nn.Dense(2))
    net.initialize(mx.init.Uniform(0.5))
    return net


@pytest.mark.parametrize("flags", [{}, {"static_alloc": True, "static_shape": True}, {"mirror": True},
                                   {"mirror": "sqrt"}], ids=str)
def test_hybrid_is_bitwise_eager_in_training_and_prediction(flags):
    eager, hybrid = small_net(), small_net()
    for shape in ((2, 3, 8, 8), (1, 3, 8, 8), (4, 3, 8, 8)):
        x = data(*shape)
        eager(x), hybrid(x)
        for p, q in zip(eager.collect_params().values(), hybrid.collect_params().values(), strict=True):
            q.set_data(p.data())
        hybrid.hybridize(**flags)
        same(train(hybrid, [x]), train(eager, [x]))
        np.testing.assert_array_equal(hybrid(x).asnumpy(), eager(x).asnumpy())


def test_python_runs_on_the_trace_only():
    net = Counting()
    net.initialize()
    x = data(2, 4)
    expected = net(x).asnumpy()
    net.hybridize()
    net.runs.clear()
    for shape in ((2, 4), (2, 4), (5, 4)):
        net(data(*shape))
    assert net.runs == ["symbol"]
    np.testing.assert_array_equal(net(x).asnumpy(), expected)
    net.hybridize(False)
    net(x)
    assert net.runs == ["symbol", "ndarray"]


def test_a_new_child_or_dtype_asks_for_a_new_trace():
    net = Counting()
    net.initialize()
    net.hybridize()
    net(data(2, 4))
    net.dense = nn.Dense(6)
    net.initialize(force_reinit=True)
    assert net(data(2, 4)).shape == (2, 6)
    net.cast("float64")
    assert net(data(2, 4).astype("float64")).dtype == np.float64


def test_deferred_shapes_come_from_the_first_call():
    net = small_net()
    net.hybridize()
    net(data(2, 3, 8, 8))
    assert net[0].weight.shape == (4, 3, 3, 3) and net[1].gamma.shape == (4,) and net[4].weight.shape == (5, 36)


def test_infer_shape_computes_nothing():
    net = small_net()
    net.infer_shape(data(2, 3, 8, 8))
    assert net[4].weight.shape == (5, 36) and net[4].weight._data is None


def test_forward_is_traced_by_running_it():
    net = Traced()
    net.initialize()
    x = data(4, 5)
    expected = train(net, [x])
    net.norm.running_mean.set_data(nd.zeros((3,)))
    net.norm.running_var.set_data(nd.ones((3,)))
    net.hybridize()
    net.runs = 0
    same(train(net, [x]), expected)
    net(x)
    assert net.runs == 1
    assert net(data(2, 5)).asnumpy().min() >= 2, "another shape is another trace: forward may look at it"
    assert net.runs == 2
    net.fixed[:] = 0
    np.testing.assert_array_equal(net(x).asnumpy(), np.full((4, 3), 4))


def test_blocks_of_both_kinds_mix():
    net = nn.HybridSequential()
    net.add(nn.Dense(4), Traced(), nn.Dense(2))
    net.initialize()
    x = data(3, 5)
    expected = net(x).asnumpy()
    net.hybridize()
    np.testing.assert_array_equal(net(x).asnumpy(), expected)
    with pytest.raises(NotBuiltError, match="Traced: overrides forward"):
        net(mx.sym.var("data"))


def test_forward_with_parameters_of_its_own():
    class Scale(gluon.HybridBlock):
        def __init__(self):
            super().__init__()
            self.weight = gluon.Parameter("weight", shape=(0,), init="ones", allow_deferred_init=True)

        def forward(self, x):
            return x * self.weight.data()

        def infer_shape(self, x):
            self.weight.shape = (x.shape[1],)

    for hybridize in (False, True):
        net = nn.HybridSequential()
        net.add(nn.Dense(3), Scale())
        net.initialize()
        if hybridize:
            net.hybridize()
        assert net(data(2, 4)).shape == (2, 3) and net[1].weight.shape == (3,)


def written_in_place(x):
    y = x * 1
    y += 2
    y[0] = 5
    y[:, 1] = x[:, 2]
    return y


IDIOMS = {
    "slice": lambda x: x[:, 1:], "row": lambda x: x[-1], "step": lambda x: x[::2], "transpose": lambda x: x.T,
    "reshape": lambda x: x.reshape(-1, 2), "astype": lambda x: x.astype("float64"),
    "zeros": lambda x: nd.zeros(x.shape, ctx=x.ctx, dtype=x.dtype) + x, "array": lambda x: x * nd.array([1., 2, 3, 4]),
    "in place": written_in_place, "split": lambda x: nd.split(x, 2, axis=1)[1], "length": lambda x: x.sum() / len(x),
    "compare": lambda x: (x > 0.5) * x, "rows": lambda x: nd.concat(*[r.expand_dims(0) * 2 for r in x], dim=0),
    "index array": lambda x: x[nd.array([1, 0])], "copyto": lambda x: x.copyto(nd.zeros((2, 4))),
    "no bias": lambda x: nd.FullyConnected(x, nd.ones((3, 4)), None, no_bias=True, num_hidden=3),
    "random": lambda x: nd.random.uniform(shape=(2, 4)) + x, "dropout": lambda x: nd.Dropout(x, p=0.5, mode="always"),
}


@pytest.mark.parametrize("name", IDIOMS)
def test_what_forward_does_to_arrays_can_be_traced(name):
    class Idiom(gluon.HybridBlock):
        def forward(self, x):
            return IDIOMS[name](x)
    results = []
    net = Idiom()
    for hybridize in (False, True):
        net.hybridize(hybridize)
        mx.random.seed(2)
        results.append([net(data(2, 4) + i).asnumpy() for i in range(3)])
    for ours, theirs in zip(*results, strict=True):
        np.testing.assert_array_equal(ours, theirs)
        assert ours.dtype == theirs.dtype


def test_a_trace_leaves_arrays_from_outside_alone():
    outside = nd.zeros((2, 2))

    class Leaky(gluon.HybridBlock):
        def forward(self, x):
            return x.copyto(outside)
    net = Leaky()
    net.hybridize()
    with pytest.raises(MXNetError, match="writes to an array from outside"):
        net(data(2, 2))
    assert outside.asnumpy().tolist() == [[0, 0], [0, 0]]


def test_values_that_depend_on_data_cannot_be_traced():
    class Branch(gluon.HybridBlock):
        def forward(self, x):
            return x if x.sum().asscalar() > 0 else -x
    net = Branch()
    net(data(2, 2))
    net.hybridize()
    with pytest.raises(MXNetError, match="no values while a block is traced"):
        net(data(2, 2))


class Nested(gluon.HybridBlock):
    def hybrid_forward(self, F, x, states, mask=None):
        first, (second, third) = states
        out = x + first * second
        if mask is not None:
            out = F.broadcast_mul(out, mask)
        return out, [second, (third, None)]


def test_nested_arguments_and_results_keep_their_form():
    net = Nested()
    x, a, b, c, mask = (data(2, 2) + i for i in range(5))
    arguments = [(x, [a, (b, c)]), (x, [a, (b, c)], mask), (x, [a, (b, c)], None)]
    eager = [net(*args) for args in arguments]
    net.hybridize()
    for args, expected in zip(arguments, eager, strict=True):
        for _ in range(2):
            out, (second, (third, nothing)) = net(*args)
            np.testing.assert_array_equal(out.asnumpy(), expected[0].asnumpy())
            np.testing.assert_array_equal(second.asnumpy(), b.asnumpy())
            np.testing.assert_array_equal(third.asnumpy(), c.asnumpy())
            assert nothing is None and isinstance(net(*args), tuple)


def test_what_is_no_array_is_refused():
    net = Nested()
    net.hybridize()
    with pytest.raises(ValueError, match="nested"):
        net(data(2, 2), [3, (data(2, 2), data(2, 2))])
    with pytest.raises(ValueError, match="without any NDArray or Symbol"):
        nn.Dense(2)(np.ones((2, 2)))


def test_blocks_compose_with_symbols():
    net = small_net()
    out = net(mx.sym.var("data"))
    assert out.list_arguments()[0] == "data"
    assert out.list_auxiliary_states() == [net[1].running_mean.name, net[1].running_var.name]
    assert "__block__" not in out.tojson()


def test_export_and_imports(tmp_path):
    path = str(tmp_path / "model")
    net = small_net()
    x = data(2, 3, 8, 8)
    with pytest.raises(RuntimeError, match="hybridize"):
        net.export(path)
    net.hybridize()
    expected = net(x).asnumpy()
    assert net.export(path, epoch=7) == (f"{path}-symbol.json", f"{path}-0007.params")
    assert "__block__" not in (tmp_path / "model-symbol.json").read_text()
    names = nd.load(f"{path}-0007.params")
    assert {name[:4] for name in names} == {"arg:", "aux:"} and f"aux:{net[1].running_mean.name}" in names
    block = gluon.SymbolBlock.imports(f"{path}-symbol.json", ["data"], f"{path}-0007.params")
    np.testing.assert_array_equal(block(x).asnumpy(), expected)
    np.testing.assert_array_equal(block(data(1, 3, 8, 8)).asnumpy(), net(data(1, 3, 8, 8)).asnumpy())


def test_an_exported_trace_of_forward_carries_its_fixed_arrays(tmp_path):
    path = str(tmp_path / "model")
    net = Traced()
    net.initialize()
    net.hybridize()
    x = data(4, 5)
    expected = net(x).asnumpy()
    net.export(path)
    block = gluon.SymbolBlock.imports(f"{path}-symbol.json", ["data"], f"{path}-0000.params")
    np.testing.assert_array_equal(block(x).asnumpy(), expected)


def test_a_wrong_shape_names_block_and_line():
    class Outer(gluon.HybridBlock):
        def __init__(self, **kwargs):
            super().__init__(**kwargs)
            with self.name_scope():
                self.features = nn.HybridSequential(prefix="")
                self.features.add(nn.Dense(3, in_units=4), nn.Dense(3, in_units=9))

        def hybrid_forward(self, F, x):
            return self.features(x)
    net = Outer(prefix="net_")
    net.initialize()
    net.hybridize()
    with pytest.raises(MXNetError, match=r"net\.features\.1 \(Dense net_dense1\), test_hybrid.py:\d+"):
        net(data(2, 4))


def test_contexts_are_kept_apart():
    net = nn.Dense(2, in_units=3)
    net.initialize(ctx=[mx.cpu(0), mx.cpu(1)])
    for _ in range(2):
        for ctx in (mx.cpu(0), mx.cpu(1)):
            assert net(nd.ones((1, 3), ctx=ctx)).ctx == ctx
        net.hybridize()


def test_hooks_on_the_outermost_block_run_every_time():
    net = Counting()
    net.initialize()
    net.hybridize()
    calls = []
    net.register_forward_hook(lambda *_: calls.append(1))
    net(data(2, 4))
    net(data(2, 4))
    assert len(calls) == 2
    with pytest.warns(UserWarning, match="forward hook"):
        net.hybridize()


@pytest.mark.parametrize("again", [copy.deepcopy, lambda net: pickle.loads(pickle.dumps(net))], ids=["copy", "pickle"])
def test_copies_stand_on_their_own(again):
    net = small_net()
    net.hybridize()
    x = data(2, 3, 8, 8)
    with autograd.record():
        net(x).sum().backward()
    expected = net(x).asnumpy()
    gluon.Trainer(net.collect_params(), "sgd").step(1)
    changed = net(x).asnumpy()
    other = again(net)
    np.testing.assert_array_equal(other(x).asnumpy(), changed)
    assert (changed != expected).any()
    with autograd.record():
        other(x).sum().backward()
    gluon.Trainer(other.collect_params(), "sgd", {"learning_rate": 1}).step(1)
    assert (other(x).asnumpy() != changed).any()
    np.testing.assert_array_equal(net(x).asnumpy(), changed)


def test_calls_from_several_threads():
    net = small_net()
    net.hybridize()
    expected = {n: net(data(n, 3, 8, 8)).asnumpy() for n in range(1, 5)}
    wrong = []

    def call(n):
        for _ in range(10):
            if (net(data(n, 3, 8, 8)).asnumpy() != expected[n]).any():
                wrong.append(n)
    threads = [threading.Thread(target=call, args=(n,)) for n in expected]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_gradients_of_gradients():
    net = nn.HybridSequential()
    net.add(nn.Dense(4, activation="tanh", in_units=3), nn.Dense(1, in_units=4))
    net.initialize(mx.init.Uniform(1))
    results = []
    for _ in range(2):
        x = data(2, 3)
        x.attach_grad()
        with autograd.record():
            slope = autograd.grad(net(x).sum(), [x], create_graph=True)[0]
            penalty = (slope * slope).sum()
        penalty.backward()
        results.append([x.grad.asnumpy(), net[0].weight.grad().asnumpy()])
        net.hybridize()
    for ours, theirs in zip(*results, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6)
        assert np.abs(ours).max() > 1e-3
