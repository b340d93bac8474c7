"""Monitor: which statistics come at which batch."""
import logging

import mxdl as mx
from tests.module.batches import Batches, Waves, blobs, classifier


def watched(**settings):
    net = mx.sym.SoftmaxOutput(mx.sym.FullyConnected(mx.sym.var("data"), num_hidden=2, name="fc"), name="softmax")
    executor = net.simple_bind(mx.cpu(), data=(2, 3))
    for array in executor.arg_arrays:
        array[:] = 1
    monitor = mx.mon.Monitor(**settings)
    monitor.install(executor)
    return executor, monitor


def collected(executor, monitor):
    monitor.tic()
    executor.forward(is_train=True)
    executor.backward()
    return monitor.toc()


def test_statistics_of_outputs_then_arguments():
    assert collected(*watched(interval=1)) == [
        (1, "fc_output", "4.0\t"), (1, "softmax_output", "0.5\t"), (1, "data", "1.0\t"), (1, "fc_weight", "1.0\t"),
        (1, "fc_bias", "1.0\t"), (1, "softmax_label", "1.0\t")]


def test_interval_pattern_and_order():
    executor, monitor = watched(interval=2, pattern=".*(bias|output)", sort=True,
                                stat_func=lambda x: [x.max(), x.shape])
    names = [[(step, name) for step, name, _ in collected(executor, monitor)] for _ in range(3)]
    assert names == [[(1, "fc_bias"), (1, "fc_output"), (1, "softmax_output")], [],
                     [(3, "fc_bias"), (3, "fc_output"), (3, "softmax_output")]]


def test_fit_prints_them(caplog):
    data, label = blobs(12)
    with caplog.at_level(logging.INFO):
        mx.mod.Module(classifier()).fit(Batches(data, label, 6), num_epoch=1, initializer=Waves(),
                                        monitor=mx.mon.Monitor(1, pattern="fc1_weight"))
    assert caplog.text.count("fc1_weight") == 2
