"""The DataLoader: batches, order, worker processes and threads, errors, dead and slow workers, random numbers."""
import os
import time

import numpy as np
import pytest

import mxdl as mx
from mxdl.errors import MXNetError
from mxdl.gluon.data import ArrayDataset, BatchSampler, DataLoader, Dataset, SequentialSampler, SimpleDataset

HOW = [{"num_workers": 0}, {"num_workers": 2}, {"num_workers": 2, "thread_pool": True}]
PARALLEL = HOW[1:]


def pairs(length=10):
    return ArrayDataset(np.arange(2 * length, dtype="float32").reshape(length, 2), np.arange(length, dtype="int32"))


@pytest.mark.parametrize("how", HOW)
def test_every_sample_comes_once_in_order(how):
    loader = DataLoader(pairs(), 4, **how)
    assert len(loader) == 3
    for _ in range(2):
        batches = list(loader)
        assert [label.asnumpy().tolist() for _, label in batches] == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]
        assert np.concatenate([data.asnumpy() for data, _ in batches]).ravel().tolist() == list(range(20))
        assert all(isinstance(part, mx.nd.NDArray) for batch in batches for part in batch)


def test_default_batches():
    def batch(samples):
        return next(iter(DataLoader(SimpleDataset(samples), len(samples))))

    assert batch([1, 2]).dtype is np.int64
    assert batch([np.float64(1), np.float64(2)]).dtype is np.float64
    assert batch([mx.nd.ones((2,)), mx.nd.ones((2,))]).shape == (2, 2)
    data, label = batch([(np.zeros((2, 3), "uint8"), 1), (np.zeros((2, 3), "uint8"), 2)])
    assert data.shape == (2, 2, 3) and data.dtype is np.uint8
    assert batch([{"a": 1}, {"a": 2}])["a"].asnumpy().tolist() == [1, 2]
    nested = batch([(1, (2, 3)), (4, (5, 6))])
    assert nested[1][1].asnumpy().tolist() == [3, 6]
    with pytest.raises(TypeError, match="batch of str"):
        batch(["a", "b"])


@pytest.mark.parametrize("how", HOW)
def test_shuffled_order_follows_numpys_seed(how):
    loader = DataLoader(pairs(), 5, shuffle=True, **how)
    orders = []
    for seed in (1, 1, 2):
        np.random.seed(seed)
        orders.append(np.concatenate([label.asnumpy() for _, label in loader]).tolist())
    assert orders[0] == orders[1] != orders[2] and sorted(orders[2]) == list(range(10))


@pytest.mark.parametrize("how", HOW)
def test_batch_samplers_and_batchify_functions(how):
    sampler = BatchSampler(SequentialSampler(5), 2, "rollover")
    loader = DataLoader(SimpleDataset(list(range(5))), batch_sampler=sampler, batchify_fn=sum, **how)
    assert list(loader) == [1, 5] and list(loader) == [4, 3, 7]


@pytest.mark.parametrize("how", HOW)
def test_a_pass_inside_a_pass_and_a_pass_left_early(how):
    loader = DataLoader(SimpleDataset(list(range(6))), 2, batchify_fn=tuple, **how)
    assert [(a, b) for a in loader for b in loader] == [(a, b) for a in ((0, 1), (2, 3), (4, 5))
                                                       for b in ((0, 1), (2, 3), (4, 5))]
    for _ in loader:
        break
    assert list(loader) == [(0, 1), (2, 3), (4, 5)]


class Troubled(Dataset):
    """Sample 3 makes trouble of a kind."""

    def __init__(self, kind):
        self.kind = kind

    def __len__(self):
        return 6

    def __getitem__(self, idx):
        if idx == 3 and self.kind == "error":
            raise KeyError("no such thing in sample three")
        if idx == 3 and self.kind == "death":
            os._exit(9)
        if idx == 3 and self.kind == "sleep":
            time.sleep(30)
        if idx == 3 and self.kind == "object":
            return lambda: None
        return idx


@pytest.mark.parametrize("how", HOW)
def test_an_error_in_the_dataset_carries_its_traceback(how):
    loader = DataLoader(Troubled("error"), 2, **how)
    for _ in range(2):
        batches = iter(loader)
        assert next(batches).asnumpy().tolist() == [0, 1]
        with pytest.raises(KeyError, match="no such thing in sample three") as caught:
            next(batches)
        if how == HOW[1]:
            assert "__getitem__" in str(caught.value)      # the worker's traceback


def test_a_worker_that_dies_is_an_error_and_the_loader_works_again():
    loader = DataLoader(Troubled("death"), 2, num_workers=1)
    with pytest.raises(MXNetError, match="a worker process died"):
        list(loader)
    loader._dataset.kind = "none"
    assert len(list(loader)) == 3


@pytest.mark.parametrize("how", PARALLEL)
def test_a_slow_dataset_is_an_error_after_the_timeout(how):
    began = time.monotonic()
    with pytest.raises(MXNetError, match=r"no batch within 0.5 seconds"):
        list(DataLoader(Troubled("sleep"), 2, timeout=0.5, **{**how, "num_workers": 1}))
    assert time.monotonic() - began < 15


def test_what_cannot_be_sent_is_named():
    with pytest.raises(MXNetError, match="holds a function that cannot be sent"):
        list(DataLoader(Troubled("object"), 2, num_workers=1, batchify_fn=list))


class Draws(Dataset):
    def __len__(self):
        return 8

    def __getitem__(self, idx):
        return int(np.random.randint(2 ** 31))


def test_workers_draw_different_numbers_that_follow_from_the_seed():
    def draws(seed):
        mx.random.seed(seed)
        return [int(x) for batch in DataLoader(Draws(), 1, num_workers=2) for x in batch.asnumpy()]

    first, again, other = draws(1), draws(1), draws(2)
    assert first == again and first != other and len(set(first)) == 8


def test_many_batches_can_be_kept():
    """Where the system lets a process have few open files at first."""
    resource = pytest.importorskip("resource")
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(256, before[1]), before[1]))
    batches = list(DataLoader(SimpleDataset(list(range(600))), 1, num_workers=1, prefetch=8))
    assert [int(batch.asnumpy()[0]) for batch in batches] == list(range(600))


@pytest.mark.parametrize("arguments, message", [
    ({}, "batch_size or batch_sampler"),
    ({"batch_size": 2, "sampler": SequentialSampler(3), "shuffle": True}, "sampler says the order"),
    ({"batch_size": 2, "batch_sampler": BatchSampler(SequentialSampler(3), 2)}, "decides alone"),
    ({"batch_size": 0}, "at least 1"),
    ({"batch_size": 2, "timeout": 0}, "timeout"),
])
def test_wrong_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        DataLoader(pairs(), **arguments)
