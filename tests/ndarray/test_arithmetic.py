"""Python's operators on arrays."""
import operator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import mxdl as mx
from mxdl.errors import MXNetError, OperatorError, ShapeError

BINARY = [operator.add, operator.sub, operator.mul, operator.truediv, operator.pow]
COMPARE = [operator.eq, operator.ne, operator.gt, operator.ge, operator.lt, operator.le]
LEFT = np.array([[0.5, 1.0, 2.0], [3.0, 1.5, 1.0]], "float32")
RIGHT = np.array([1.0, 2.0, 0.5], "float32")


@pytest.mark.parametrize("function", BINARY + COMPARE + [operator.mod], ids=lambda f: f.__name__)
@pytest.mark.parametrize("right", [LEFT.T.reshape(2, 3), RIGHT.reshape(1, 3), 2.0, 2, np.float32(2), np.float64(0.5)],
                         ids=["same", "broadcast", "float", "int", "float32", "float64"])
def test_as_numpy(function, right):
    for a, b in ((LEFT, right), (right, LEFT)):
        got = function(*[mx.nd.array(v) if isinstance(v, np.ndarray) else v for v in (a, b)])
        assert isinstance(got, mx.nd.NDArray) and got.dtype == np.float32
        np.testing.assert_allclose(got.asnumpy(), function(a, b).astype("float32"), rtol=1e-6)


@given(st.integers(-20, 20), st.integers(-5, 5).filter(bool))
@settings(max_examples=50, deadline=None)
def test_numbers_do_not_change_an_integer_dtype(value, number):
    x = mx.nd.array([value], dtype="int32")
    assert (x + 2.7).asscalar() == value + 2      # the number is cut off first
    assert (x / number).asscalar() == int(value / number)
    assert (x / number).dtype == np.int32


def test_in_place_keeps_the_object_and_its_views():
    x = mx.nd.ones((2, 3))
    row, same = x[0], x
    x += 1
    x *= mx.nd.full((2, 3), 3)
    x -= 1
    x /= 5
    assert x is same and (x.asnumpy() == 1).all() and (row.asnumpy() == 1).all()
    x += row.reshape((1, 3))
    assert (x.asnumpy() == 2).all()


def test_in_place_does_not_grow():
    x = mx.nd.ones((1, 3))
    with pytest.raises(MXNetError, match=r"got \(2, 3\) for \(1, 3\)"):
        x += mx.nd.ones((2, 3))


def test_dtypes_do_not_mix():
    with pytest.raises(OperatorError, match=r"different dtypes; got .*lhs=float32\[3\], rhs=int32\[3\]"):
        mx.nd.ones((3,)) + mx.nd.ones((3,), dtype="int32")


def test_shapes_that_do_not_fit():
    with pytest.raises(ShapeError, match=r"lhs=float32\[3, 4\], rhs=float32\[3\]"):
        mx.nd.ones((3, 4)) + mx.nd.ones((3,))


@pytest.mark.parametrize("other", [[1, 2, 3], "x", None, np.ones(3)], ids=["list", "str", "None", "numpy"])
def test_other_things_are_refused(other):
    with pytest.raises(TypeError, match="neither array nor number"):
        mx.nd.ones((3,)) + other
    with pytest.raises(TypeError, match="neither array nor number"):
        operator.eq(mx.nd.ones((3,)), other)


def test_an_error_of_a_kernel_with_a_number():
    with pytest.raises(OperatorError, match=r"_div_scalar\(data=int32\[2\], scalar=0.0\): "):
        mx.nd.ones((2,), dtype="int32") / 0


def test_unary_and_hash():
    x = mx.nd.array([-1.0, 2.0])
    assert (-x).asnumpy().tolist() == [1, -2] and abs(x).asnumpy().tolist() == [1, 2]
    assert {x: 1}[x] == 1


@pytest.mark.parametrize("name, function", [
    ("add", np.add), ("subtract", np.subtract), ("multiply", np.multiply), ("divide", np.divide),
    ("true_divide", np.divide), ("modulo", np.mod), ("power", np.power), ("maximum", np.maximum),
    ("minimum", np.minimum), ("equal", np.equal), ("not_equal", np.not_equal), ("greater", np.greater),
    ("greater_equal", np.greater_equal), ("lesser", np.less), ("lesser_equal", np.less_equal),
    ("logical_and", np.logical_and), ("logical_or", np.logical_or), ("logical_xor", np.logical_xor)])
def test_functions_take_arrays_and_numbers(name, function):
    ours = getattr(mx.nd, name)
    cases = [(LEFT, LEFT[::-1].copy()), (LEFT, 2.0), (2.0, LEFT), (3, 2)]
    for a, b in cases:
        got = ours(*[mx.nd.array(v) if isinstance(v, np.ndarray) else v for v in (a, b)])
        np.testing.assert_allclose(np.asarray(got), function(a, b).astype("float32"), rtol=1e-6)
    with pytest.raises(TypeError, match="arrays or numbers"):
        ours(mx.nd.ones((1,)), "x")
