"""What an array is, its conversions, its protocols, creation."""
import copy
import pickle

import numpy as np
import pytest

import mxdl as mx
from mxdl.errors import DeviceError, MXNetError, NotBuiltError, OperatorError, ShapeError


def test_properties():
    x = mx.nd.zeros((2, 3), ctx=mx.cpu(1), dtype="float16")
    assert (x.shape, x.size, x.ndim, x.dtype, x.stype) == ((2, 3), 6, 2, np.float16, "default")
    assert x.context == x.ctx == mx.cpu(1) and x.context is mx.cpu(1)
    assert repr(x) == "\n[[0. 0. 0.]\n [0. 0. 0.]]\n<NDArray 2x3 @cpu(1)>"
    assert x.T.shape == (3, 2) and x.grad is None
    assert mx.NDArray is mx.nd.NDArray


def test_scalars():
    x = mx.nd.array([3.5])
    assert (float(x), int(x), bool(x), x.asscalar(), x.item()) == (3.5, 3, True, 3.5, 3.5)
    assert type(x.asscalar()) is np.float32
    assert not mx.nd.array([0]) and not mx.nd.array([])
    assert [10, 11, 12][mx.nd.array([2], dtype="int32")] == 12
    with pytest.raises(TypeError, match="only integer arrays"):
        [1, 2][mx.nd.array([1])]
    with pytest.raises(ValueError, match=r"exactly one element; got shape \(2,\)"):
        float(mx.nd.ones((2,)))
    with pytest.raises(ValueError, match="ambiguous"):
        bool(mx.nd.ones((2,)))


def test_array_is_float32_whatever_it_is_made_of():
    for source in ([1, 2], np.array([1, 2]), np.array([1.0, 2.0]), np.array([True, False]), (1, 2)):
        assert mx.nd.array(source).dtype == np.float32
    assert mx.nd.array(mx.nd.ones((2,), dtype="int8")).dtype == np.int8
    assert mx.nd.array([2**40], dtype="int64").asscalar() == 2**40
    assert mx.nd.array(5).shape == () and mx.nd.array(np.zeros((0, 3))).shape == (0, 3)
    assert mx.nd.array([mx.nd.ones((3,)), mx.nd.zeros((3,))]).shape == (2, 3)
    assert mx.nd.array(np.arange(6).reshape(2, 3).T).asnumpy().tolist() == [[0, 3], [1, 4], [2, 5]]
    with pytest.raises(TypeError, match="not an array of numbers; got list"):
        mx.nd.array(["a"])


@pytest.mark.parametrize("made, expected", [
    (lambda: mx.nd.zeros(3), [0, 0, 0]), (lambda: mx.nd.ones((2,), dtype="int32"), [1, 1]),
    (lambda: mx.nd.full((2,), 3), [3, 3]), (lambda: mx.nd.arange(3), [0, 1, 2]),
    (lambda: mx.nd.arange(0, 1, 0.5, repeat=2), [0, 0, 0.5, 0.5]), (lambda: mx.nd.linspace(0, 1, 3), [0, 0.5, 1]),
    (lambda: mx.nd.eye(2, 3, 1), [[0, 1, 0], [0, 0, 1]]), (lambda: mx.nd.zeros_like(mx.nd.ones((2,))), [0, 0])])
def test_creation(made, expected):
    np.testing.assert_array_equal(made().asnumpy(), expected)
    with mx.cpu(3):
        assert made().ctx == mx.cpu(3)


def test_creation_elsewhere():
    assert mx.nd.empty((2, 3), dtype="int64").dtype == np.int64
    out = mx.nd.zeros((2,))
    assert mx.nd.ones((2,), out=out) is out and out.asnumpy().tolist() == [1, 1]
    with pytest.raises(NotBuiltError, match="sparse storage is not built"):
        mx.nd.zeros((2,), stype="csr")


def test_astype_and_copies():
    x = mx.nd.array([1.7, -1.7])
    assert x.astype("int32").asnumpy().tolist() == [1, -1] and x.astype(np.float64).dtype == np.float64
    target = mx.nd.zeros((2,), dtype="int32")
    assert x.copyto(target) is target and target.asnumpy().tolist() == [1, -1]
    assert x.copyto(mx.cpu(2)).ctx == mx.cpu(2)
    with pytest.raises(ShapeError, match=r"got \(2,\) into \(3,\)"):
        x.copyto(mx.nd.zeros((3,)))
    with pytest.raises(TypeError, match="neither array nor context"):
        x.copyto("cpu")
    with pytest.raises(NotBuiltError, match="sparse"):
        x.tostype("csr")
    assert x.tostype("default").asnumpy().tolist() == x.asnumpy().tolist()


@pytest.mark.parametrize("args, kwargs, shape", [
    ((3, 4), {}, (3, 4)), (((-1, 6),), {}, (2, 6)), (((0, -1),), {}, (2, 6)), (((-3, -2),), {}, (6, 2)),
    (((-4, 1, 2, -2),), {}, (1, 2, 3, 2)), ((), {"shape": (-1,)}, (12,)), (((-1, 0),), {"reverse": True}, (6, 2)),
    ((-1,), {}, (12,))])
def test_reshape(args, kwargs, shape):
    x = mx.nd.arange(12).reshape((2, 3, 2))
    assert x.reshape(*args, **kwargs).shape == shape
    assert x.reshape(*args, **kwargs).asnumpy().ravel().tolist() == list(range(12))


def test_reshape_errors():
    with pytest.raises(ShapeError, match=r"got shape=\(5, 2\) for data\[12\]"):
        mx.nd.arange(12).reshape(5, 2)
    with pytest.raises(TypeError, match="unknown argument; got order"):
        mx.nd.arange(12).reshape((3, 4), order="C")


def test_broadcast_to_adds_axes():
    assert mx.nd.ones((3, 1)).broadcast_to((2, 3, 4)).shape == (2, 3, 4)


def test_numpy_protocols():
    x = mx.nd.array([1.0, 2.0])
    assert np.asarray(x).tolist() == [1, 2] and np.asarray(x, dtype="int32").dtype == np.int32
    assert isinstance(np.sin(x), np.ndarray) and np.mean(x) == 1.5
    assert np.concatenate([x, x]).tolist() == [1, 2, 1, 2]
    assert isinstance(np.float64(2) * x, mx.nd.NDArray) and isinstance(x * np.float64(2), mx.nd.NDArray)
    assert isinstance(np.ones(2) + x, np.ndarray)
    x.attach_grad()
    with mx.autograd.record():
        with pytest.raises(MXNetError, match="NumPy does not record gradients"):
            np.sin(x * 2)


def test_dlpack():
    x = mx.nd.arange(4)
    for y in (mx.nd.from_dlpack(x), mx.nd.from_dlpack(mx.nd.to_dlpack_for_read(x)), np.from_dlpack(x)):
        assert np.asarray(y).tolist() == [0, 1, 2, 3]
    assert x.__dlpack_device__()[0] == 1


def test_pickle_and_copy():
    x = mx.nd.array([[1, 2]], ctx=mx.cpu(1), dtype="float16")
    x.attach_grad()
    for y in (pickle.loads(pickle.dumps(x)), copy.deepcopy(x), copy.copy(x)):
        assert y.asnumpy().tolist() == [[1, 2]] and y.dtype == np.float16 and y.ctx == mx.cpu(1) and y is not x


def test_functions():
    x = mx.nd.arange(12).reshape((3, 4))
    assert mx.nd.concatenate([x, x], axis=1).shape == (3, 8)
    assert mx.nd.concatenate([x], always_copy=False) is x
    assert mx.nd.moveaxis(mx.nd.zeros((2, 3, 4)), (0, 1), (-1, 0)).shape == (3, 4, 2)
    assert [p.shape for p in x.split_v2(2, axis=1)] == [(3, 2), (3, 2)]
    assert [p.shape for p in mx.nd.split_v2(x, (1,), squeeze_axis=True)] == [(4,), (2, 4)]
    out = mx.nd.zeros((2, 3))
    mx.nd.onehot_encode(mx.nd.array([2, 0]), out)
    assert out.asnumpy().tolist() == [[0, 0, 1], [1, 0, 0]]
    counts, edges = mx.nd.histogram(x, bins=3, range=(0, 12))
    assert counts.asnumpy().tolist() == [4, 4, 4] and edges.asnumpy().tolist() == [0, 4, 8, 12]
    mx.nd.waitall()
    x.wait_to_read()


def test_moveaxis_and_split_errors():
    with pytest.raises(ValueError, match="axis 5 is out of bounds"):
        mx.nd.moveaxis(mx.nd.zeros((2, 3)), 5, 0)
    with pytest.raises(ValueError, match="got length 3 in 2 parts"):
        mx.nd.split_v2(mx.nd.zeros((3,)), 2)


def test_a_kernels_error_tells_operator_and_types():
    with pytest.raises(OperatorError, match=r"FullyConnected\(data=float32\[2, 3\], weight=float32\[5, 4\], "):
        mx.nd.FullyConnected(mx.nd.ones((2, 3)), mx.nd.ones((5, 4)), num_hidden=5, no_bias=True)


@pytest.mark.skipif(mx.num_gpus() == 0, reason="needs a GPU")
def test_two_devices_do_not_mix():
    with pytest.raises(DeviceError, match=r"got cpu\(0\) and gpu\(0\)"):
        mx.nd.ones((2,)) + mx.nd.ones((2,), ctx=mx.gpu(0))
