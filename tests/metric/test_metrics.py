"""Metrics: what they compute, local and global values, names and configs, wrong input."""
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mxdl import metric as metrics
from mxdl.metric import CompositeEvalMetric, create


def filled(metric, *batches):
    for label, pred in batches:
        metric.update([np.asarray(label)], [np.asarray(pred)])
    return metric


SCORES = [[0.1, 0.7, 0.2], [0.5, 0.2, 0.3], [0.2, 0.3, 0.5], [0.4, 0.35, 0.25]]


@pytest.mark.parametrize("metric, label, pred, expected", [
    (create("acc"), [1, 0, 0, 1], SCORES, 0.5),
    (create("acc"), [1, 2, 0], [1, 2, 2], 2 / 3),
    (create("acc", axis=-1), [[1, 0]], [[[0.1, 0.9], [0.8, 0.2]]], 1.0),
    (create("top_k_acc", top_k=2), [1, 1, 1, 1], SCORES, 0.75),
    (create("mae"), [1.0, 2.0], [1.5, 3.0], 0.75),
    (create("mse"), [1.0, 2.0], [[1.5], [3.0]], 0.625),
    (create("rmse"), [1.0, 2.0], [1.5, 3.0], math.sqrt(0.625)),
    (create("ce"), [1, 0], SCORES[:2], -(math.log(0.7) + math.log(0.5)) / 2),
    (create("perplexity", ignore_label=None), [[1, 0]], [SCORES[:2]], 1 / math.sqrt(0.35)),
    (create("perplexity", ignore_label=0), [1, 0], SCORES[:2], 1 / 0.7),
    (create("f1"), [1, 1, 0, 0], [[0, 1], [1, 0], [0, 1], [1, 0]], 0.5),
    (create("mcc"), [1, 1, 0, 0], [[0, 1], [0, 1], [1, 0], [0, 1]], 1 / math.sqrt(3)),
    (create("pcc"), [1, 1, 0, 0], [[0, 1], [0, 1], [1, 0], [0, 1]], 1 / math.sqrt(3)),
    (create("pearsonr"), [1.0, 2.0, 3.0], [2.0, 4.0, 6.0], 1.0),
    (create("loss"), [], [1.0, 2.0, 6.0], 3.0),
])
def test_values(metric, label, pred, expected):
    assert filled(metric, (label, pred)).get()[1] == pytest.approx(expected)


@pytest.mark.parametrize("name", ["acc", "mae", "f1", "mcc", "pcc", "ce", "pearsonr"])
def test_local_and_global_values(name):
    rng = np.random.default_rng(1)
    batches = [(rng.integers(0, 2, 6), rng.dirichlet([1, 1], 6)) for _ in range(3)]
    if name in ("mae", "pearsonr"):
        batches = [(pred[:, :1], pred[:, 1:] + rng.normal(size=(6, 1))) for _, pred in batches]
    metric = filled(create(name), *batches[:2])
    metric.reset_local()
    filled(metric, batches[2])
    assert metric.get() == filled(create(name), batches[2]).get()
    assert metric.get_global() == filled(create(name), *batches).get()
    metric.reset()
    assert math.isnan(metric.get()[1]) and math.isnan(metric.get_global()[1])


@given(st.integers(0, 2**32 - 1), st.integers(1, 4))
def test_micro_correlation_does_not_depend_on_the_batches(seed, num_batches):
    rng = np.random.default_rng(seed)
    label, pred = rng.normal(1e3, 1, (2, 12))
    metric = metrics.PearsonCorrelation(average="micro")
    filled(metric, *zip(np.array_split(label, num_batches), np.array_split(pred, num_batches), strict=True))
    assert metric.get()[1] == pytest.approx(np.corrcoef(label, pred)[0, 1], abs=1e-9)
    assert metric.get_global() == metric.get()


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=2, max_size=40))
def test_pcc_is_the_correlation_of_one_hot_columns(pairs):
    label, chosen = np.array(pairs).T
    centred = [np.eye(5)[classes] - np.eye(5)[classes].mean(axis=0) for classes in (label, chosen)]
    cross, first, second = (float((a * b).sum()) for a, b in
                            [(centred[0], centred[1]), (centred[0], centred[0]), (centred[1], centred[1])])
    value = filled(metrics.PCC(), (label, np.eye(5)[chosen])).get()[1]
    assert math.isnan(value) if not first * second else value == pytest.approx(cross / math.sqrt(first * second))


def test_composite_returns_lists_and_reaches_its_parts():
    composite = filled(create(["acc", "ce"]), ([1, 0], SCORES[:2]))
    assert composite.get()[0] == ["accuracy", "cross-entropy"]
    assert composite.get_name_value()[0] == ("accuracy", 1.0)
    assert composite.get_metric(0).get() == ("accuracy", 1.0)
    assert [part["metric"] for part in composite.get_config()["metrics"]] == ["Accuracy", "CrossEntropy"]
    with pytest.raises(ValueError, match="there are 2 metrics; got 5"):
        composite.get_metric(5)
    nested = CompositeEvalMetric([composite, "mae"])
    assert nested.get()[0] == ["accuracy", "cross-entropy", "mae"]


def test_update_dict_chooses_by_name():
    metric = create("acc", output_names=["out"], label_names=["lab"])
    metric.update_dict({"lab": np.array([1]), "x": np.array([5])}, {"out": np.array([1]), "y": np.array([9])})
    assert metric.get() == ("accuracy", 1.0)


def test_functions_as_metrics():
    def spread(label, pred):
        return float(np.abs(label - pred).sum()), label.size

    assert filled(create(spread), ([1, 2], [2, 4])).get() == ("spread", 1.5)
    assert metrics.np(lambda label, pred: 1.0).get()[0] == "custom(<lambda>)"
    with pytest.raises(NotImplementedError, match="Python function"):
        create(spread).get_config()
    extra = metrics.CustomMetric(spread, allow_extra_outputs=True)
    extra.update([np.array([1])], [np.array([1]), np.array([2])])
    assert extra.get()[1] == 0


def test_a_metric_of_ones_own():
    @metrics.register
    class Count(metrics.EvalMetric):
        def __init__(self):
            super().__init__("count")

        def update(self, labels, preds):
            self.sum_metric += len(preds)
            self.num_inst += 1

    assert filled(create("count"), ([1], [1]), ([1], [1])).get() == ("count", 1.0)
    assert filled(create("count"), ([1], [1])).get_global() == ("count", 1.0)


def test_config_makes_the_same_metric():
    for metric in (metrics.TopKAccuracy(3), metrics.Perplexity(ignore_label=0), metrics.MCC(average="micro")):
        assert create(**metric.get_config()).get_config() == metric.get_config()
    assert str(create("acc")) == "EvalMetric: {'accuracy': nan}"


@pytest.mark.parametrize("call, error, message", [
    (lambda: create("accc"), ValueError, "did you mean 'acc'"),
    (lambda: filled(create("acc"), ([1, 2], [[1, 0]])), ValueError, "do not fit together"),
    (lambda: create("acc").update([np.array([1])], []), ValueError, "got 1 and 0"),
    (lambda: filled(create("f1"), ([0, 1, 2], SCORES[:3])), ValueError, "two classes"),
    (lambda: metrics.TopKAccuracy(1), ValueError, "use Accuracy for 1"),
    (lambda: metrics.F1(average="none"), ValueError, "'macro' or 'micro'"),
    (lambda: filled(create("pearsonr"), ([1.0], [[1.0]])), ValueError, "do not fit"),
    (lambda: metrics.EvalMetric("x").update([], []), NotImplementedError, "must define update"),
    (lambda: metrics.register(int), TypeError, "must derive from EvalMetric"),
])
def test_wrong_input(call, error, message):
    with pytest.raises(error, match=message):
        call()
