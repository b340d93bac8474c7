"""Optimizers, schedules, metrics and initializers against MXNet 1.9.1."""
import pytest

pytestmark = pytest.mark.parity

OPTIMIZERS = """
'sgd', learning_rate=0.1
'sgd', learning_rate=0.1, momentum=0.9, wd=0.01
'sgd', learning_rate=0.1, momentum=0.9, clip_gradient=0.3, rescale_grad=0.5
'nag', learning_rate=0.1, momentum=0.9, wd=0.01
'adam', learning_rate=0.1, wd=0.01
'adam', beta1=0.8, beta2=0.9, epsilon=1e-4, lazy_update=False
'lamb', learning_rate=0.1, wd=0.01
'lamb', bias_correction=False, lower_bound=0.1, upper_bound=5.0
'rmsprop', learning_rate=0.01, wd=0.01
'rmsprop', learning_rate=0.01, centered=True, clip_weights=2.0
'signum', learning_rate=0.1, momentum=0.9, wd_lh=0.01
'signum', learning_rate=0.1, momentum=0.0
"""


def rows(text: str) -> list[str]:
    return text.strip().splitlines()


@pytest.mark.parametrize("row", rows(OPTIMIZERS))
def test_optimizer(row, same_as_mxnet):
    same_as_mxnet(f"""
optimizer = mx.optimizer.create({row})
update = mx.optimizer.get_updater(optimizer)
rng = np.random.RandomState(5)
weights = [mx.nd.array(rng.uniform(-1, 1, shape)) for shape in ((3, 4), (5,))]
result = []
for _ in range(4):
    for index, weight in enumerate(weights):
        update(index, mx.nd.array(rng.uniform(-1, 1, weight.shape)), weight)
        result.append(weight.copy())
""", tolerance=2e-5)


SCHEDULES = """
FactorScheduler(10, 0.5, base_lr=0.4)
FactorScheduler(5, 0.5, stop_factor_lr=0.05, base_lr=1.0, warmup_steps=4, warmup_begin_lr=0.1)
MultiFactorScheduler([5, 12, 30], 0.3, base_lr=2.0)
PolyScheduler(40, base_lr=0.5, pwr=2, final_lr=0.01)
PolyScheduler(40, base_lr=0.5, warmup_steps=10, warmup_begin_lr=0.2, warmup_mode='constant')
CosineScheduler(40, base_lr=0.5, final_lr=0.05, warmup_steps=5)
"""


@pytest.mark.parametrize("row", rows(SCHEDULES))
def test_schedule(row, same_as_mxnet):
    same_as_mxnet(f"s = mx.lr_scheduler.{row}\nresult = [float(s(step)) for step in range(1, 60)]")


METRICS = """
'acc' | labels, scores
'acc', axis=1 | labels, scores
'top_k_accuracy', top_k=2 | labels, scores
'f1' | binary, binary_scores
'f1', average='micro' | binary, binary_scores
'mcc' | binary, binary_scores
'pearsonr' | values, others
'perplexity', ignore_label=None | labels, probabilities
'perplexity', ignore_label=1 | labels, probabilities
'mae' | values, others
'mse' | values, others
'rmse' | values, others
'ce' | labels, probabilities
'nll_loss' | labels, probabilities
'loss' | None, others
['acc', 'ce'] | labels, probabilities
"""


@pytest.mark.parametrize("row", rows(METRICS))
def test_metric(row, same_as_mxnet):
    create, given = row.split(" | ")
    same_as_mxnet(f"""
metric = mx.metric.create({create})
rng, history = np.random.RandomState(5), []
for _ in range(3):
    labels, binary = mx.nd.array(rng.randint(0, 4, 6)), mx.nd.array(rng.randint(0, 2, 6))
    scores, binary_scores = mx.nd.array(rng.uniform(size=(6, 4))), mx.nd.array(rng.uniform(size=(6, 2)))
    probabilities = mx.nd.softmax(scores)
    values, others = mx.nd.array(rng.uniform(size=(6, 1))), mx.nd.array(rng.uniform(size=(6, 1)))
    labels_given, given = {given}
    metric.update(None if labels_given is None else [labels_given], [given])
    history.append([list(pair) for pair in metric.get_name_value()])
metric.reset_local()
history.append([list(pair) for pair in metric.get_global_name_value()])
result = history
""", tolerance=1e-5)


INITIALIZERS = """
mx.init.Zero()
mx.init.One()
mx.init.Constant(0.3)
mx.init.Bilinear()
"""


@pytest.mark.parametrize("row", rows(INITIALIZERS))
@pytest.mark.parametrize("name", ["conv_weight", "conv_bias", "norm_gamma", "norm_beta"])
def test_initializer(row, name, same_as_mxnet):
    same_as_mxnet(f"""
array = mx.nd.full((2, 1, 4, 4), 7)
({row})(mx.init.InitDesc({name!r}), array)
result = array
""")


RANDOM_INITIALIZERS = """
mx.init.Uniform(0.2)
mx.init.Normal(0.3)
mx.init.Xavier()
mx.init.Xavier(rnd_type='gaussian', factor_type='in', magnitude=2)
mx.init.MSRAPrelu()
mx.init.Orthogonal()
"""


@pytest.mark.parametrize("row", rows(RANDOM_INITIALIZERS))
def test_random_initializer_has_the_same_spread(row, same_as_mxnet):
    """Draws differ; their deviation, and for a bounded one the bound, must not."""
    same_as_mxnet(f"""
array = mx.nd.zeros((300, 400))
({row})(mx.init.InitDesc('dense_weight'), array)
draws = array.asnumpy()
result = [draws.std(), np.percentile(np.abs(draws), [25, 50, 75])]
""", tolerance=0.01)
