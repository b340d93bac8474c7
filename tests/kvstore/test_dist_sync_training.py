"""Training with `dist_sync` is training on the joint batch; workers are threads, each with a net of its own."""
import threading

import numpy as np
import pytest

import mxdl as mx
from mxdl import autograd, gluon, nd
from mxdl.gluon import nn
from tests.kvstore.synchronous import run

STEPS, BATCH = 100, 8
OPTIONS = {"learning_rate": 0.05, "momentum": 0.9, "wd": 1e-3}
BUILDING = threading.Lock()     # names count through the process


def data(workers):
    generator = np.random.default_rng(7)
    x = generator.normal(size=(STEPS, workers, BATCH, 6)).astype("float32")
    return x, np.sin(x.sum(-1, keepdims=True)).astype("float32")


def net_of(contexts):
    with BUILDING:
        mx.random.seed(3)
        net = nn.HybridSequential()
        net.add(nn.Dense(16, activation="tanh", in_units=6), nn.Dense(1, in_units=16))
        net.initialize(mx.init.Xavier(), ctx=contexts)
    return net


def train(net, trainer, batches, contexts, steps, size):
    loss = gluon.loss.L2Loss()
    for step in steps:
        x, y = batches(step)
        parts = zip(*(gluon.utils.split_and_load(nd.array(one), contexts) for one in (x, y)), strict=True)
        with autograd.record():
            losses = [loss(net(one), want) for one, want in parts]
        for one in losses:
            one.backward()
        trainer.step(size)


def weights(net):
    return np.concatenate([param.data(param.list_ctx()[0]).asnumpy().ravel()
                           for param in net.collect_params().values()])


def joint(workers, optimizer="sgd", options=OPTIONS):
    x, y = data(workers)
    net = net_of([mx.cpu()])
    trainer = gluon.Trainer(net.collect_params(), optimizer, dict(options), kvstore=None)
    train(net, trainer, lambda step: (x[step].reshape(-1, 6), y[step].reshape(-1, 1)), [mx.cpu()], range(STEPS),
          workers * BATCH)
    return weights(net)


@pytest.mark.parametrize("hosts", [["a", "a"], ["a", "b", "b"]], ids="".join)
@pytest.mark.parametrize("on_store", [True, False])
@pytest.mark.parametrize("contexts", [[mx.cpu()], [mx.cpu(0), mx.cpu(1)]], ids=len)
def test_a_hundred_steps_equal_one_process_on_the_joint_batch(hosts, on_store, contexts):
    x, y = data(len(hosts))

    def work(store):
        net = net_of(contexts)
        trainer = gluon.Trainer(net.collect_params(), "sgd", dict(OPTIONS), kvstore=store, update_on_kvstore=on_store)
        train(net, trainer, lambda step: (x[step, store.rank], y[step, store.rank]), contexts, range(STEPS),
              len(hosts) * BATCH)
        return weights(net)

    wanted = joint(len(hosts))
    for found in run(hosts, work):
        np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-5)


@pytest.mark.parametrize("on_store", [True, False])
def test_states_are_saved_whole_and_training_goes_on_from_them(tmp_path, on_store):
    """Half of the training with two workers, the other half with three."""
    x, y = data(6)
    path = str(tmp_path / "states")

    def halves(first):
        def work(store):
            net = net_of([mx.cpu()])
            trainer = gluon.Trainer(net.collect_params(), "adam", {"learning_rate": 0.01}, kvstore=store,
                                    update_on_kvstore=on_store)
            share = 6 // store.num_workers
            mine = slice(store.rank * share, (store.rank + 1) * share)
            if not first:
                net.load_parameters(str(tmp_path / "net"))
                trainer.load_states(path)
            train(net, trainer, lambda step: (x[step, mine].reshape(-1, 6), y[step, mine].reshape(-1, 1)), [mx.cpu()],
                  range(STEPS // 2) if first else range(STEPS // 2, STEPS), 6 * BATCH)
            if first:
                trainer.save_states(path if on_store or store.rank == 0 else path + str(store.rank))
                if store.rank == 0:
                    net.save_parameters(str(tmp_path / "net"))
                store.barrier()
            return weights(net)
        return work

    run(["a", "a"], halves(True))
    wanted = joint(6, "adam", {"learning_rate": 0.01})
    for found in run(["a", "b", "a"], halves(False)):
        np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", ["dist_sync"])
def test_a_module_trains_on_the_joint_batch(name):
    x, y = data(2)

    def module_of():
        with BUILDING:
            mx.random.seed(3)
            out = mx.sym.FullyConnected(mx.sym.var("data"), num_hidden=1, name="fc")
            module = mx.mod.Module(mx.sym.LinearRegressionOutput(out, name="lro"), label_names=["lro_label"])
            return module

    def fit(module, batches, size, store):
        module.bind([("data", (size, 6))], [("lro_label", (size, 1))])
        with BUILDING:
            mx.random.seed(3)
            module.init_params(mx.init.Xavier())
        module.init_optimizer(kvstore=store, optimizer_params={"learning_rate": 0.05})
        for step in range(20):
            one, want = batches(step)
            module.forward_backward(mx.io.DataBatch([nd.array(one)], [nd.array(want)]))
            module.update()
        return module.get_params()[0]["fc_weight"].asnumpy()

    def work(store):
        return fit(module_of(), lambda step: (x[step, store.rank], y[step, store.rank]), BATCH, store)

    found = run(["a", "a"], work)
    wanted = fit(module_of(), lambda step: (x[step].reshape(-1, 6), y[step].reshape(-1, 1)), 2 * BATCH, None)
    np.testing.assert_allclose(found[0], wanted, rtol=0, atol=1e-5)
    np.testing.assert_array_equal(found[0], found[1])
