"""Machines of several workers, whose leaders sum over sockets: streams of more pieces than the shared memory holds."""
from types import SimpleNamespace

import pytest
import torch

from mxdl.kvstore import KVStoreError
from mxdl.kvstore.collective_group import Meeting
from tests.kvstore.synchronous import run

SIZES = [5, 150_000, 1, 0, 250_000, 700]      # elements: 13 pieces, of which 8 are under way


def filled(size, rank, step):
    """Whole numbers, whose sums are exact."""
    return torch.arange(size, dtype=torch.float32).remainder_(1000).add_(1000 * rank + step)


@pytest.mark.parametrize("hosts, ahead_bytes", [("ab", 1 << 18), ("aabb", 1 << 18), ("aaab", 1 << 22), ("babbba", 1)])
def test_streams_longer_than_the_memory(hosts, ahead_bytes, monkeypatch):
    """In place and into other arrays, again and again, so that blocks are used anew."""
    monkeypatch.setenv("MXDL_SHARED_MIB", "4")
    monkeypatch.setattr("mxdl.kvstore.config.SHARED_BLOCK_BYTES", 1 << 16)
    monkeypatch.setattr("mxdl.kvstore.collective_sockets.AHEAD_BYTES", ahead_bytes)
    wanted = [[sum(filled(size, rank, step) for rank in range(len(hosts))) for size in SIZES] for step in range(3)]

    def work(store):
        store.init(SIZES, [torch.zeros(size) for size in SIZES])
        for step in range(3):
            arrays = [filled(size, store.rank, step) for size in SIZES]
            if step == 1:
                outs = [torch.zeros(size) for size in SIZES]
                store.pushpull(SIZES, arrays, outs)
                assert all(torch.equal(one, filled(one.numel(), store.rank, step)) for one in arrays)
                arrays = outs
            else:
                store.allreduce(SIZES, arrays)
            assert all(torch.equal(one, want) for one, want in zip(arrays, wanted[step], strict=True)), step
        return store._machine.board.blocks

    assert run(list(hosts), work) == [4] * len(hosts)


@pytest.mark.parametrize("hosts", ["aab", "aaaabb"])
def test_every_worker_has_the_same_bits_at_every_run(hosts):
    def work(store):
        store.init("w", torch.zeros(300_000))
        array = torch.randn(300_000, generator=torch.Generator().manual_seed(store.rank))
        store.allreduce("w", array)
        return array

    first, second = run(list(hosts), work), run(list(hosts), work)
    assert all(torch.equal(one, first[0]) for one in first + second)


def test_workers_that_chose_different_networks_get_an_error(monkeypatch):
    store = torch.distributed.HashStore()

    def network(host, chosen):
        monkeypatch.setenv("MXDL_NETWORK", chosen)
        meeting = object.__new__(Meeting)
        meeting.control, meeting._store = SimpleNamespace(job=SimpleNamespace(host=host)), store
        return meeting._network()

    assert network("a", "sockets") == network("b", "sockets") == "sockets"
    with pytest.raises(KVStoreError, match="needs one value for all workers; got 'gloo' on c and 'sockets' elsewhere"):
        network("c", "gloo")
