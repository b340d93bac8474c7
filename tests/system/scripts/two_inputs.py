"""A HybridBlock of one's own with two inputs, eager first and then hybridized."""
import numpy as np
import mxnet as mx
from mxnet import nd, autograd, gluon
from mxnet.gluon import nn

rs = np.random.RandomState(3)


class Pair(gluon.HybridBlock):
    def __init__(self, hidden, **kwargs):
        super(Pair, self).__init__(**kwargs)
        with self.name_scope():
            self.left = nn.Dense(hidden, in_units=6)
            self.right = nn.Dense(hidden, in_units=5, use_bias=False)
            self.scale = self.params.get('scale', shape=(1, hidden), init=mx.init.One())
            self.out = nn.Dense(1, in_units=hidden)

    def hybrid_forward(self, F, a, b, scale):
        h = F.tanh(self.left(a) * F.sigmoid(self.right(b)))
        h = F.broadcast_mul(F.concat(h, h, dim=1).slice_axis(axis=1, begin=0, end=8), scale)
        return self.out(h)


net = Pair(8, prefix='pair_')
net.initialize()
for name, param in sorted(net.collect_params('.*weight').items()):
    param.set_data(nd.array(rs.normal(0, .4, param.shape)))
a, b = nd.array(rs.randn(64, 6)), nd.array(rs.randn(64, 5))
y = nd.sin(a[:, 0]) * b[:, 1]
l2loss = gluon.loss.L2Loss()
trainer = gluon.Trainer(net.collect_params(), 'adam', {'learning_rate': 0.03})
for step in range(16):
    if step == 8:
        net.hybridize()
    with autograd.record():
        loss = l2loss(net(a, b), y)
    loss.backward()
    trainer.step(64)
    print("loss", step, loss.mean().asscalar())
print(net)
