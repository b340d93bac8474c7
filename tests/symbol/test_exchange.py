"""Models go from MXNet 1.9.1 to mxdl and back: symbol file and parameters, the same outputs."""
import numpy as np
import pytest

import mxdl as mx

pytestmark = pytest.mark.parity

EXPORT = """
net = getattr(mx.gluon.model_zoo.vision, name)(classes=10)
net.initialize(mx.init.Xavier())
net.hybridize()
result = net(mx.nd.array(x)).asnumpy()
net.export(prefix, epoch=0)
"""
RUN = """
net, arguments, states = mx.model.load_checkpoint(prefix, 0)
bound = net.simple_bind(mx.cpu(), grad_req="null", data=x.shape)
bound.copy_params_from(arguments, states)
result = [out.asnumpy() for out in bound.forward(data=mx.nd.array(x))]
"""


@pytest.mark.parametrize("name, size", [("resnet18_v1", 32), ("resnet18_v2", 32), ("mobilenet0_25", 32),
                                        ("mobilenet_v2_0_25", 32), ("vgg11_bn", 32), ("squeezenet1_1", 224)])
def test_a_zoo_model_of_mxnet_runs_here(name, size, mxnet, tmp_path):
    x = np.random.default_rng(0).normal(size=(2, 3, size, size)).astype("float32")
    prefix = str(tmp_path / "net")
    expected = mxnet.run(EXPORT, name=name, x=x, prefix=prefix)
    space = {"mx": mx, "prefix": prefix, "x": x}
    exec(RUN, space)
    np.testing.assert_allclose(space["result"][0], expected, rtol=1e-5, atol=1e-5)


EXPORT_RECURRENT = """
net = mx.gluon.nn.HybridSequential(prefix="net_")
with net.name_scope():
    net.add(mx.gluon.nn.Embedding(20, 6), layer(mx.gluon), mx.gluon.nn.Dense(4, flatten=False))
net.initialize(mx.init.Xavier())
net.hybridize()
result = net(mx.nd.array(x)).asnumpy()
net.export(prefix, epoch=0)
"""
LAYERS = {"lstm": "lambda gluon: gluon.rnn.LSTM(5, num_layers=2)",
          "gru": "lambda gluon: gluon.rnn.GRU(5, bidirectional=True)",
          "rnn": "lambda gluon: gluon.rnn.RNN(5, activation='tanh')"}


@pytest.mark.parametrize("kind", LAYERS)
def test_begin_states_of_unknown_batch_size_are_filled_in(kind, mxnet, tmp_path):
    x = np.random.default_rng(0).integers(0, 20, size=(7, 3)).astype("float32")
    prefix = str(tmp_path / "net")
    expected = mxnet.run(f"layer = {LAYERS[kind]}\n" + EXPORT_RECURRENT, x=x, prefix=prefix)
    space = {"mx": mx, "prefix": prefix, "x": x}
    exec(RUN, space)
    np.testing.assert_allclose(space["result"][0], expected, rtol=1e-5, atol=1e-6)


def test_a_model_made_here_runs_in_mxnet(mxnet, tmp_path):
    x = mx.sym.var("data")
    for i, channels in enumerate((4, 8)):
        x = mx.sym.Convolution(x, kernel=(3, 3), num_filter=channels, pad=(1, 1), name=f"conv{i}")
        x = mx.sym.LeakyReLU(mx.sym.BatchNorm(x, fix_gamma=False, name=f"bn{i}"), act_type="leaky", slope=0.1)
        x = mx.sym.Pooling(x, kernel=(2, 2), stride=(2, 2), pool_type="max")
    x = mx.sym.FullyConnected(mx.sym.Flatten(x), num_hidden=5, name="fc")
    net = mx.sym.softmax(x * 0.5 + 1, axis=-1)
    rng = np.random.default_rng(0)
    shapes, _, state_shapes = net.infer_shape(data=(2, 3, 8, 8))
    arguments = {name: mx.nd.array(rng.normal(size=shape) * 0.3)
                 for name, shape in zip(net.list_arguments(), shapes, strict=True) if name != "data"}
    states = {name: mx.nd.array(rng.uniform(0.5, 1.5, size=shape))
              for name, shape in zip(net.list_auxiliary_states(), state_shapes, strict=True)}
    prefix = str(tmp_path / "net")
    mx.model.save_checkpoint(prefix, 0, net, arguments, states)
    space = {"mx": mx, "prefix": prefix, "x": rng.normal(size=(2, 3, 8, 8)).astype("float32")}
    expected = mxnet.run(RUN, prefix=prefix, x=space["x"])
    exec(RUN, space)
    np.testing.assert_allclose(space["result"][0], expected[0], rtol=1e-5, atol=1e-6)
