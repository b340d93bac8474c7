"""Every layer: shapes, the same bits hybridized, files; values where a formula is short."""
import numpy as np
import pytest

import mxdl as mx
from mxdl import autograd, nd
from mxdl.errors import NotBuiltError
from mxdl.gluon import contrib, nn
from tests.gluon.layer_checks import check_layer, pattern

LAYERS = {
    "Dense(4)": ((2, 3, 2), (2, 4)),
    "Dense(4, flatten=False, use_bias=False, activation='tanh')": ((2, 3, 2), (2, 3, 4)),
    "Conv1D(4, 3, padding=1)": ((2, 3, 8), (2, 4, 8)),
    "Conv2D(4, (3, 2), strides=(2, 1), padding=(1, 0), dilation=(1, 2), use_bias=False)": ((2, 3, 8, 7), (2, 4, 4, 5)),
    "Conv2D(6, 3, groups=3, activation='relu')": ((2, 3, 6, 6), (2, 6, 4, 4)),
    "Conv2D(5, 3, layout='NHWC')": ((2, 6, 6, 3), (2, 4, 4, 5)),
    "Conv3D(2, 2)": ((1, 2, 4, 4, 4), (1, 2, 3, 3, 3)),
    "Conv1DTranspose(3, 3, strides=2)": ((2, 4, 5), (2, 3, 11)),
    "Conv2DTranspose(3, 3, strides=2, padding=1, output_padding=1)": ((2, 4, 4, 5), (2, 3, 8, 10)),
    "Conv3DTranspose(2, 2)": ((1, 2, 3, 3, 3), (1, 2, 4, 4, 4)),
    "MaxPool1D()": ((2, 3, 7), (2, 3, 3)),
    "MaxPool2D(3, 2, ceil_mode=True)": ((2, 3, 8, 8), (2, 3, 4, 4)),
    "MaxPool3D()": ((1, 2, 4, 4, 4), (1, 2, 2, 2, 2)),
    "AvgPool1D(3, 1, 1)": ((2, 3, 7), (2, 3, 7)),
    "AvgPool2D(3, 2, 1, count_include_pad=False)": ((2, 3, 7, 7), (2, 3, 4, 4)),
    "AvgPool3D()": ((1, 2, 4, 4, 4), (1, 2, 2, 2, 2)),
    "GlobalMaxPool1D()": ((2, 3, 5), (2, 3, 1)),
    "GlobalMaxPool2D()": ((2, 3, 4, 5), (2, 3, 1, 1)),
    "GlobalMaxPool3D()": ((2, 3, 2, 2, 2), (2, 3, 1, 1, 1)),
    "GlobalAvgPool1D()": ((2, 3, 5), (2, 3, 1)),
    "GlobalAvgPool2D()": ((2, 3, 4, 5), (2, 3, 1, 1)),
    "GlobalAvgPool3D()": ((2, 3, 2, 2, 2), (2, 3, 1, 1, 1)),
    "BatchNorm()": ((3, 4, 2, 2), None),
    "BatchNorm(axis=-1, center=False, scale=False)": ((4, 5), None),
    "BatchNorm(use_global_stats=True)": ((3, 4), None),
    "BatchNormReLU()": ((3, 4, 2), None),
    "LayerNorm()": ((3, 2, 5), None),
    "LayerNorm(axis=1, center=False)": ((3, 4, 2), None),
    "InstanceNorm()": ((2, 3, 4, 4), None),
    "InstanceNorm(axis=2)": ((2, 3, 4), None),
    "GroupNorm(num_groups=2)": ((2, 4, 3, 3), None),
    "Activation('softsign')": ((2, 5), None),
    "LeakyReLU(0.2)": ((2, 5), None),
    "PReLU()": ((2, 5), None),
    "PReLU(in_channels=5)": ((2, 5, 3), None),
    "ELU(0.7)": ((2, 5), None),
    "SELU()": ((2, 5), None),
    "GELU()": ((2, 5), None),
    "Swish(2.0)": ((2, 5), None),
    "Flatten()": ((2, 3, 4), (2, 12)),
    "Dropout(0.4)": ((20, 5), None),
    "Dropout(0)": ((2, 5), None),
    "Dropout(0.4, axes=(1,))": ((20, 5), None),
    "HybridLambda(lambda F, x: F.exp(x) * 2)": ((2, 3), None),
    "HybridLambda('tanh')": ((2, 3), None),
    "ReflectionPad2D(1)": ((1, 2, 4, 4), (1, 2, 6, 6)),
}


@pytest.mark.parametrize("layer", LAYERS)
def test_layer(layer, tmp_path):
    shape, out_shape = LAYERS[layer]
    out, = check_layer(lambda: eval(f"nn.{layer}", {"nn": nn}), shape, folder=tmp_path)
    assert out.shape == (out_shape or shape)


def test_embedding():
    layer = nn.Embedding(5, 3)
    layer.initialize()
    rows = nd.array([[0, 4], [2, 2]])
    np.testing.assert_array_equal(layer(rows).asnumpy(), layer.weight.data().asnumpy()[[[0, 4], [2, 2]]])
    with autograd.record():
        out = layer(rows)
    out.backward()
    assert layer.weight.grad().asnumpy()[:, 0].tolist() == [1, 0, 2, 0, 1]
    with pytest.raises(NotBuiltError, match="row_sparse"):
        nn.Embedding(5, 3, sparse_grad=True)


def test_batch_norm_keeps_running_statistics_in_training_only():
    layer = nn.BatchNorm(momentum=0.5, in_channels=2)
    layer.initialize()
    x = nd.array([[1., 10.], [3., 30.]])
    layer(x)
    assert layer.running_mean.data().asnumpy().tolist() == [0, 0]
    with autograd.record():
        layer(x)
    assert layer.running_mean.data().asnumpy().tolist() == [1, 10]
    assert layer.running_var.data().asnumpy().tolist() == [1, 50.5]
    with autograd.record(train_mode=False):
        layer(x)
    assert layer.running_mean.data().asnumpy().tolist() == [1, 10]


def test_batch_norm_stays_in_single_precision():
    layer = nn.BatchNorm(in_channels=2)
    layer.cast("float16")
    assert layer.gamma.dtype == layer.running_var.dtype == "float32"
    layer.cast("float64")
    assert layer.gamma.dtype == "float64"


def test_lambda_takes_names_and_functions():
    assert nn.Lambda("relu")(nd.array([-1., 1.])).asnumpy().tolist() == [0, 1]
    assert nn.Lambda(lambda x: x + 1)(nd.array([-1., 1.])).asnumpy().tolist() == [0, 2]
    for kind in (nn.Lambda, nn.HybridLambda):
        with pytest.raises(ValueError, match="no operator 'rleu'"):
            kind("rleu")
        with pytest.raises(ValueError, match="unrecognized function"):
            kind(3)


@pytest.mark.parametrize("make, message", [
    (lambda: nn.Conv2D(3, 3, layout="NCW"), "'NCHW' and 'NHWC'"),
    (lambda: nn.Conv2D(3, (3, 3, 3)), "kernel_size: takes one int for all axes, or 2 ints; got"),
    (lambda: nn.MaxPool2D((2, 2, 2)), "pool_size: takes"),
    (lambda: nn.LeakyReLU(-1), "must not be negative"),
    (lambda: nn.ReflectionPad2D((1, 1)), "one length or 8")])
def test_wrong_arguments(make, message):
    with pytest.raises(AssertionError, match=message):
        make()


def test_branches_side_by_side():
    for kind in (contrib.nn.Concurrent, contrib.nn.HybridConcurrent):
        net = kind(axis=1)
        net.add(nn.Activation("relu"), contrib.nn.Identity())
        x = nd.array([[-1., 2.]])
        assert net(x).asnumpy().tolist() == [[0, 2, -1, 2]]
        if kind is contrib.nn.HybridConcurrent:
            net.hybridize()
            assert net(x).asnumpy().tolist() == [[0, 2, -1, 2]]


@pytest.mark.parametrize("layer, shape", [(contrib.nn.PixelShuffle1D(2), (2, 6, 3)),
                                          (contrib.nn.PixelShuffle2D((2, 3)), (2, 12, 2, 3)),
                                          (contrib.nn.PixelShuffle3D(2), (1, 16, 2, 1, 3))])
def test_pixel_shuffle_interleaves_channels(layer, shape):
    x, factors = pattern(shape), layer._factors
    n = len(factors)
    channels = shape[1] // int(np.prod(factors))
    apart = x.asnumpy().reshape(shape[0], channels, *factors, *shape[2:])
    order = [axis for i in range(n) for axis in (2 + n + i, 2 + i)]
    expected = apart.transpose(0, 1, *order).reshape(shape[0], channels,
                                                     *(s * f for s, f in zip(shape[2:], factors, strict=True)))
    np.testing.assert_array_equal(layer(x).asnumpy(), expected)
    layer.hybridize()
    np.testing.assert_array_equal(layer(x).asnumpy(), expected)


def test_what_needs_several_devices_or_sparse_storage_says_so():
    assert contrib.nn.SyncBatchNorm(num_devices=1, in_channels=2).gamma.shape == (2,)
    with pytest.raises(NotBuiltError, match="several devices"):
        contrib.nn.SyncBatchNorm(num_devices=2)
    with pytest.raises(NotBuiltError, match="nn.Embedding"):
        contrib.nn.SparseEmbedding(3, 4)


def test_dropout_draws_anew_and_the_seed_repeats_it():
    layer = nn.Dropout(0.5)
    x = nd.ones((200,))

    def draw():
        with autograd.record():
            return layer(x).asnumpy()
    mx.random.seed(1)
    first, second = draw(), draw()
    mx.random.seed(1)
    np.testing.assert_array_equal(draw(), first)
    assert (first != second).any() and set(first) == {0, 2}
    np.testing.assert_array_equal(layer(x).asnumpy(), x.asnumpy())


@pytest.mark.parity
@pytest.mark.parametrize("layer", LAYERS)
def test_layers_write_mxnets_symbols(layer, same_as_mxnet):
    if layer == "BatchNormReLU()":
        pytest.skip("two operators here, one of oneDNN's in MXNet")
    same_as_mxnet(f"""
nn = mx.gluon.nn
layer = nn.{layer}
result = layer(mx.sym.var('data')).tojson().replace(layer.name + '_', 'layer_')
""")
