"""The stores that stand on engines of others: Horovod, by a stand-in module; NCCL, with Gloo in its place."""
import sys
import types
from collections import OrderedDict

import pytest
import torch
from torch.distributed import ProcessGroupGloo

import mxdl as mx
from mxdl import autograd, gluon, kvstore, nd
from mxdl.kvstore.errors import DeadWorkerError, KVStoreError
from mxdl.kvstore.nccl import NcclStore
from tests.kvstore.jobs import together
from tests.kvstore.synchronous import job


class StandIn(types.ModuleType):
    """What the store uses of `horovod.torch`, as worker 1 of 2; worker 0's arrays are all 10."""

    Sum = "sum"

    def __init__(self):
        super().__init__("horovod.torch")
        self.started, self.is_initialised = OrderedDict(), False

    def init(self):
        self.is_initialised = True

    def rank(self):
        return 1

    local_rank = rank

    def size(self):
        return 2

    def broadcast_(self, tensor, root_rank, name):
        assert root_rank == 0 and self.is_initialised
        return tensor.fill_(10)

    def allreduce_async_(self, tensor, name, op):
        assert op == self.Sum and name not in self.started
        self.started[name] = tensor
        return name

    def synchronize(self, handle):
        return self.started.pop(handle).add_(10)


@pytest.fixture
def hvd(monkeypatch):
    found = StandIn()
    monkeypatch.setitem(sys.modules, "horovod", types.ModuleType("horovod"))
    monkeypatch.setitem(sys.modules, "horovod.torch", found)
    return found


def test_horovod_sums_and_broadcasts(hvd):
    store = kvstore.create("horovod")
    assert (store.type, store.rank, store.local_rank, store.num_workers) == ("horovod", 1, 1, 2)
    assert not store.is_capable("optimizer")
    out = [torch.zeros(3), torch.zeros(3)]
    value = torch.ones(3)
    store.broadcast("w", value, out)
    assert torch.equal(out[0], torch.full((3,), 10.)) and torch.equal(out[1], out[0]) and value.sum() == 3
    grads = [torch.ones(3), torch.full((3,), 2.)]
    store.pushpull("w", grads)
    assert [one.tolist() for one in grads] == [[13.] * 3] * 2
    several = [nd.ones(2), nd.ones(4) * 3]
    store.pushpull([1, 2], several)
    assert several[0].asnumpy().tolist() == [11.] * 2 and several[1].asnumpy().tolist() == [13.] * 4
    with pytest.raises(KVStoreError, match="row-sparse"):
        store.pushpull("t", torch.eye(2).to_sparse(1))


def test_a_trainer_over_horovod(hvd):
    net = gluon.nn.Dense(1, in_units=2, use_bias=False)
    net.initialize(mx.init.Zero())
    trainer = gluon.Trainer(net.collect_params(), "sgd", {"learning_rate": 0.5}, kvstore="horovod")
    with autograd.record():
        loss = net(nd.ones((1, 2))).sum()
    loss.backward()
    trainer.step(1)
    assert net.weight.data().asnumpy().tolist() == [[10 - 0.5 * (1 + 10)] * 2]     # worker 0's weight, both gradients


def test_without_horovod_the_error_says_what_to_do(monkeypatch):
    monkeypatch.setitem(sys.modules, "horovod", None)
    with pytest.raises(KVStoreError, match="needs Horovod with support for torch.*use 'dist_sync'"):
        kvstore.create("horovod")


def gloo(where, rank, size):
    return ProcessGroupGloo(where, rank, size)


def test_the_nccl_store_sums_over_processes_and_misses_the_dead():
    def work(control):
        store = NcclStore("nccl", control, gloo)
        store.init(["a", "b"], [torch.full((3,), 5. + store.rank), torch.zeros(2)])
        out, mine = torch.zeros(3), torch.ones(2)
        store.pull("a", out)
        store.push("b", mine)
        total = torch.zeros(2)
        store.pull("b", total)
        store.pushpull(["a", "b"], [[torch.ones(3), torch.ones(3)], [mine, mine]])
        store.barrier()
        if store.rank == 1:
            control.close()
            return None
        with pytest.raises(DeadWorkerError, match="worker 1"):
            store.push("b", mine)
        return out.tolist(), total.tolist(), mine.tolist()

    with job(["a", "b"], timeout=2) as controls:
        assert together(*[lambda one=one: work(one) for one in controls])[0] == ([5.] * 3, [2.] * 2, [4.] * 2)
