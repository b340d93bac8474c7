"""Callbacks: the lines they log (which people's scripts read), and checkpoints."""
import re
from types import SimpleNamespace

import numpy as np
import pytest

import mxdl as mx
from mxdl import callback


@pytest.fixture
def lines(caplog):
    caplog.set_level("INFO")
    return lambda: [record.getMessage() for record in caplog.records]


def metric(value=0.5):
    accuracy = mx.metric.create("acc")
    accuracy.update([np.array([1, 1])], [np.array([1, 0 if value == 0.5 else 1])])
    return accuracy


def param(nbatch, eval_metric=None, epoch=0):
    return SimpleNamespace(epoch=epoch, nbatch=nbatch, eval_metric=eval_metric, locals=None)


def speeds_hidden(lines):
    return [re.sub(r"Speed: \S+ samples", "Speed: S samples", line) for line in lines]


def test_speed_with_a_metric_since_the_last_line(lines):
    accuracy, speedometer = metric(), callback.Speedometer(4, 2)
    for i in range(5):
        speedometer(param(i, accuracy))
    assert speeds_hidden(lines()) == ["Epoch[0] Batch [0-2]\tSpeed: S samples/sec\taccuracy=0.500000",
                                      "Epoch[0] Batch [2-4]\tSpeed: S samples/sec\taccuracy=nan"]
    assert accuracy.get_global() == ("accuracy", 0.5)


def test_speed_with_a_metric_of_the_epoch_and_a_new_epoch(lines):
    accuracy, speedometer = metric(), callback.Speedometer(4, 2, auto_reset=False)
    for epoch in range(2):
        for i in range(3):
            speedometer(param(i, accuracy, epoch))
    expected = [f"Epoch[{e}] Batch [0-2]\tSpeed: S samples/sec\taccuracy=0.500000" for e in (0, 1)]
    assert speeds_hidden(lines()) == expected


def test_speed_without_a_metric(lines):
    speedometer = callback.Speedometer(4, 2)
    for i in range(3):
        speedometer(param(i, epoch=1))
    assert speeds_hidden(lines()) == ["Iter[1] Batch [2]\tSpeed: S samples/sec"]


def test_other_lines(lines):
    accuracy = metric()
    callback.log_train_metric(2)(param(1, accuracy))
    callback.log_train_metric(2, auto_reset=True)(param(2, accuracy))
    callback.LogValidationMetricsCallback()(param(0, metric(), epoch=3))
    callback.ProgressBar(10, 20)(param(3))
    assert lines() == ["Iter[0] Batch[2] Train-accuracy=0.500000", "Epoch[3] Validation-accuracy=0.500000",
                       "[======--------------] 30%\r"]
    assert np.isnan(accuracy.get()[1])


def test_checkpoints(tmp_path):
    symbol = mx.sym.FullyConnected(mx.sym.var("data"), num_hidden=2, name="fc")
    save = callback.do_checkpoint(str(tmp_path / "net"), period=2)
    for epoch in range(4):
        save(epoch, symbol, {"fc_weight": mx.nd.ones((2, 3)), "fc_bias": mx.nd.zeros((2,))}, {})
    names = ["net-0002.params", "net-0004.params", "net-symbol.json"]
    assert sorted(path.name for path in tmp_path.iterdir()) == names
    again, arguments, _ = mx.model.load_checkpoint(str(tmp_path / "net"), 4)
    assert again.list_arguments() == symbol.list_arguments() and arguments["fc_weight"].shape == (2, 3)


def test_module_checkpoints():
    calls = []
    module = SimpleNamespace(save_checkpoint=lambda *arguments: calls.append(arguments))
    save = callback.module_checkpoint(module, "p", period=2, save_optimizer_states=True)
    for epoch in range(4):
        save(epoch)
    assert calls == [("p", 2, True), ("p", 4, True)]
