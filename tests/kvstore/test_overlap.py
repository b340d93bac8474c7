"""Trainer.backward_and_step with workers that go in step: sums begin during the backward pass and change no result."""
import time

import numpy as np
import pytest

import mxdl as mx
from mxdl import autograd, gluon, nd
from mxdl.gluon import early_sums, nn
from tests.kvstore import test_dist_sync_training as training
from tests.kvstore.synchronous import run
from tests.kvstore.test_dist_sync_training import BATCH, BUILDING, OPTIONS, data, joint, net_of, weights

STEPS = 12


@pytest.fixture(autouse=True)
def small_buckets(monkeypatch):
    monkeypatch.setattr(early_sums, "BUCKET_BYTES", 100)
    monkeypatch.setattr(training, "STEPS", STEPS)


@pytest.mark.parametrize("hosts, on_store, contexts", [
    (["a", "a"], True, 1), (["a", "a"], False, 2), (["a", "b", "b"], True, 2), (["a", "b", "b"], False, 1)])
def test_steps_equal_those_of_one_process_on_the_joint_batch(hosts, on_store, contexts):
    contexts = [mx.cpu(number) for number in range(contexts)]
    x, y = data(len(hosts))

    def work(store):
        net = net_of(contexts)
        trainer = gluon.Trainer(net.collect_params(), "sgd", dict(OPTIONS), kvstore=store, update_on_kvstore=on_store)
        loss = gluon.loss.L2Loss()
        for step in range(STEPS):
            parts = zip(*(gluon.utils.split_and_load(nd.array(one), contexts)
                          for one in (x[step, store.rank], y[step, store.rank])), strict=True)
            with autograd.record():
                losses = [loss(net(one), want) for one, want in parts]
            trainer.backward_and_step(losses, len(hosts) * BATCH)
        assert len(trainer._store.early._buckets) == 3      # 4 + 64, 64 and 384 bytes
        return weights(net)

    wanted = joint(len(hosts))
    for found in run(hosts, work):
        np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-5)


@pytest.mark.parametrize("on_store", [True, False])
def test_a_bucket_is_summed_while_the_backward_pass_runs(on_store):
    """The backward pass stands still between two layers until the later layer's sum is there."""
    def work(store):
        steps, summed = [], []

        class Wait(autograd.Function):
            def forward(self, x):
                return x

            def backward(self, dy):
                if steps:
                    end = time.monotonic() + 20
                    while store._rounds.pushes.get(2, 0) < len(steps) + 1 and time.monotonic() < end:
                        time.sleep(0.01)
                    summed.append((store._rounds.pushes.get(2, 0), store._rounds.pushes[0]))
                steps.append(len(steps))
                return dy

        with BUILDING:
            mx.random.seed(3)
            first, last = nn.Dense(30, in_units=6), nn.Dense(1, in_units=30)
            first.initialize()
            last.initialize()
        params = [*first.collect_params().values(), *last.collect_params().values()]
        trainer = gluon.Trainer(params, "sgd", kvstore=store, update_on_kvstore=on_store)
        for _ in range(3):
            with autograd.record():
                loss = last(Wait()(first(nd.ones((2, 6))))).sum()
            trainer.backward_and_step(loss, 2)
        return summed

    assert run(["a", "b"], work) == [[(2, 1), (3, 2)]] * 2
