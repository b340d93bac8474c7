"""Every operator gives the same in a graph as eagerly: outputs, gradients, states written back, random draws."""
from __future__ import annotations

import numpy as np

import mxdl as mx
from mxdl import autograd
from mxdl.executor import CachedOp
from mxdl.graph import Graph, Value, apply, variable
from mxdl.ndarray.invoke import invoke
from mxdl.ndarray.ndarray import NDArray
from tests.ops.calls import Case, for_each, head_gradients, sample_cases


def arrays_of(case: Case) -> list:
    """The inputs as arrays; those that gradients flow to have one attached."""
    arrays = [mx.nd.array(a, dtype=a.dtype) for a in case.call.inputs]
    for i in case.call.grad:
        arrays[i].attach_grad()
    return arrays


def graph_of(case: Case) -> Graph:
    inputs = [variable(f"input{i}") for i in range(len(case.call.inputs))]
    made = apply(case.op, inputs, case.op.parse(case.call.attrs))
    visible = case.op.num_visible(case.op.parse(case.call.attrs))
    values = [made] if isinstance(made, Value) else list(made)
    return Graph(values[:visible], [value.node for value in inputs])


def results(case: Case, function) -> list[np.ndarray]:
    """Outputs, gradients of all inputs that have one, and the inputs as the call left them."""
    arrays = arrays_of(case)
    mx.random.seed(3)
    if not case.call.grad:
        with autograd.train_mode() if case.call.training else autograd.predict_mode():
            outputs = function(arrays)
    else:
        with autograd.record(train_mode=case.call.training):
            outputs = function(arrays)
            floats = [out for out in outputs if out._data.requires_grad]
        heads = [NDArray.from_torch(head) for head in head_gradients([out.to_torch() for out in floats])]
        autograd.backward(floats, heads)
    grads = [arrays[i].grad for i in case.call.grad]
    return [x.asnumpy() for x in (*outputs, *grads, *arrays)]


def eagerly(case: Case):
    def run(arrays):
        made = invoke(case.op, arrays, case.op.parse(case.call.attrs))
        return made if isinstance(made, list) else [made]
    return run


@for_each([c for c in sample_cases() if c.call.inputs])
def test_graph_equals_eager(case):
    program = CachedOp(graph_of(case))
    for a, b in zip(results(case, lambda arrays: program(*arrays)), results(case, eagerly(case)), strict=True):
        assert a.shape == b.shape
        assert a.dtype == b.dtype
        np.testing.assert_allclose(a, b, rtol=2e-5, atol=1e-6)
