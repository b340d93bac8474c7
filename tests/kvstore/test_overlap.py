"""Trainer.backward_and_step with workers that go in step: sums begin during the backward pass and change no result."""
import threading
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


@pytest.mark.parametrize("hosts, on_store, contexts, wait", [
    (["a", "a"], True, 1, True), (["a", "a"], False, 2, True), (["a", "b", "b"], True, 2, True),
    (["a", "b", "b"], False, 1, True), (["a", "a"], True, 2, False), (["a", "b"], False, 1, False)])
def test_steps_equal_those_of_one_process_on_the_joint_batch(hosts, on_store, contexts, wait):
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
            trainer.backward_and_step(losses, len(hosts) * BATCH, wait=wait)
        assert bool(trainer._store.early._deferred) is not wait
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


@pytest.mark.parametrize("on_store", [True, False])
def test_a_step_that_does_not_wait_leaves_sums_to_the_next_forward_pass(on_store):
    """In the second step the later layer's gradient goes out when the first layer's new weights were read already, and
    a rate that was set meanwhile counts for the next step only."""
    def work(store):
        with BUILDING:
            mx.random.seed(3)
            first, last = nn.Dense(30, in_units=6, use_bias=False), nn.Dense(1, in_units=30, use_bias=False)
            first.initialize(mx.init.One())
            last.initialize(mx.init.One())
        params = [*first.collect_params().values(), *last.collect_params().values()]
        trainer = gluon.Trainer(params, "sgd", {"learning_rate": 1.0, "wd": 0.0}, kvstore=store,
                                update_on_kvstore=on_store)
        released = threading.Event()
        ready = "gradient_ready" if on_store else "reduce_ready"
        send = getattr(store, ready)

        def held_back(keys, values, **options):
            if 1 in keys and not released.is_set():
                threading.Thread(target=lambda: (released.wait(20), send(keys, values, **options))).start()
            else:
                send(keys, values, **options)

        seen = []
        for step in range(2):
            if step:
                setattr(store, ready, held_back)
            with autograd.record():
                loss = last(first(nd.ones((1, 6)))).sum()
            trainer.backward_and_step(loss, 1, wait=False)
        seen.append(params[0].data()[0, 0].asscalar())
        if not on_store:
            trainer.set_learning_rate(100.0)
        seen.append(sorted(trainer._store.early._deferred))
        released.set()
        while not store._pending.get(1):
            time.sleep(0.01)
        seen.append(params[1].data()[0, 0].asscalar())
        assert trainer._store.early._deferred == {}
        return seen

    # the gradients: of the first layer the other's weight, of the last one the sum 6 of its inputs' weights; times 2
    first, last = 1.0, 1.0
    for _ in range(2):
        first, last = first - 2 * last, last - 2 * 6 * first
    assert run(["a", "a"], work) == [[first, [0], last]] * 2


@pytest.mark.parametrize("on_store", [True, False])
def test_a_net_in_one_graph_reads_each_parameter_when_its_layer_runs(on_store):
    """In the second step the first layer runs while the last layer's new weights are not there yet; the result is that
    of steps that wait."""
    seen = []

    class Look(mx.operator.CustomOp):
        def forward(self, is_train, req, in_data, out_data, aux):
            for param in seen[0]:
                seen[1].append(param._update_first is not None)
            self.assign(out_data[0], req[0], in_data[0])

        def backward(self, req, out_grad, in_data, out_data, in_grad, aux):
            self.assign(in_grad[0], req[0], out_grad[0])

    @mx.operator.register("look_between_layers")
    class LookProp(mx.operator.CustomOpProp):
        def create_operator(self, ctx, in_shapes, in_dtypes):
            return Look()

    class Net(gluon.HybridBlock):
        def __init__(self):
            super().__init__()
            with self.name_scope():
                self.first, self.last = nn.Dense(30, in_units=6), nn.Dense(1, in_units=30)

        def hybrid_forward(self, F, x):
            return self.last(F.Custom(self.first(x), op_type="look_between_layers"))

    def work(store, wait):
        with BUILDING:
            mx.random.seed(3)
            net = Net()
            net.initialize()
            net.hybridize()
        trainer = gluon.Trainer(net.collect_params(), "sgd", {"learning_rate": 0.1, "momentum": 0.9}, kvstore=store,
                                update_on_kvstore=on_store)
        seen[:] = net.last.collect_params().values(), []
        for _ in range(4):
            with autograd.record():
                loss = (net(nd.ones((2, 6))) ** 2).sum()
            trainer.backward_and_step(loss, 2, wait=wait)
        return [param.data().asnumpy() for param in net.collect_params().values()], seen[1]

    (waiting, _), = run(["a"], lambda store: work(store, True))
    (late, marks), = run(["a"], lambda store: work(store, False))
    assert all((one == other).all() for one, other in zip(waiting, late, strict=True))
    assert marks == [False] * 4 + [True] * 4      # the first step, which makes the store's values, leaves nothing
