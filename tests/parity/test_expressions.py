"""What users write with arrays, one line each, evaluated by mxdl and by MXNet 1.9.1: values, shapes and dtypes."""
import re

import pytest

pytestmark = pytest.mark.parity

GIVEN = """
x = mx.nd.array(np.arange(24).reshape(2, 3, 4) / 8 - 1)
m = mx.nd.array([[4., 1., 3.], [2., 6., 5.]])
v = mx.nd.array([1., 2., 3.])
i = mx.nd.array([2, 0], dtype='int32')
"""

#: Separated by two spaces or more.
EXPRESSIONS = """
mx.nd.zeros((2, 3))    mx.nd.ones((2,), dtype='int64')    mx.nd.full((2, 2), 7)    mx.nd.arange(5)
mx.nd.arange(1, 7, 2, dtype='int32')    mx.nd.arange(0, 2, 1, repeat=2)    mx.nd.array([1, 2])
mx.nd.array(np.float64([1, 2]))    mx.nd.array([[1, 2]], dtype='uint8')    mx.nd.eye(3)    mx.nd.linspace(0, 1, 5)
mx.nd.zeros_like(m)    mx.nd.array([True, False])    mx.nd.array(np.array([1, 2]))    mx.nd.ones_like(i)    x + 1
2 - x    1 / (x + 3)    x * x    x ** 2    2 ** v    -x    abs(x)    x % 0.3    5 % v    m > 2
m >= m.T.reshape((2, 3))    m == 4    m != 4    3 < v    m + v    m * v.reshape((1, 3))    m / 2    i + 1    i * 2
i / 2    i + 1.5    m <= v    m < mx.nd.ones((1, 3))    x[1]    x[:, 1]    x[..., 1]    x[0, 1, 2]    x[-1]
x[:, ::-1]    x[:, ::2, 1:3]    x[1:2, None]    x[None]    x[i % 2]    x[[0, 1, 0]]    x[:, [0, 2]]
x[mx.nd.array([0, 1]), mx.nd.array([2, 0])]    x[1, ..., 2:]    m[0:0]    m.T    x.T    x.shape    x.size    x.ndim
x.dtype == np.float32    len(m)    [float(e.asscalar()) for e in v]    m.asnumpy().tolist()
float(v[1].asscalar())    bool(mx.nd.array([0]))    x.reshape((4, 6))    x.reshape(6, 4)    x.reshape((-1, 4))
x.reshape((0, -1))    x.reshape((-2, 1))    x.reshape((-3, 0))    x.reshape((0, -4, 1, 3, 0))
x.reshape((-1, 0), reverse=True)    x.reshape_like(mx.nd.ones((4, 6)))    x.flatten()    x.expand_dims(1)
x[:1].squeeze(0)    x.squeeze()    x.swapaxes(0, 2)    x.transpose()    x.transpose((1, 0, 2))
x.transpose(axes=(2, 0, 1))    m.flip(axis=1)    m.tile((2, 1))    m.tile(2)    m.repeat(2)    m.repeat(2, axis=1)
x.broadcast_to((2, 3, 4))    mx.nd.broadcast_axis(v.reshape((1, 3)), axis=0, size=2)    m.sum()    m.sum(axis=1)
m.sum(axis=1, keepdims=True)    x.sum(axis=(0, 2))    mx.nd.sum(x, axis=1, exclude=True)    m.mean()
m.mean(axis=0)    m.max()    m.min(axis=1)    m.prod(axis=1)    m.norm()    mx.nd.norm(m, ord=1, axis=1)
m.argmax(axis=1)    m.argmin(axis=0)    m.argmax()    mx.nd.argmax_channel(m)    m.argsort()
m.sort(axis=1, is_ascend=False)    m.topk(k=2)    m.topk(k=2, ret_typ='value')    m.topk(k=1, ret_typ='both')
m.topk(k=2, ret_typ='mask', axis=0)    m.topk(k=2, dtype='int32')    m.clip(2, 4)    m.sqrt()    m.rsqrt()
x.square()    m.log()    m.log2()    m.log1p()    x.exp()    x.expm1()    x.sin()    x.tanh()    x.sigmoid()
x.relu()    x.sign()    x.round()    x.rint()    x.floor()    x.ceil()    x.trunc()    x.fix()    x.softmax()
x.softmax(axis=1)    x.log_softmax(axis=0)    m.softmax(temperature=2.)    mx.nd.softmin(m)    mx.nd.dot(m, v)
mx.nd.dot(m, m, transpose_b=True)    mx.nd.dot(m, m, transpose_a=True)
mx.nd.dot(x, v.reshape((1, 3)).tile((4, 1)))    mx.nd.dot(v, v)    mx.nd.batch_dot(x, x, transpose_b=True)
mx.nd.linalg_gemm2(m, m, transpose_b=True)    mx.nd.concat(m, m, dim=0)    mx.nd.concat(m, m)
mx.nd.concatenate([m, m], axis=1)    mx.nd.stack(v, v)    mx.nd.stack(v, v, axis=1)    mx.nd.split(m, 3, axis=1)
m.split(3, axis=1, squeeze_axis=True)    mx.nd.split(x, num_outputs=2, axis=0)    mx.nd.split_v2(m, (1,), axis=1)
mx.nd.slice(x, begin=(0, 1), end=(1, 3))    mx.nd.slice_axis(x, axis=2, begin=-2, end=None)
mx.nd.slice_like(m, mx.nd.ones((1, 2)))    mx.nd.take(m, i)    mx.nd.take(m, i, axis=1)
m.take(mx.nd.array([5, -1]), mode='clip')    m.take(mx.nd.array([5, -1]), mode='wrap')
mx.nd.pick(m, mx.nd.array([0, 2]))    m.pick(mx.nd.array([[0], [2]]), keepdims=True)
mx.nd.gather_nd(m, mx.nd.array([[0, 1], [2, 0]]))    mx.nd.one_hot(i, 4)
mx.nd.one_hot(i, 3, on_value=2, off_value=-1, dtype='int32')    mx.nd.Embedding(i, mx.nd.ones((3, 2)), 3, 2)
mx.nd.where(m > 2, m, -m)    mx.nd.where(mx.nd.array([1, 0]), m, -m)    mx.nd.maximum(m, 3)    mx.nd.maximum(m, v)
mx.nd.minimum(2, v)    mx.nd.power(2, v)    mx.nd.modulo(m, 2)    mx.nd.add(m, v)    mx.nd.equal(m, 4)
mx.nd.logical_and(m > 1, m < 5)    mx.nd.logical_not(m > 2)    mx.nd.elemwise_add(m, m)    mx.nd.add_n(m, m, m)
mx.nd.broadcast_maximum(m, v.reshape((1, 3)))    mx.nd.broadcast_like(v.reshape((1, 3)), m)
mx.nd.cast(m, 'int32')    m.astype('float16')    m.astype(np.float64) * 2    m.astype('int8') + m.astype('int8')
mx.nd.FullyConnected(m, m, v[:2], num_hidden=2)    mx.nd.Activation(x, act_type='softrelu')
mx.nd.LeakyReLU(x, act_type='elu', slope=0.3)    mx.nd.LeakyReLU(x, act_type='gelu')
mx.nd.LeakyReLU(x, act_type='selu')    mx.nd.L2Normalization(m)    mx.nd.LayerNorm(m, v, v)
mx.nd.SequenceMask(x, v[:3], use_sequence_length=True)
mx.nd.SequenceLast(x, mx.nd.array([1, 2, 1]), use_sequence_length=True)    mx.nd.SequenceReverse(x)
mx.nd.smooth_l1(x, scalar=2)    mx.nd.SoftmaxOutput(m, mx.nd.array([0, 1]))    mx.nd.hard_sigmoid(x)    mx.nd.erf(x)
mx.nd.diag(m)    mx.nd.diag(v, k=1)    mx.nd.shape_array(x)    mx.nd.size_array(x)
mx.nd.depth_to_space(mx.nd.ones((1, 4, 2, 2)), 2)    mx.nd.contrib.arange_like(m, axis=1)
mx.nd.moments(m, axes=0)    mx.nd.cumsum(m, axis=1)
mx.nd.ravel_multi_index(mx.nd.array([[0, 1], [2, 1]]), shape=(2, 3))
mx.nd.batch_take(m, mx.nd.array([1, 2], dtype='int32'))
mx.nd.crop(m, begin=(0, 1), end=(2, 3))    mx.nd.khatri_rao(m, m)
"""


def one_liners() -> list[str]:
    return re.split(r"\s{2,}|\n", EXPRESSIONS.strip())


@pytest.mark.parametrize("expression", one_liners())
def test_expression(expression, same_as_mxnet):
    same_as_mxnet(f"{GIVEN}\nresult = {expression}")


STATEMENTS = {
    "set item": "m[0, 1] = 9; m[1] = v; result = m",
    "set slice": "x[:, 1:, ::2] = 5; result = x",
    "set all": "m[:] = 2; result = m",
    "set from numpy": "m[:, 0] = np.array([7, 8]); result = m",
    "set broadcast": "x[0] = v.reshape((3, 1)); result = x",
    "set by array": "m[mx.nd.array([1, 0])] = v; result = m",
    "in place": "y = m; y += 1; y *= v; y -= 0.5; y /= 2; result = [m, y]",
    "slice is a view": "y = m[1:]; y[:] = 0; result = m",
    "row is a view": "y = m[1]; y[:] = 0; result = m",
    "reshape is a view": "y = m.reshape((3, 2)); y[0] = 0; result = m",
    "copy is none": "y = m.copy(); y[:] = 0; result = m",
    "out": "y = mx.nd.zeros((2, 3)); r = mx.nd.sqrt(m, out=y); result = [y, r is y]",
    "copyto": "y = mx.nd.zeros((2, 3)); m.copyto(y); result = y",
    "astype": "y = m.astype('float32', copy=False); result = y is m",
    "context": "result = [str(m.context), str(mx.cpu(1)), m.as_in_context(mx.cpu()) is m, mx.cpu(0) == mx.cpu()]",
    "repr": "result = repr(m)",
    "gradient": """
m.attach_grad()
with mx.autograd.record():
    y = (m * m).sum() + m[0, 1] * 3
y.backward()
result = [y, m.grad]""",
    "gradient add": """
m.attach_grad(grad_req='add')
for _ in range(3):
    with mx.autograd.record():
        y = m.exp()
    y.backward(mx.nd.ones((2, 3)) * 2)
result = m.grad""",
    "gradient of many": """
m.attach_grad(); v.attach_grad()
with mx.autograd.record():
    a = mx.nd.broadcast_mul(m, v.reshape((1, 3)))
    b = mx.nd.dot(m, v)
mx.autograd.backward([a, b], [m, None])
result = [m.grad, v.grad]""",
    "second order": """
v.attach_grad()
with mx.autograd.record():
    y = mx.nd.sin(v)
    g = mx.autograd.grad(y, v, create_graph=True, retain_graph=True)[0]
g.backward()
result = [g, v.grad]""",
    "modes": """
modes = [mx.autograd.is_recording(), mx.autograd.is_training()]
with mx.autograd.record():
    modes += [mx.autograd.is_recording(), mx.autograd.is_training()]
    with mx.autograd.pause():
        modes += [mx.autograd.is_recording(), mx.autograd.is_training()]
    with mx.autograd.predict_mode():
        modes += [mx.autograd.is_recording(), mx.autograd.is_training()]
result = modes""",
    "detach": """
m.attach_grad()
with mx.autograd.record():
    y = m * m.detach() + mx.nd.BlockGrad(m)
y.backward()
result = m.grad""",
    "custom function": """
class Twice(mx.autograd.Function):
    def forward(self, x):
        self.save_for_backward(x)
        return 2 * x
    def backward(self, dy):
        x, = self.saved_tensors
        return dy * x
m.attach_grad()
with mx.autograd.record():
    y = Twice()(m)
y.backward()
result = [y, m.grad]""",
}


@pytest.mark.parametrize("name", STATEMENTS)
def test_statements(name, same_as_mxnet):
    same_as_mxnet(GIVEN + STATEMENTS[name])
