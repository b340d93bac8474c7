"""A multilayer perceptron with gluon.nn on arrays shaped as MNIST's."""
from __future__ import print_function
import numpy as np
import mxnet as mx
from mxnet import nd, autograd, gluon

ctx = mx.cpu()
rs = np.random.RandomState(0)
prototypes = rs.rand(10, 784)
labels = rs.randint(0, 10, 256)
images = (prototypes[labels] + 0.3 * rs.randn(256, 784)).astype('float32').reshape((-1, 28, 28, 1))


def transform(data, label):
    return data.astype(np.float32) / 2, label.astype(np.float32)


dataset = gluon.data.ArrayDataset(images, labels.astype('float32'))
train_data = gluon.data.DataLoader(dataset.transform(transform), 32, shuffle=False, last_batch='discard')

num_hidden = 64
net = gluon.nn.Sequential()
with net.name_scope():
    net.add(gluon.nn.Dense(num_hidden, activation="relu", in_units=784))
    net.add(gluon.nn.Dense(num_hidden, activation="relu", in_units=num_hidden))
    net.add(gluon.nn.Dense(10, in_units=num_hidden))
net.collect_params().initialize(mx.init.Normal(sigma=.1), ctx=ctx)
for name, param in sorted(net.collect_params('.*weight').items()):
    param.set_data(nd.array(rs.normal(0, .05, param.shape)))

softmax_cross_entropy = gluon.loss.SoftmaxCrossEntropyLoss()
trainer = gluon.Trainer(net.collect_params(), 'sgd', {'learning_rate': .1, 'momentum': 0.9, 'wd': 1e-4})


def evaluate_accuracy(data_iterator, net):
    acc = mx.metric.Accuracy()
    for i, (data, label) in enumerate(data_iterator):
        data = data.as_in_context(ctx).reshape((-1, 784))
        predictions = nd.argmax(net(data), axis=1)
        acc.update(preds=predictions, labels=label)
    return acc.get()[1]


for e in range(4):
    cumulative_loss = 0
    for i, (data, label) in enumerate(train_data):
        data = data.as_in_context(ctx).reshape((-1, 784))
        with autograd.record():
            loss = softmax_cross_entropy(net(data), label)
        loss.backward()
        trainer.step(data.shape[0])
        cumulative_loss += nd.sum(loss).asscalar()
    print("loss", e, cumulative_loss / len(images))
assert evaluate_accuracy(train_data, net) > 0.9
