"""x[key] and x[key] = value against NumPy, and MXNet's rules where they differ."""
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import mxdl as mx
from mxdl.errors import ShapeError

SHAPES = hnp.array_shapes(min_dims=1, max_dims=4, min_side=1, max_side=5)


def counted(shape):
    return np.arange(np.prod(shape), dtype="float32").reshape(shape)


@st.composite
def array_and_basic_key(draw):
    shape = draw(SHAPES)
    key = draw(hnp.basic_indices(shape, allow_newaxis=True, allow_ellipsis=True))
    return counted(shape), key


@st.composite
def array_and_advanced_key(draw):
    shape = draw(SHAPES)
    key = draw(hnp.integer_array_indices(shape, result_shape=hnp.array_shapes(max_dims=2, max_side=4)))
    return counted(shape), key


def expected_shape(part):
    """MXNet 1.x has no arrays without axes: integers on every axis give shape (1,)."""
    return part.reshape(1) if np.ndim(part) == 0 else part


@given(array_and_basic_key())
@settings(max_examples=300, deadline=None)
def test_basic_keys_read_as_in_numpy(case):
    values, key = case
    got = mx.nd.array(values)[key].asnumpy()
    np.testing.assert_array_equal(got, expected_shape(values[key]))
    assert got.shape == expected_shape(values[key]).shape


@given(array_and_basic_key(), st.booleans())
@settings(max_examples=300, deadline=None)
def test_basic_keys_write_as_in_numpy(case, scalar):
    values, key = case
    x = mx.nd.array(values)
    part = values[key]
    new = 100.0 if scalar else -np.asarray(part)
    x[key] = new if scalar else mx.nd.array(new)
    values[key] = new
    np.testing.assert_array_equal(x.asnumpy(), values)


@given(array_and_advanced_key())
@settings(max_examples=200, deadline=None)
def test_arrays_of_indices_read_and_write_as_in_numpy(case):
    values, key = case
    x = mx.nd.array(values)
    for spelled in (key, tuple(mx.nd.array(k, dtype="int64") for k in key)):
        np.testing.assert_array_equal(x[spelled].asnumpy(), expected_shape(values[key]))
    x[key] = 7.0
    values[key] = 7.0
    np.testing.assert_array_equal(x.asnumpy(), values)


def test_a_list_and_a_float_array_are_indices():
    x = mx.nd.array(counted((3, 4)))
    np.testing.assert_array_equal(x[[0, 2]].asnumpy(), counted((3, 4))[[0, 2]])
    np.testing.assert_array_equal(x[mx.nd.array([0, 2])].asnumpy(), counted((3, 4))[[0, 2]])


def test_arrays_of_bool_are_masks():
    values = counted((3, 4))
    x = mx.nd.array(values)
    mask = values > 5
    np.testing.assert_array_equal(x[mask].asnumpy(), values[mask])
    np.testing.assert_array_equal(x[mx.nd.array([1, 0, 1], dtype="bool")].asnumpy(), values[[0, 2]])
    x[mask] = 0
    assert x.asnumpy().max() == 5


@pytest.mark.parametrize("key", ["0", "0:1", "...", ":", "0, 0", "None", "0, 1:", "0:2:2", "0:1, :"])
def test_contiguous_parts_share_memory(key):
    x = mx.nd.zeros((2, 3))
    part = eval(f"x[{key}]", {"x": x})
    part[:] = 7
    assert (x.asnumpy() == 7).sum() == part.size


@pytest.mark.parametrize("key", [":, 0:1", "::-1", "[0]", ":, ::2"])
def test_other_parts_are_copies(key):
    x = mx.nd.zeros((2, 3))
    part = eval(f"x[{key}]", {"x": x})
    part[:] = 7
    assert not x.asnumpy().any()


@pytest.mark.parametrize("key, error", [
    (5, "axis 0 holds 2 entries; got index 5"), ((0, 9), "axis 1 holds 3 entries; got index 9"),
    ((0, 0, 0), "too many indices"), (np.array([5]), "got index 5"), (np.array([-3]), "got index -3"),
    ((..., ...), "stands twice")])
def test_keys_out_of_bounds(key, error):
    with pytest.raises(IndexError, match=error):
        mx.nd.zeros((2, 3))[key]


def test_a_key_that_is_no_index():
    with pytest.raises(ValueError, match="not an index; got 1.5"):
        mx.nd.zeros((2, 3))[1.5]


def test_a_value_that_does_not_fit():
    with pytest.raises(ShapeError, match=r"got shape \(2,\) for a part of shape \(3,\)"):
        mx.nd.zeros((2, 3))[0] = mx.nd.ones((2,))


def test_iteration_gives_rows():
    rows = list(mx.nd.array([[1, 2], [3, 4]]))
    assert [row.asnumpy().tolist() for row in rows] == [[1, 2], [3, 4]]
    assert len(mx.nd.zeros((4, 1))) == 4
    assert [x.shape for x in mx.nd.zeros((2,))] == [(1,), (1,)]
