"""Operators written in Python (`mx.operator`) against MXNet 1.9.1: arrays, symbols, files, hybridized blocks."""
import pytest

pytestmark = pytest.mark.parity

DEFINE = """
class Scaled(mx.operator.CustomOp):
    '''(data * factor + bias, data - bias); keeps what backward needs in itself, counts its training calls.'''
    def __init__(self, factor):
        super().__init__()
        self.factor = factor

    def forward(self, is_train, req, in_data, out_data, aux):
        self.kept = in_data[0] * 1
        if is_train:
            aux[0][:] += 1
        self.assign(out_data[0], req[0], in_data[0] * in_data[0] * self.factor + in_data[1])
        self.assign(out_data[1], req[1], in_data[0] - in_data[1])

    def backward(self, req, out_grad, in_data, out_data, in_grad, aux):
        self.assign(in_grad[0], req[0], 2 * self.factor * self.kept * out_grad[0] + out_grad[1])
        self.assign(in_grad[1], req[1], (out_grad[0] - out_grad[1]).sum(axis=0))

@mx.operator.register("scaled")
class ScaledProp(mx.operator.CustomOpProp):
    def __init__(self, factor="1"):
        super().__init__(need_top_grad=True)
        self.factor = float(factor)

    def list_arguments(self):
        return ["data", "bias"]

    def list_outputs(self):
        return ["scaled", "moved"]

    def list_auxiliary_states(self):
        return ["count"]

    def infer_shape(self, in_shape):
        return [in_shape[0], [in_shape[0][1]]], [in_shape[0], in_shape[0]], [[1]]

    def create_operator(self, ctx, in_shapes, in_dtypes):
        assert in_shapes[0][1] == in_shapes[1][0]
        return Scaled(self.factor)

class Loss(mx.operator.CustomOp):
    def forward(self, is_train, req, in_data, out_data, aux):
        x = in_data[0].asnumpy()
        e = np.exp(x - x.max(axis=1, keepdims=True))
        self.assign(out_data[0], req[0], mx.nd.array(e / e.sum(axis=1, keepdims=True)))

    def backward(self, req, out_grad, in_data, out_data, in_grad, aux):
        y = out_data[0].asnumpy()
        y[np.arange(len(y)), in_data[1].asnumpy().astype(int)] -= 1
        self.assign(in_grad[0], req[0], mx.nd.array(y))

@mx.operator.register("loss")
class LossProp(mx.operator.CustomOpProp):
    def __init__(self):
        super().__init__(need_top_grad=False)

    def list_arguments(self):
        return ["data", "label"]

    def infer_shape(self, in_shape):
        return [in_shape[0], [in_shape[0][0]]], [in_shape[0]], []

    def create_operator(self, ctx, in_shapes, in_dtypes):
        return Loss()

x = mx.nd.array(np.linspace(-1, 1, 12).reshape(4, 3))
bias, count = mx.nd.array([0.5, -0.5, 0.25]), mx.nd.zeros(1)
"""

RUNS = {
    "arrays": """
x.attach_grad(); bias.attach_grad()
with mx.autograd.record():
    y, z = mx.nd.Custom(x, bias, count, op_type="scaled", factor=3)
    total = (y * y).sum() + (z * mx.nd.arange(3)).sum()
total.backward()
quiet = mx.nd.Custom(x, bias, count, op_type="scaled", factor=3)
result = [y, z, x.grad, bias.grad, count, *quiet]
""",
    "one output used": """
x.attach_grad()
with mx.autograd.record():
    total = mx.nd.Custom(x, bias, count, op_type="scaled")[1].sum()
total.backward()
result = [total, x.grad, count]
""",
    "symbols": """
net = mx.sym.Custom(data=mx.sym.var("data"), name="s", op_type="scaled", factor=2)
shapes = net.infer_shape(data=(4, 3))
names = [net.list_arguments(), net.list_auxiliary_states(), net.list_outputs()]
net = mx.sym.load_json(net.tojson())
bound = net.simple_bind(mx.cpu(), data=(4, 3))
bound.copy_params_from({"data": x, "s_bias": bias}, {"s_count": count})
outs = bound.forward(is_train=True)
bound.backward([mx.nd.ones((4, 3)), x])
result = [names, [[list(s) for s in part] for part in shapes], *outs, bound.grad_dict, bound.aux_dict]
""",
    "a loss": """
net = mx.sym.Custom(mx.sym.FullyConnected(mx.sym.var("data"), num_hidden=5, name="fc"), name="out", op_type="loss")
bound = net.simple_bind(mx.cpu(), data=(4, 3))
bound.copy_params_from({"data": x, "fc_weight": mx.nd.arange(15).reshape((5, 3)) / 9, "fc_bias": mx.nd.arange(5),
                        "out_label": mx.nd.array([0, 4, 2, 2])})
outs = bound.forward(is_train=True)
bound.backward()
result = [net.list_arguments(), *outs, bound.grad_dict["fc_weight"], bound.grad_dict["fc_bias"]]
""",
    "a hybridized block": """
class Net(mx.gluon.HybridBlock):
    def __init__(self):
        super().__init__()
        self.dense = mx.gluon.nn.Dense(3, in_units=3)
        self.bias = self.params.get("bias", shape=(3,))
        self.count = self.params.get("count", shape=(1,), grad_req="null")

    def hybrid_forward(self, F, x, bias, count):
        y, z = F.Custom(self.dense(x), bias, count, op_type="scaled", factor=2)
        return y + z

net = Net()
net.initialize()
for p, value in zip(net.collect_params().values(), [bias, count, mx.nd.arange(9).reshape((3, 3)), bias]):
    p.set_data(value)
result = []
for _ in range(2):
    with mx.autograd.record():
        out = net(x)
    out.backward()
    result.append([out, net(x), *(p.grad() for p in net.collect_params().values() if p.grad_req != "null"), count])
    net.hybridize()
""",
}


@pytest.mark.parametrize("run", RUNS)
def test_an_operator_written_in_python(run, same_as_mxnet):
    same_as_mxnet(DEFINE + RUNS[run], tolerance=2e-6)
