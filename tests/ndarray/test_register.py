"""The functions of mx.nd and the methods of NDArray that come from the operator registry."""
import inspect

import pytest

import mxdl as mx
from mxdl.errors import NotBuiltError, OperatorError, ShapeError
from mxdl.ndarray.register import REMEMBERED, remembering_parse
from mxdl.ops import get
from mxdl.ops.faces import faces


def test_every_name_of_every_operator_is_there():
    for face in faces():
        module = mx.nd if face.namespace == "op" else getattr(mx.nd, face.namespace)
        assert callable(getattr(module, face.name)), face


def test_signature_and_docstring():
    assert str(inspect.signature(mx.nd.op.sum)).startswith("(data=None, axis=")
    assert list(inspect.signature(mx.nd.FullyConnected).parameters)[:4] == ["data", "weight", "bias", "num_hidden"]
    assert list(inspect.signature(mx.nd.FullyConnected).parameters)[-2:] == ["out", "name"]
    assert "whole number, required" in mx.nd.FullyConnected.__doc__
    assert mx.nd.relu.__name__ == "relu" and mx.nd.relu.__module__ == "mxdl.ndarray.op"


def test_ways_to_give_arguments():
    x = mx.nd.arange(6).reshape((2, 3))
    for got in (mx.nd.sum(x, 1), mx.nd.sum(x, axis=1), mx.nd.sum(data=x, axis=(1,)), mx.nd.sum(x, axis="1"),
                x.sum(1), x.sum(axis=1), mx.nd.sum(x, axis=[1]), mx.nd.op.sum(x, 1)):
        assert got.asnumpy().tolist() == [3, 12]
    out = mx.nd.zeros((2,))
    assert mx.nd.sum(x, axis=1, out=out, name="ignored") is out and out.asnumpy().tolist() == [3, 12]


def test_optional_inputs_by_place_and_by_name():
    x, w, b = mx.nd.ones((2, 3)), mx.nd.ones((4, 3)), mx.nd.ones((4,))
    for got in (mx.nd.FullyConnected(x, w, b, num_hidden=4), mx.nd.FullyConnected(x, w, b, 4),
                mx.nd.FullyConnected(data=x, weight=w, bias=b, num_hidden=4)):
        assert (got.asnumpy() == 4).all()
    for got in (mx.nd.FullyConnected(x, w, num_hidden=4, no_bias=True),
                mx.nd.FullyConnected(x, w, None, 4, True),
                mx.nd.FullyConnected(x, w, b, num_hidden=4, no_bias=True)):
        assert (got.asnumpy() == 3).all()


def test_any_number_of_inputs():
    x = mx.nd.ones((2, 3))
    for got in (mx.nd.concat(x, x, dim=0), mx.nd.concat([x, x], dim=0), mx.nd.concat(*[x, x], dim=0)):
        assert got.shape == (4, 3)


def test_several_outputs_are_a_list():
    parts = mx.nd.split(mx.nd.ones((2, 4)), num_outputs=2, axis=1)
    assert isinstance(parts, list) and [p.shape for p in parts] == [(2, 2), (2, 2)]
    assert mx.nd.split(mx.nd.ones((2, 4)), num_outputs=1, axis=1).shape == (2, 4)


@pytest.mark.parametrize("call, error", [
    (lambda x: mx.nd.relu(), "input 'data' is missing"),
    (lambda x: mx.nd.relu([1, 2]), "input 'data' is not an NDArray; got list"),
    (lambda x: mx.nd.relu(x, x), "too many arguments; got 2; it takes data"),
    (lambda x: mx.nd.sum(x, axs=1), "no attribute 'axs'.*did you mean 'axis'"),
    (lambda x: mx.nd.FullyConnected(x, num_hidden=3), "input 'weight' is missing; got data"),
    (lambda x: mx.nd.FullyConnected(x, x), "attribute 'num_hidden' is missing"),
    (lambda x: mx.nd.sum(x, axis="one"), "axis"),
])
def test_errors(call, error):
    with pytest.raises(OperatorError, match=error):
        call(mx.nd.ones((2, 2)))


def test_an_argument_given_twice():
    x = mx.nd.ones((2, 2))
    with pytest.raises(TypeError, match="'axis' is given twice"):
        mx.nd.sum(x, 1, axis=1)
    with pytest.raises(TypeError, match="'data' is given twice"):
        mx.nd.relu(x, data=x)


def test_out_must_fit():
    with pytest.raises(ShapeError, match=r"got \(3,\); make it \(2,\)"):
        mx.nd.relu(mx.nd.ones((2,)), out=mx.nd.ones((3,)))


def test_names_that_were_written_by_hand_win():
    assert mx.nd.maximum(2, 3) == 3 and mx.nd.zeros(2).shape == (2,)


def test_parsed_attributes_are_remembered_and_bounded():
    parse = remembering_parse(get("_plus_scalar"))
    first = parse({"scalar": 2})
    assert parse({"scalar": 2}) is first and parse({"scalar": "2"}).attrs == {"scalar": 2.0}
    for i in range(3, REMEMBERED + 3):
        assert parse({"scalar": i}).attrs == {"scalar": float(i)}
    assert parse({"scalar": 2}) is not first, "forgotten: memory must not grow with the number of different calls"


def test_a_misspelt_name():
    with pytest.raises(AttributeError, match="nothing is called 'rulu' here; did you mean 'relu'"):
        mx.nd.rulu
    assert not hasattr(mx.nd, "my_operator")


def test_sparse_storage_is_refused():
    assert not isinstance(mx.nd.ones((2,)), (mx.nd.sparse.CSRNDArray, mx.nd.sparse.RowSparseNDArray))
    for make in (mx.nd.sparse.csr_matrix, mx.nd.sparse.row_sparse_array, mx.nd.sparse.CSRNDArray):
        with pytest.raises(NotBuiltError, match="use a dense array"):
            make([[1]])
    assert mx.nd.sparse.zeros("default", (2,)).shape == (2,)
