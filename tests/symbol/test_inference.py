"""Shapes and dtypes asked of a symbol."""
import numpy as np
import pytest

import mxdl as mx
from mxdl.errors import ShapeError


def fc():
    return mx.sym.FullyConnected(mx.sym.var("data"), num_hidden=3, name="fc")


def test_parameter_shapes_follow_from_the_data():
    assert fc().infer_shape(data=(2, 5)) == ([(2, 5), (3, 5), (3,)], [(2, 3)], [])
    assert fc().infer_shape((2, 5)) == ([(2, 5), (3, 5), (3,)], [(2, 3)], [])
    hinted = mx.sym.FullyConnected(mx.sym.var("data", shape=(2, 4)), num_hidden=1)
    assert hinted.infer_shape()[1] == [(2, 1)]


def test_what_is_unknown_is_said_or_left_empty():
    with pytest.warns(UserWarning, match="unknown: data, fc_weight, fc_bias"):
        assert fc().infer_shape() == (None, None, None)
    assert fc().infer_shape_partial() == ([(), (), ()], [()], [])


def test_unknown_lengths_stay_unknown_and_others_are_told():
    assert fc().infer_shape_partial(data=(0, 4)) == ([(0, 4), (3, 4), (3,)], [(0, 3)], [])
    image = mx.sym.Convolution(mx.sym.var("data"), kernel=(3, 3), num_filter=2, name="c")
    pooled = mx.sym.Pooling(image, global_pool=True, pool_type="avg")
    arguments, outputs, _ = mx.sym.Group([image, pooled]).infer_shape_partial(data=(0, 3, 0, 8))
    assert arguments == [(0, 3, 0, 8), (2, 3, 3, 3), (2,)]
    assert outputs == [(0, 2, 0, 6), (0, 2, 1, 1)]


def test_contradictions_name_the_node():
    with pytest.raises(ShapeError, match="'fc'.*fc_weight"):
        fc().infer_shape(data=(2, 5), fc_weight=(3, 4))
    with pytest.raises(ShapeError, match="did you mean 'data'"):
        fc().infer_shape(dat=(2, 5))


def test_dtypes():
    assert fc().infer_type(data="float16") == ([np.float16] * 3, [np.float16], [])
    assert fc().infer_type("float64")[1] == [np.float64]
    words = mx.sym.Embedding(mx.sym.var("words"), input_dim=3, output_dim=2, name="e")
    assert words.infer_type(words="int32") == ([np.int32, np.float32], [np.float32], [])
    with pytest.warns(UserWarning):
        assert fc().infer_type() == (None, None, None)
    assert fc().infer_type_partial() == ([None] * 3, [None], [])
