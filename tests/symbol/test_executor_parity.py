"""Executors against MXNet 1.9.1: outputs, gradients and states after a training pass."""
import numpy as np
import pytest

import mxdl as mx

pytestmark = pytest.mark.parity

NETS = {
    "convolutional": ("""
        for i in range(2):
            x = mx.sym.Convolution(x, kernel=(3, 3), num_filter=4, pad=(1, 1), name=f"c{i}")
            x = mx.sym.BatchNorm(x, fix_gamma=i == 0, momentum=0.8, name=f"b{i}")
            x = mx.sym.Pooling(mx.sym.Activation(x, act_type="relu"), kernel=(2, 2), stride=(2, 2), pool_type="max")
        net = mx.sym.SoftmaxOutput(mx.sym.FullyConnected(x, num_hidden=3, name="f"), name="softmax",
                                   normalization="batch")""", (5, 2, 8, 8)),
    "several losses": ("""
        h = mx.sym.FullyConnected(x, num_hidden=4, name="f")
        net = mx.sym.Group([mx.sym.LinearRegressionOutput(h, name="lin", grad_scale=0.3), mx.sym.BlockGrad(h * 2),
                            mx.sym.MakeLoss(mx.sym.square(h), grad_scale=0.1)])""", (5, 6)),
    "shared weight": ("""
        w = mx.sym.var("w")
        h = mx.sym.tanh(mx.sym.FullyConnected(x, w, num_hidden=6, no_bias=True, name="one"))
        h = mx.sym.FullyConnected(h, w, num_hidden=6, no_bias=True, name="two")
        net = mx.sym.MakeLoss(mx.sym.mean(mx.sym.square(h - x)))""", (5, 6)),
    "recurrent": ("""
        h = mx.sym.RNN(x, state_size=3, num_layers=1, mode="lstm", name="r")
        h = mx.sym.FullyConnected(mx.sym.SequenceLast(h), num_hidden=2, name="f")
        net = mx.sym.SoftmaxOutput(h, name="softmax")""", (4, 5, 6)),
}
RUN = """
bound = net.simple_bind(mx.cpu(), grad_req="write", x=values["x"].shape)
for name, value in values.items():
    target = bound.arg_dict.get(name, bound.aux_dict.get(name))
    target[:] = mx.nd.array(value)
for _ in range(2):
    outputs = bound.forward(is_train=True)
    bound.backward()
result = [[o.asnumpy() for o in outputs], [g.asnumpy() for g in bound.grad_arrays],
          [a.asnumpy() for a in bound.aux_arrays]]
"""


def values_of(source, shape):
    """Random arguments and states of the net, labels as class numbers."""
    rng = np.random.default_rng(0)
    space = {"mx": mx}
    exec(source, space)
    net = space["net"]
    shapes, _, states = net.infer_shape(x=shape)
    found = {name: rng.integers(0, 2, s) if name == "softmax_label" else rng.normal(size=s) * 0.5
             for name, s in zip(net.list_arguments(), shapes, strict=True)}
    found |= {name: rng.uniform(0.5, 1, s) for name, s in zip(net.list_auxiliary_states(), states, strict=True)}
    return {name: value.astype("float32") for name, value in found.items()}


@pytest.mark.parametrize("name", NETS)
def test_training_passes_agree(name, mxnet):
    body, shape = NETS[name]
    source = f"if True:\n        x = mx.sym.var('x'){body}"
    space = {"mx": mx, "values": values_of(source, shape)}
    theirs = mxnet.run(source + RUN, values=space["values"])
    exec(source + RUN, space)
    for ours, expected in zip(space["result"], theirs, strict=True):
        for a, b in zip(ours, expected, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)
