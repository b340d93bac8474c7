"""Programs compiled piece by piece: with a stand-in for the compiler, which takes seconds, and with Inductor itself."""
import numpy as np
import pytest
import torch

import mxdl as mx
from mxdl.executor import inductor
from mxdl.executor.inductor import CompiledPieces
from mxdl.executor.inductor_graph import compiled_whole
from mxdl.ops.in_place import add_product


def recurrent(units: int = 8, steps: int = 6):
    """A net whose weights are used at each step, with a BatchNorm."""
    class Net(mx.gluon.HybridBlock):
        def __init__(self, **kwargs):
            super().__init__(**kwargs)
            with self.name_scope():
                self.cell = mx.gluon.rnn.LSTMCell(units, input_size=units)
                self.norm = mx.gluon.nn.BatchNorm(in_channels=units)

        def hybrid_forward(self, F, x):
            states = [F.zeros_like(x), F.zeros_like(x)]
            for _ in range(steps):
                x, states = self.cell(self.norm(x), states)
            self.cell.reset()
            return x
    return Net()


def step_of(net, start, x, grad_req="write", **flags):
    """Outputs, gradients (of the data too) and running statistics after two steps."""
    for name, p in net.collect_params().items():
        p.set_data(start[name])
        if p.grad_req != "null":
            p.grad_req = grad_req
            p.zero_grad()
    net.hybridize(**flags)
    x = x.copy()
    x.attach_grad()
    for _ in range(2):
        with mx.autograd.record():
            y = net(x)
        y.backward()
    found = {"y": y, "x": x.grad, **{name: p.data() for name, p in net.collect_params().items()}}
    found.update({f"{n} gradient": p.grad() for n, p in net.collect_params().items() if p.grad_req != "null"})
    return {name: array.asnumpy() for name, array in found.items()}


def started(net, x):
    net.initialize(mx.init.Xavier())
    net(x)
    return {name: p.data().copy() for name, p in net.collect_params().items()}


@pytest.mark.parametrize("mirror", [False, True, "sqrt", 0.7])
@pytest.mark.parametrize("grad_req", ["write", "add"])
def test_pieces_give_the_gradients_of_the_whole(mirror, grad_req, monkeypatch):
    monkeypatch.setattr(inductor, "_LEAST", 5)
    monkeypatch.setattr(inductor, "compiled_whole", lambda function, tensors: lambda given: function(*given))
    made = []
    monkeypatch.setattr(CompiledPieces, "__init__", lambda self, *given, before=CompiledPieces.__init__:
                        (before(self, *given), made.append(len(self._pieces)))[0])
    x = mx.nd.random.uniform(shape=(4, 8))
    net = recurrent()
    start = started(net, x)
    plain = step_of(net, start, x, grad_req)
    pieces = step_of(net, start, x, grad_req, backend="inductor", mirror=mirror)
    assert made and made[0] > 5
    for name, values in plain.items():
        np.testing.assert_array_equal(pieces[name], values, err_msg=name)


@pytest.mark.slow
def test_compiled_pieces_agree(monkeypatch):
    monkeypatch.setattr(inductor, "_LEAST", 10)
    x = mx.nd.random.uniform(shape=(4, 8))
    net = recurrent()
    start = started(net, x)
    plain = step_of(net, start, x, "add")
    compiled = step_of(net, start, x, "add", backend="inductor", mirror=0.7)
    for name, values in plain.items():
        np.testing.assert_allclose(compiled[name], values, rtol=1e-4, atol=1e-6, err_msg=name)


@pytest.mark.slow
def test_a_sum_is_added_to_in_its_own_memory():
    def program(total, a, b):
        return (add_product(total, a.t(), b), torch.tanh(a))
    total, a, b = torch.rand(6, 5), torch.rand(4, 6), torch.rand(4, 5)
    expected = total + a.t() @ b
    found, _ = compiled_whole(program, [total, a, b])([total, a, b])
    assert found.data_ptr() == total.data_ptr()
    torch.testing.assert_close(found, expected)


@pytest.mark.slow
def test_biases_are_added_where_loops_read_the_product(monkeypatch):
    given = [torch.rand(4, 6), torch.rand(5, 6), torch.rand(5)]
    text = []
    from torch._inductor.graph import GraphLowering
    compile_to_module = GraphLowering.compile_to_module
    monkeypatch.setattr(GraphLowering, "compile_to_module", lambda self, *a, **k: (
        module := compile_to_module(self, *a, **k), text.append(open(module.__file__).read()))[0])
    found, = compiled_whole(lambda x, w, b: (torch.tanh(torch.nn.functional.linear(x, w, b)),), given)(list(given))
    torch.testing.assert_close(found, torch.tanh(torch.nn.functional.linear(*given)))
    compiled_whole(lambda x, w, b: (torch.nn.functional.linear(x, w, b),), given)
    assert ["addmm" in code for code in text] == [False, True]   # nobody reads the second in a loop
