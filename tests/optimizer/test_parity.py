"""Every optimizer against MXNet 1.9.1 over ten updates: weights after each, with decay, rescaling and clipping."""
import numpy as np
import pytest

import mxdl as mx
from mxdl.optimizer import create, get_updater

SOURCE = """
optimizer = (mx.optimizer.contrib.GroupAdaGrad(**arguments) if name == "groupadagrad"
             else mx.optimizer.create(name, **arguments))
if schedule:
    optimizer.lr_scheduler = mx.lr_scheduler.FactorScheduler(3, 0.5, base_lr=arguments["learning_rate"])
updater = mx.optimizer.get_updater(optimizer)
weight, result = mx.nd.array(weight, dtype=dtype), []
for grad in grads:
    updater(0, mx.nd.array(grad, dtype=dtype), weight)
    result.append(weight.asnumpy())
"""
RATES = {"learning_rate": 0.1, "wd": 0.01, "rescale_grad": 0.5}
CLIPPED = {**RATES, "clip_gradient": 0.3}
CASES = [
    ("sgd", RATES), ("sgd", CLIPPED), ("sgd", {**RATES, "momentum": 0.9}), ("sgd", {**CLIPPED, "momentum": 0.9}),
    ("ccsgd", {**RATES, "momentum": 0.9}), ("nag", RATES),
    # without decay: MXNet's kernel, writing over the weight, puts the decay of the new weight into the momentum
    ("nag", {**CLIPPED, "momentum": 0.9, "wd": 0.0}),
    ("adam", RATES), ("adam", CLIPPED), ("rmsprop", CLIPPED),
    ("rmsprop", {**CLIPPED, "centered": True, "clip_weights": 1.1}), ("signum", {**CLIPPED, "wd_lh": 0.02}),
    ("signum", {**CLIPPED, "momentum": 0.0}), ("ftrl", CLIPPED), ("ftml", CLIPPED), ("lamb", CLIPPED),
    ("lamb", {**RATES, "lower_bound": 0.5, "upper_bound": 1.0, "bias_correction": False}), ("adagrad", CLIPPED),
    ("adadelta", {"wd": 0.01, "rescale_grad": 0.5, "clip_gradient": 0.3}), ("adamax", CLIPPED), ("nadam", CLIPPED),
    ("dcasgd", CLIPPED), ("lars", {**CLIPPED, "momentum": 0.9}), ("lars", RATES), ("test", {"rescale_grad": 0.5}),
    ("lbsgd", {**RATES, "momentum": 0.9, "batch_scale": 2, "updates_per_epoch": 4, "warmup_epochs": 1}),
    ("lbsgd", {**RATES, "momentum": 0.9, "warmup_strategy": "lars"}),
    ("groupadagrad", {"learning_rate": 0.1, "rescale_grad": 0.5, "clip_gradient": 0.3}),
]


def run(name, arguments, weight, grads, schedule, dtype="float32"):
    optimizer = create(name, **arguments)
    if schedule:
        optimizer.lr_scheduler = mx.lr_scheduler.FactorScheduler(3, 0.5, base_lr=arguments["learning_rate"])
    updater, weight, after = get_updater(optimizer), mx.nd.array(weight, dtype=dtype), []
    for grad in grads:
        updater(0, mx.nd.array(grad, dtype=dtype), weight)
        after.append(weight.asnumpy())
    return np.stack(after)


@pytest.mark.parity
@pytest.mark.parametrize("schedule", [False, True], ids=["constant", "falling"])
@pytest.mark.parametrize("name, arguments", CASES, ids=[f"{name}-{i}" for i, (name, _) in enumerate(CASES)])
def test_optimizer_equals_mxnet(mxnet, name, arguments, schedule):
    if schedule and ("learning_rate" not in arguments or name == "lbsgd"):
        pytest.skip("no learning rate to schedule; LBSGD reads it one update late in MXNet")
    rng = np.random.default_rng(0)
    weight, grads = rng.normal(size=(3, 4)).astype("float32"), rng.normal(size=(10, 3, 4)).astype("float32")
    theirs = mxnet.run(SOURCE, name=name, arguments=arguments, weight=weight, grads=grads, schedule=schedule,
                       dtype="float32")
    # MXNet rounds 1 - beta2 to float32 first: 5e-5 of Adam's average of squares
    np.testing.assert_allclose(run(name, arguments, weight, grads, schedule), np.stack(theirs), rtol=2e-5, atol=2e-5)


@pytest.mark.parity
@pytest.mark.parametrize("name", ["sgd", "nag", "adam", "lamb"])
def test_multi_precision_equals_mxnet(mxnet, name):
    arguments = {**RATES, "wd": 0.0, "multi_precision": True}
    arguments |= {"momentum": 0.9} if name in ("sgd", "nag") else {}
    rng = np.random.default_rng(0)
    weight, grads = rng.normal(size=(3, 4)).astype("float16"), rng.normal(size=(5, 3, 4)).astype("float16")
    theirs = mxnet.run(SOURCE, name=name, arguments=arguments, weight=weight, grads=grads, schedule=False,
                       dtype="float16")
    ours = run(name, arguments, weight, grads, False, "float16")
    np.testing.assert_allclose(ours.astype("float32"), np.stack(theirs).astype("float32"), atol=2e-3)
