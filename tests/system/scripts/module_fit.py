"""Module, NDArrayIter and SoftmaxOutput: the symbolic way, with fit and score."""
import logging
import numpy as np
import mxnet as mx

logging.getLogger().setLevel(logging.ERROR)
rs = np.random.RandomState(7)
centers = rs.randn(4, 10) * 2
label = rs.randint(0, 4, 200)
data = (centers[label] + rs.randn(200, 10)).astype('float32')
train_iter = mx.io.NDArrayIter(data, label.astype('float32'), batch_size=20, shuffle=False)

net = mx.sym.Variable('data')
net = mx.sym.FullyConnected(net, name='fc1', num_hidden=16)
net = mx.sym.Activation(net, name='relu1', act_type="relu")
net = mx.sym.FullyConnected(net, name='fc2', num_hidden=4)
net = mx.sym.SoftmaxOutput(net, name='softmax')

weights = {'fc1_weight': mx.nd.array(rs.randn(16, 10) * .1), 'fc1_bias': mx.nd.zeros((16,)),
           'fc2_weight': mx.nd.array(rs.randn(4, 16) * .1), 'fc2_bias': mx.nd.zeros((4,))}
mod = mx.mod.Module(symbol=net, context=mx.cpu(), data_names=['data'], label_names=['softmax_label'])
metric = mx.metric.CrossEntropy()


def after_epoch(epoch, symbol, arg_params, aux_params):
    print("loss", epoch, metric.get()[1])


mod.fit(train_iter, eval_metric=metric, optimizer='sgd', optimizer_params={'learning_rate': 0.1, 'momentum': 0.5},
        arg_params=weights, num_epoch=5, epoch_end_callback=after_epoch,
        batch_end_callback=mx.callback.Speedometer(20, 5))
assert dict(mod.score(train_iter, 'acc'))['accuracy'] > 0.9
