"""Linear regression from scratch, with nd and autograd."""
import numpy as np
import mxnet as mx
from mxnet import nd, autograd

data_ctx = mx.cpu()
num_inputs, num_examples, batch_size = 2, 400, 20
rs = np.random.RandomState(0)


def real_fn(X):
    return 2 * X[:, 0] - 3.4 * X[:, 1] + 4.2


X = nd.array(rs.normal(size=(num_examples, num_inputs)), ctx=data_ctx)
noise = .1 * nd.array(rs.normal(size=(num_examples,)), ctx=data_ctx)
y = real_fn(X) + noise
train_data = mx.gluon.data.DataLoader(mx.gluon.data.ArrayDataset(X, y), batch_size=batch_size, shuffle=False)

w = nd.array([[0.1], [-0.2]])
b = nd.zeros((1,))
params = [w, b]
for param in params:
    param.attach_grad()


def net(X):
    return mx.nd.dot(X, w) + b


def square_loss(yhat, y):
    return nd.mean((yhat - y) ** 2)


def SGD(params, lr):
    for param in params:
        param[:] = param - lr * param.grad


for e in range(5):
    cumulative_loss = 0
    for i, (data, label) in enumerate(train_data):
        data = data.as_in_context(data_ctx)
        label = label.as_in_context(data_ctx).reshape((-1, 1))
        with autograd.record():
            output = net(data)
            loss = square_loss(output, label)
        loss.backward()
        SGD(params, .02)
        cumulative_loss += loss.asscalar()
    print("loss", e, cumulative_loss / (i + 1))
