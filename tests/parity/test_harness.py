"""The harness itself: messages survive the trip, a planted fault is found, a dead MXNet is replaced."""
import io

import numpy as np
import pytest
import torch

from mxdl.ops.operator import Operator
from mxdl.ops.samples import Sample
from tests.parity import message
from tests.parity.client import MXNetRefused
from tests.parity.comparison import difference
from tests.parity.kernels import Call
from tests.parity.test_operators import compare
from tests.parity.variants import variants


def test_messages_survive_the_trip():
    stream = io.BytesIO()
    body = {"a": np.arange(6, dtype="float16").reshape(2, 3).T, "b": [1, 2.5, None, "x", (True,)],
            "c": {"empty": np.zeros((0, 3), "int64"), "scalar": np.array(7, "uint8")}}
    message.send(stream, body)
    stream.seek(0)
    got = message.receive(stream)
    assert got["b"] == [1, 2.5, None, "x", [True]]
    for ours, theirs in ((got["a"], body["a"]), (got["c"]["empty"], body["c"]["empty"]), (got["c"]["scalar"], 7)):
        np.testing.assert_array_equal(ours, theirs)
    assert got["a"].dtype == np.float16 and got["c"]["empty"].shape == (0, 3) and got["c"]["scalar"].shape == ()
    with pytest.raises(EOFError, match="got 0 of 8"):
        message.receive(stream)


def test_difference_names_the_worst_element():
    a, b = np.array([1.0, 2.0, np.nan], "float32"), np.array([1.0, 2.5, np.nan], "float32")
    assert difference("output 0", b, b) is None
    assert "1 of 3 elements differ, most at (1,)" in difference("output 0", a, b)
    assert "shape" in difference("output 0", a[:2], b) and "dtype" in difference("output 0", a, b.astype("float64"))
    assert "nan" in difference("output 0", b, np.ones(3, "float32"))
    assert "inf" in difference("output 0", a[:1], np.array([np.inf], "float32"))
    assert difference("output 0", np.array(1, "int32"), np.array([1], "int32"), scalars_alike=True) is None


def test_variants_of_a_sample():
    call = Call([np.ones((2, 3), "float32")], {"axis": 1})
    assert {name for name, _ in variants(call)} == {
        "float64", "float16", "axis=-1", "axis 0 of length 1", "axis 1 of length 1", "last axis of length 0"}


def softmax_like(fault: str) -> Operator:
    """softmax with one fault planted in it."""
    def softmax(data, *, axis: int = -1):
        if fault == "forward":
            axis = -1
        return data.softmax(axis)

    op = Operator("softmax", softmax, samples=[Sample((2, 3), axis=0)])
    if fault == "backward":
        @op.gradient
        def _(call):
            return [call.outputs[0] * call.douts[0]]
    return op


@pytest.mark.parity
@pytest.mark.parametrize("fault, says", [("", None), ("forward", "output 0"), ("backward", "gradient by its rule")])
def test_a_planted_fault_is_found(mxnet, fault, says):
    op = softmax_like(fault)
    problems, has_gradient = compare(op, "softmax", Call(op.samples[0].arrays(), {"axis": 0}, grad=(0,)), mxnet, None)
    assert has_gradient
    assert not problems if says is None else problems[0].startswith(says)


@pytest.mark.parity
def test_what_mxnet_refuses_and_mxdl_takes_is_no_fault(mxnet):
    with pytest.raises(MXNetRefused, match="expects 1 inputs"):
        mxnet.op("relu", [np.ones(2, "float32")] * 2)


@pytest.mark.parity
def test_updated_states_come_back(mxnet):
    x = np.arange(6, dtype="float32").reshape(2, 3)
    ones = np.ones(3, "float32")
    answer = mxnet.op("BatchNorm", [x, ones, ones, ones * 0, ones], {"momentum": 0.5}, train=True, grad=[0],
                      head_grads=[x])
    np.testing.assert_allclose(answer.inputs[3], x.mean(0) / 2, rtol=1e-6)


@pytest.mark.parity
def test_a_dead_mxnet_is_replaced(mxnet):
    with pytest.raises(MXNetRefused, match="exit status 3"):
        mxnet.run("import os; os._exit(3)")
    result = mxnet.run("print('to stderr'); result = {'a': mx.nd.array(x) * 2, 'b': (1, 2.5)}", x=np.ones(2))
    assert result["b"] == [1, 2.5] and torch.equal(torch.from_numpy(result["a"]), torch.full((2,), 2.0))
