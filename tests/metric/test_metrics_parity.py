"""Every metric against MXNet 1.9.1: local and global values after several batches and a local reset."""
import numpy as np
import pytest

from mxdl.metric import create

SOURCE = """
metric = mx.metric.create(name, **arguments)
for i, (label, pred) in enumerate(batches):
    metric.update([mx.nd.array(label)], [mx.nd.array(pred)])
    if i == 1:
        metric.reset_local()
result = [*metric.get(), *metric.get_global()]
"""


def classes(rng, num_classes):
    return [rng.integers(0, num_classes, 7), rng.dirichlet(np.ones(num_classes), 7).astype("float32")]


def values(rng, _):
    return [rng.normal(size=(5, 2)).astype("float32"), rng.normal(size=(5, 2)).astype("float32")]


@pytest.mark.parity
@pytest.mark.parametrize("name, arguments, make, num_classes", [
    ("acc", {}, classes, 3), ("top_k_acc", {"top_k": 3}, classes, 5), ("ce", {}, classes, 3),
    ("nll_loss", {}, classes, 3), ("perplexity", {"ignore_label": None}, classes, 3),
    ("perplexity", {"ignore_label": 1}, classes, 3), ("f1", {}, classes, 2), ("f1", {"average": "micro"}, classes, 2),
    ("mcc", {}, classes, 2), ("mcc", {"average": "micro"}, classes, 2), ("pcc", {}, classes, 4),
    ("mae", {}, values, 0), ("mse", {}, values, 0), ("rmse", {}, values, 0), ("pearsonr", {}, values, 0),
    ("loss", {}, values, 0),
])
def test_metric_equals_mxnet(mxnet, name, arguments, make, num_classes):
    rng = np.random.default_rng(2)
    batches = [make(rng, num_classes) for _ in range(4)]
    metric = create(name, **arguments)
    for i, (label, pred) in enumerate(batches):
        metric.update([label], [pred])
        if i == 1:
            metric.reset_local()
    theirs = mxnet.run(SOURCE, name=name, arguments=arguments, batches=batches)
    assert [*metric.get(), *metric.get_global()] == [theirs[0], pytest.approx(theirs[1], rel=1e-5), theirs[2],
                                                     pytest.approx(theirs[3], rel=1e-5)]
