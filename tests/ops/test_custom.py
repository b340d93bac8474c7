"""Operators that users write in Python: what MXNet does not show (tests/parity/test_custom.py compares the rest)."""
import subprocess
import sys

import numpy as np
import pytest

import mxdl as mx
from mxdl.errors import MXNetError, NotBuiltError, OperatorError, ShapeError

CALLS: list[str] = []


class Noisy(mx.operator.CustomOp):
    """data + noise of its own, which backward knows."""

    def forward(self, is_train, req, in_data, out_data, aux):
        CALLS.append("forward")
        self.noise = mx.nd.array(np.random.uniform(1, 2, in_data[0].shape))
        self.assign(out_data[0], req[0], in_data[0] * self.noise)

    def backward(self, req, out_grad, in_data, out_data, in_grad, aux):
        CALLS.append("backward")
        self.assign(in_grad[0], req[0], out_grad[0] * self.noise)


@mx.operator.register("test_noisy")
class NoisyProp(mx.operator.CustomOpProp):
    def create_operator(self, ctx, in_shapes, in_dtypes):
        assert (ctx, in_dtypes[0]) == ("cpu(0)", np.float32)
        return Noisy()


class Net(mx.gluon.HybridBlock):
    """Two equal nodes on one input: their draws must differ, and each backward pass must know its own."""

    def __init__(self):
        super().__init__()
        self.dense = mx.gluon.nn.Dense(3, in_units=3, use_bias=False)
        self.layers = mx.gluon.nn.HybridSequential()
        for _ in range(6):
            self.layers.add(mx.gluon.nn.Dense(3, in_units=3, activation="tanh"))

    def hybrid_forward(self, F, x):
        y = self.dense(x)
        return self.layers(F.Custom(y, op_type="test_noisy") - F.Custom(y, op_type="test_noisy"))


def step(mirror):
    mx.random.seed(1)
    np.random.seed(1)
    net = Net()
    net.initialize(mx.init.Xavier())
    if mirror is not None:
        net.hybridize(mirror=mirror)
    x = mx.nd.ones((4, 3))
    CALLS.clear()
    with mx.autograd.record():
        out = net(x)
    out.backward()
    return [out.asnumpy(), *(p.grad().asnumpy() for p in net.collect_params().values())]


@pytest.mark.parametrize("mirror", [False, True, "sqrt", "min", 0.9])
def test_a_call_runs_once_and_keeps_its_state(mirror):
    eager = step(None)
    assert np.abs(eager[0]).max() > 1e-3        # the two nodes drew different noise
    for one, other in zip(eager, step(mirror), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-6, atol=1e-7)
    assert sorted(CALLS) == ["backward"] * 2 + ["forward"] * 2


def test_a_new_definition_counts_for_graphs_made_from_then_on():
    def define(factor):
        class Op(mx.operator.CustomOp):
            def forward(self, is_train, req, in_data, out_data, aux):
                self.assign(out_data[0], req[0], in_data[0] * factor)

        @mx.operator.register("test_redefined")
        class Prop(mx.operator.CustomOpProp):
            def infer_shape(self, in_shape):
                return in_shape, [in_shape[0] if factor == 2 else [*in_shape[0]]], []

            def create_operator(self, ctx, in_shapes, in_dtypes):
                return Op()
    x = mx.nd.ones(2)
    define(2)
    old = mx.sym.Custom(mx.sym.var("x"), op_type="test_redefined")
    define(5)
    assert mx.nd.Custom(x, op_type="test_redefined").asnumpy().tolist() == [5, 5]
    assert old.bind(mx.cpu(), {"x": x}).forward()[0].asnumpy().tolist() == [2, 2]
    assert "test_redefined" in mx.operator.get_all_registered_operators()


class Wrong(mx.operator.CustomOp):
    def forward(self, is_train, req, in_data, out_data, aux):
        raise ValueError("too hot")


@mx.operator.register("test_wrong")
class WrongProp(mx.operator.CustomOpProp):
    def __init__(self, shapes="one"):
        super().__init__()
        self.shapes = shapes

    def infer_shape(self, in_shape):
        return [[9]] if self.shapes == "other" else in_shape, [in_shape[0]] * (2 if self.shapes == "two" else 1), []

    def create_operator(self, ctx, in_shapes, in_dtypes):
        return Wrong()


def call(**options):
    return mx.nd.Custom(mx.nd.ones(2), **options)


def test_errors_say_what_to_do():
    with pytest.raises(OperatorError, match=r"got op_type='test_wrogn'; register it .* did you mean 'test_wrong'"):
        call(op_type="test_wrogn")
    with pytest.raises(OperatorError, match="Custom.*too hot"):
        call(op_type="test_wrong")
    with pytest.raises(MXNetError, match=r"infer_shape returns lists of wrong lengths; got \[1, 2, 0\]"):
        call(op_type="test_wrong", shapes="two")
    with pytest.raises(ShapeError, match=r"data has the wrong shape; got float32\[2\], and infer_shape says \(9,\)"):
        call(op_type="test_wrong", shapes="other")
    with pytest.raises(MXNetError, match="WrongProp does not take these options .* got {'heat': '3'}"):
        call(op_type="test_wrong", heat=3)
    with pytest.raises(OperatorError, match="it takes data; got 2 arrays by position"):
        mx.nd.Custom(mx.nd.ones(2), mx.nd.ones(2), op_type="test_wrong")
    with pytest.raises(OperatorError, match="it does not take, or has by position; got label"):
        mx.sym.Custom(mx.sym.var("a"), label=mx.sym.var("b"), op_type="test_wrong")
    with pytest.raises(NotImplementedError, match="Wrong: backward is not written"):
        x = mx.nd.ones(2)
        x.attach_grad()
        Wrong().backward(["write"], [x], [x], [x], [x], [])
    with pytest.raises(MXNetError, match="not a subclass of CustomOpProp"):
        mx.operator.register("test_none")(Wrong)
    with pytest.raises(NotBuiltError, match="write it as a CustomOp"):
        mx.operator.NumpyOp()
    with pytest.raises(MXNetError, match="unknown request; got 'wirte'"):
        Wrong().assign(mx.nd.ones(1), "wirte", 1)


def test_it_is_refused_by_name_where_python_does_not_run(tmp_path):
    net = Net()
    net.initialize()
    net.hybridize()
    with pytest.raises(MXNetError, match="Custom"):
        net.export_c(str(tmp_path / "net.c"), mx.nd.ones((4, 3)))
    assert not list(tmp_path.iterdir())


def test_a_file_is_read_where_the_operator_is_registered(tmp_path):
    path = tmp_path / "net-symbol.json"
    mx.sym.Custom(mx.sym.var("x"), op_type="test_noisy", name="noisy").save(str(path))
    assert mx.sym.load(str(path)).list_outputs() == ["noisy_output"]
    done = subprocess.run([sys.executable, "-c", f"import mxdl; mxdl.sym.load({str(path)!r})"], capture_output=True,
                          text=True)
    assert "got op_type='test_noisy'; register it with @mx.operator.register('test_noisy')" in done.stderr


def test_higher_gradients_are_refused():
    x = mx.nd.ones(2)
    x.attach_grad()
    with mx.autograd.record():
        y = mx.nd.Custom(x, op_type="test_noisy") ** 2
        first = mx.autograd.grad(y, [x], create_graph=True)[0]
        total = (first * first).sum()
    with pytest.raises(MXNetError, match="once_differentiable"):
        total.backward()
