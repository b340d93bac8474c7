"""Gluon's layers, recurrent cells and losses against MXNet 1.9.1: parameter names, outputs and gradients."""
import pytest

pytestmark = pytest.mark.parity

# Parameters get the same numbers on both sides: their k-th array is a fixed pattern, shifted by k.
TRAIN = """
def pattern(shape, k):
    size = int(np.prod(shape))
    return mx.nd.array((np.sin(np.arange(size) * 0.7 + k) * 0.5 + (0.6 if len(shape) == 1 else 0)).reshape(shape))

def train(net, *inputs):
    inputs = [mx.nd.array(x) for x in inputs]
    net.initialize()
    with mx.autograd.pause():
        net(*inputs)
    parameters = list(net.collect_params().values())
    for k, p in enumerate(parameters):
        p.set_data(pattern(p.shape, k))
    for x in inputs:
        x.attach_grad()
    with mx.autograd.record():
        out = net(*inputs)
        outs = out if isinstance(out, (list, tuple)) else [out]
        total = sum((o * pattern(o.shape, 9)).sum() for o in outs)
    total.backward()
    prefix = len(net.prefix)
    return {
        "names": [p.name[prefix:] for p in parameters],
        "shapes": [list(p.shape) for p in parameters],
        "outputs": outs,
        "predicted": net(*inputs),
        "gradients": [p.grad() for p in parameters if p.grad_req != "null"],
        "states": [p.data() for p in parameters if p.grad_req == "null"],
        "input gradients": [x.grad for x in inputs],
    }

nn, rnn, loss, cnn = mx.gluon.nn, mx.gluon.rnn, mx.gluon.loss, mx.gluon.contrib.cnn
rng = np.random.RandomState(3)
def uniform(*shape):
    return rng.uniform(-1, 1, shape).astype("float32")
"""

LAYERS = """
nn.Dense(4) | 2, 3, 2
nn.Dense(4, flatten=False, use_bias=False, activation="tanh") | 2, 3, 2
nn.Conv1D(4, 3, padding=1) | 2, 3, 8
nn.Conv2D(4, 3) | 2, 3, 7, 7
nn.Conv2D(4, (3, 2), strides=(2, 1), padding=(1, 0), dilation=(1, 2), use_bias=False) | 2, 3, 8, 7
nn.Conv2D(6, 3, groups=3, activation="relu") | 2, 3, 6, 6
nn.Conv3D(2, 2) | 1, 2, 4, 4, 4
nn.Conv1DTranspose(3, 3, strides=2) | 2, 4, 5
nn.Conv2DTranspose(3, 3, strides=2, padding=1, output_padding=1) | 2, 4, 4, 5
nn.MaxPool1D(2) | 2, 3, 7
nn.MaxPool2D(3, 2, ceil_mode=True) | 2, 3, 8, 8
nn.MaxPool2D((2, 3), padding=1) | 2, 3, 6, 7
nn.AvgPool2D(3, 2, 1) | 2, 3, 7, 7
nn.AvgPool2D(3, 2, 1, count_include_pad=False) | 2, 3, 7, 7
nn.AvgPool3D(2) | 1, 2, 4, 4, 4
nn.GlobalMaxPool2D() | 2, 3, 4, 5
nn.GlobalAvgPool1D() | 2, 3, 5
nn.BatchNorm() | 3, 4, 2, 2
nn.BatchNorm(axis=-1, center=False, epsilon=1e-3, momentum=0.8) | 4, 5
nn.BatchNorm(use_global_stats=True) | 3, 4
nn.LayerNorm() | 3, 2, 5
nn.LayerNorm(axis=1, center=False) | 3, 4, 2
nn.InstanceNorm() | 2, 3, 4, 4
nn.GroupNorm(num_groups=2) | 2, 4, 3, 3
nn.Activation("softsign") | 2, 5
nn.LeakyReLU(0.2) | 2, 5
nn.PReLU() | 2, 5
nn.ELU(0.7) | 2, 5
nn.GELU() | 2, 5
nn.Swish() | 2, 5
nn.Flatten() | 2, 3, 4
nn.Lambda("relu") | 2, 3
nn.HybridLambda(lambda F, x: F.exp(x) * 2) | 2, 3
nn.ReflectionPad2D(1) | 1, 2, 4, 4
nn.Dropout(0.0) | 2, 3
cnn.DeformableConvolution(4, 3, 2, 1, num_deformable_group=2, prefix="x_") | 1, 4, 5, 6
cnn.DeformableConvolution(4, (3, 2), groups=2, use_bias=False, activation="relu", in_channels=4) | 1, 4, 5, 6
"""

RECURRENT = """
rnn.LSTM(4) | 5, 2, 3
rnn.LSTM(4, num_layers=2, bidirectional=True, layout="NTC") | 2, 5, 3
rnn.GRU(4, num_layers=2) | 5, 2, 3
rnn.RNN(4, activation="tanh") | 5, 2, 3
rnn.RNN(4, bidirectional=True) | 5, 2, 3
"""

CELLS = """
rnn.LSTMCell(4)
rnn.GRUCell(4)
rnn.RNNCell(4)
rnn.ResidualCell(rnn.GRUCell(3))
rnn.BidirectionalCell(rnn.LSTMCell(4), rnn.GRUCell(4))
"""

LOSSES = """
loss.L1Loss() | uniform(3, 4), uniform(3, 4)
loss.L2Loss(weight=2.0) | uniform(3, 4), uniform(3, 4)
loss.SigmoidBCELoss() | uniform(3, 4), abs(uniform(3, 4))
loss.SigmoidBCELoss(from_sigmoid=True) | abs(uniform(3, 4)), abs(uniform(3, 4))
loss.SoftmaxCELoss() | uniform(3, 4), np.float32([0, 3, 1])
loss.SoftmaxCELoss(axis=1, sparse_label=False) | uniform(3, 4, 2), abs(uniform(3, 4, 2))
loss.SoftmaxCELoss(from_logits=True) | uniform(3, 4), np.float32([0, 3, 1])
loss.KLDivLoss() | uniform(3, 4), abs(uniform(3, 4))
loss.KLDivLoss(from_logits=False) | uniform(3, 4), abs(uniform(3, 4))
loss.CTCLoss() | uniform(2, 6, 5), np.float32([[1, 2, -1], [3, 3, 0]])
loss.HuberLoss(rho=0.5) | uniform(3, 4), uniform(3, 4)
loss.HingeLoss() | uniform(3, 4), np.sign(uniform(3, 4))
loss.SquaredHingeLoss() | uniform(3, 4), np.sign(uniform(3, 4))
loss.LogisticLoss() | uniform(3, 4), np.sign(uniform(3, 4))
loss.LogisticLoss(label_format="binary") | uniform(3, 4), np.float32(uniform(3, 4) > 0)
loss.TripletLoss() | uniform(3, 4), uniform(3, 4), uniform(3, 4)
loss.PoissonNLLLoss() | uniform(3, 4), abs(uniform(3, 4))
loss.CosineEmbeddingLoss() | uniform(3, 4), uniform(3, 4), np.float32([1, -1, 1])
"""

def rows(text: str) -> list[str]:
    return text.strip().splitlines()


@pytest.mark.parametrize("hybrid", [False, True], ids=["eager", "hybrid"])
@pytest.mark.parametrize("row", rows(LAYERS))
def test_layer(row, hybrid, same_as_mxnet):
    layer, shape = row.split(" | ")
    if hybrid and layer.startswith("nn.Lambda"):
        pytest.skip("Lambda is no HybridBlock")
    same_as_mxnet(f"{TRAIN}\nnet = {layer}\n{'net.hybridize()' * hybrid}\nresult = train(net, uniform({shape}))",
                  tolerance=3e-5)


@pytest.mark.parametrize("row", rows(RECURRENT))
def test_recurrent_layer(row, same_as_mxnet):
    layer, shape = row.split(" | ")
    same_as_mxnet(f"{TRAIN}\nresult = train({layer}, uniform({shape}))", tolerance=3e-5)


@pytest.mark.parametrize("cell", rows(CELLS))
def test_recurrent_cell(cell, same_as_mxnet):
    same_as_mxnet(f"""{TRAIN}
cell = {cell}
cell.initialize()
x = mx.nd.array(uniform(2, 4, 3))
cell.unroll(4, x, layout="NTC", merge_outputs=True)
for k, p in enumerate(cell.collect_params().values()):
    p.set_data(pattern(p.shape, k))
x.attach_grad()
cell.reset()
with mx.autograd.record():
    outputs, states = cell.unroll(4, x, layout="NTC", merge_outputs=True)
outputs.backward()
result = [outputs, states, x.grad, [p.grad() for p in cell.collect_params().values()]]
""", tolerance=3e-5)


@pytest.mark.parametrize("row", rows(LOSSES))
def test_loss(row, same_as_mxnet):
    form, inputs = row.split(" | ")
    same_as_mxnet(f"{TRAIN}\nresult = train({form}, {inputs})", tolerance=3e-5)


def test_loss_with_sample_weights(same_as_mxnet):
    same_as_mxnet(TRAIN + """
x, y, w = (mx.nd.array(a) for a in (uniform(3, 4), np.float32([0, 3, 1]), np.float32([[1], [0], [2]])))
result = loss.SoftmaxCELoss()(x, y, w)
""")


@pytest.mark.parametrize("model", ["resnet18_v1", "resnet50_v1", "resnet18_v2", "resnet50_v2", "vgg11", "vgg11_bn",
                                   "mobilenet0.25", "mobilenetv2_0.25"])
def test_model_zoo_has_mxnets_parameter_names(model, same_as_mxnet):
    same_as_mxnet(f"""
net = mx.gluon.model_zoo.vision.get_model({model!r}, classes=10)
net.initialize()
net(mx.nd.zeros((1, 3, 64, 64)))
cut = len(net.prefix)
result = [[name[cut:], list(p.shape)] for name, p in net.collect_params().items()]
result.append(sorted(net._collect_params_with_prefix()))
""")


def test_modulated_deformable_convolution(same_as_mxnet):
    """Its gradients MXNet has on a GPU only."""
    same_as_mxnet(TRAIN + """
net, x = cnn.ModulatedDeformableConvolution(4, 3, padding=1, dilation=2, prefix="x_"), mx.nd.array(uniform(1, 4, 6, 6))
net.initialize()
net(x)
parameters = net.collect_params()
for k, name in enumerate(sorted(parameters)):
    parameters[name].set_data(pattern(parameters[name].shape, k))
eager = net(x)
net.hybridize()
result = [sorted(parameters), eager, net(x)]
""", tolerance=3e-5)


def test_block_names_count_up(same_as_mxnet):
    same_as_mxnet("""
class Net(mx.gluon.HybridBlock):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        with self.name_scope():
            self.a = mx.gluon.nn.Dense(2)
            self.b = mx.gluon.nn.Dense(2)
            self.scale = self.params.get('scale', shape=(2,), init=mx.init.One())
    def hybrid_forward(self, F, x, scale):
        return F.broadcast_mul(self.b(self.a(x)), scale)
net = Net(prefix='net_')
net.initialize()
net.hybridize()
net(mx.nd.ones((1, 3)))
result = [list(net.collect_params()), list(net.collect_params('.*weight')), net.a.name, net.b.prefix,
          sorted(net._collect_params_with_prefix())]
""")


@pytest.mark.parametrize("rate", [0.5])
def test_trainer_step(rate, same_as_mxnet):
    same_as_mxnet(TRAIN + f"""
net = nn.Dense(3, in_units=2)
net.initialize()
for k, p in enumerate(net.collect_params().values()):
    p.set_data(pattern(p.shape, k))
trainer = mx.gluon.Trainer(net.collect_params(), 'sgd', {{'learning_rate': {rate}, 'momentum': 0.9, 'wd': 0.01}})
x, history = mx.nd.array(uniform(4, 2)), []
for _ in range(3):
    with mx.autograd.record():
        error = (net(x) ** 2).sum()
    error.backward()
    trainer.step(4)
    history.append(net.weight.data().copy())
trainer.set_learning_rate(0.1)
result = [history, trainer.learning_rate]
""")
