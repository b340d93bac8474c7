"""A language model of LSTM layers whose state goes from batch to batch, detached."""
import math
import numpy as np
import mxnet as mx
from mxnet import gluon, autograd
from mxnet.gluon import nn, rnn

rs = np.random.RandomState(1)


class RNNModel(gluon.Block):
    def __init__(self, vocab_size, num_embed, num_hidden, num_layers, **kwargs):
        super(RNNModel, self).__init__(**kwargs)
        with self.name_scope():
            self.drop = nn.Dropout(0.0)
            self.encoder = nn.Embedding(vocab_size, num_embed, weight_initializer=mx.init.Uniform(0.1))
            self.rnn = rnn.LSTM(num_hidden, num_layers, dropout=0.0, input_size=num_embed)
            self.decoder = nn.Dense(vocab_size, in_units=num_hidden)
            self.num_hidden = num_hidden

    def forward(self, inputs, hidden):
        emb = self.drop(self.encoder(inputs))
        output, hidden = self.rnn(emb, hidden)
        output = self.drop(output)
        decoded = self.decoder(output.reshape((-1, self.num_hidden)))
        return decoded, hidden

    def begin_state(self, *args, **kwargs):
        return self.rnn.begin_state(*args, **kwargs)


def detach(hidden):
    if isinstance(hidden, (tuple, list)):
        hidden = [i.detach() for i in hidden]
    else:
        hidden = hidden.detach()
    return hidden


def batchify(data, batch_size):
    nbatch = data.shape[0] // batch_size
    return data[:nbatch * batch_size].reshape((batch_size, nbatch)).T


context, bptt, batch_size = mx.cpu(0), 5, 8
corpus = mx.nd.array((np.arange(329) * 3 + (np.arange(329) // 7)) % 11)
train_data = batchify(corpus, batch_size).as_in_context(context)
model = RNNModel(11, 6, 12, 2, prefix='model_')
model.collect_params().initialize(mx.init.Xavier(), ctx=context)
for name, param in sorted(model.collect_params('.*weight').items()):
    param.set_data(mx.nd.array(rs.uniform(-.3, .3, param.shape)))
trainer = gluon.Trainer(model.collect_params(), 'sgd', {'learning_rate': 4.0, 'momentum': 0, 'wd': 0})
loss = gluon.loss.SoftmaxCrossEntropyLoss()
for epoch in range(5):
    total_L, n = 0.0, 0
    hidden = model.begin_state(func=mx.nd.zeros, batch_size=batch_size, ctx=context)
    for i in range(0, train_data.shape[0] - 1, bptt):
        seq_len = min(bptt, train_data.shape[0] - 1 - i)
        data, target = train_data[i:i + seq_len], train_data[i + 1:i + 1 + seq_len].reshape((-1,))
        hidden = detach(hidden)
        with autograd.record():
            output, hidden = model(data, hidden)
            L = loss(output, target)
            L.backward()
        grads = [p.grad(context) for p in model.collect_params().values()]
        gluon.utils.clip_global_norm(grads, 0.25 * bptt * batch_size)
        trainer.step(bptt * batch_size)
        total_L += mx.nd.sum(L).asscalar()
        n += L.size
    print('perplexity %.2f' % math.exp(total_L / n))
    print("loss", epoch, total_L / n)
