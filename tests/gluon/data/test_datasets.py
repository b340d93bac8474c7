"""Datasets and samplers."""
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import mxdl as mx
from mxdl import recordio
from mxdl.gluon.data import (
    ArrayDataset,
    BatchSampler,
    Dataset,
    FilterSampler,
    IntervalSampler,
    RandomSampler,
    RecordFileDataset,
    SequentialSampler,
    SimpleDataset,
)

TEN = SimpleDataset(list(range(10)))


def samples(dataset):
    return [dataset[i] for i in range(len(dataset))]


def test_views_of_a_dataset():
    assert [samples(TEN.shard(3, i)) for i in range(3)] == [[0, 1, 2, 3], [4, 5, 6], [7, 8, 9]]
    assert samples(TEN.take(3)) == [0, 1, 2] and len(TEN.take(None)) == len(TEN.take(30)) == 10
    assert samples(TEN.filter(lambda x: x % 2)) == [1, 3, 5, 7, 9]
    assert samples(TEN.sample(SequentialSampler(2, start=4))) == [4, 5]
    assert samples(TEN.transform(lambda x: 2 * x).take(2)) == [0, 2]
    with pytest.raises(ValueError, match="from 0 to 2; got 3"):
        TEN.shard(3, 3)


@given(st.integers(0, 50), st.integers(1, 7))
def test_shards_divide_a_dataset(length, num_shards):
    parts = [samples(SimpleDataset(range(length)).shard(num_shards, i)) for i in range(num_shards)]
    assert sum(parts, []) == list(range(length))
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


def test_a_lazy_transform_is_computed_when_asked_for():
    calls = []
    lazy = TEN.transform(calls.append)
    assert not calls and lazy[4] is None and calls == [4]
    TEN.transform(calls.append, lazy=False)
    assert len(calls) == 11


def test_tuples_are_a_transforms_arguments():
    pairs = ArrayDataset([1, 2], [3, 4])
    assert samples(pairs.transform(lambda a, b: a + b)) == [4, 6]
    assert samples(pairs.transform_first(lambda a: 10 * a)) == [(10, 3), (20, 4)]
    assert samples(TEN.transform_first(lambda a: 10 * a).take(2)) == [0, 10]


def test_arrays():
    data = ArrayDataset(mx.nd.array([[0, 1], [2, 3]]), mx.nd.array([5, 6]), [7, 8])
    first, label, third = data[1]
    assert isinstance(first, mx.nd.NDArray) and first.asnumpy().tolist() == [2, 3]
    assert isinstance(label, np.float32) and (label, third) == (6, 8)
    assert ArrayDataset(np.arange(3))[1] == 1
    with pytest.raises(ValueError, match=r"one length; got \[1, 2\]"):
        ArrayDataset([1], [1, 2])


def test_records(tmp_path):
    with recordio.MXIndexedRecordIO(tmp_path / "a.idx", tmp_path / "a.rec", "w") as writer:
        for key in (5, 3):
            writer.write_idx(key, b"%d" % key)
    data = RecordFileDataset(tmp_path / "a.rec")
    assert len(data) == 2 and samples(data) == [b"5", b"3"]


def test_a_dataset_must_say_what_it_holds():
    with pytest.raises(NotImplementedError, match="__getitem__"):
        Dataset()[0]


def test_samplers():
    np.random.seed(0)
    assert list(RandomSampler(5)) == [2, 0, 1, 3, 4]      # as MXNet with this seed
    assert list(FilterSampler(lambda x: x > 7, TEN)) == [8, 9]
    assert list(IntervalSampler(7, 3)) == [0, 3, 6, 1, 4, 2, 5]
    once = IntervalSampler(7, 3, rollover=False)
    assert list(once) == [0, 3, 6] and len(once) == 3
    with pytest.raises(ValueError, match="interval"):
        IntervalSampler(2, 3)


def test_batches_keep_discard_or_roll_over_the_rest():
    assert list(BatchSampler(SequentialSampler(5), 2)) == [[0, 1], [2, 3], [4]]
    assert list(BatchSampler(SequentialSampler(5), 2, "discard")) == [[0, 1], [2, 3]]
    rolling = BatchSampler(SequentialSampler(5), 2, "rollover")
    assert [(len(rolling), list(rolling)) for _ in range(2)] == [(2, [[0, 1], [2, 3]]),
                                                                 (3, [[4, 0], [1, 2], [3, 4]])]
    with pytest.raises(ValueError, match="last_batch"):
        BatchSampler(SequentialSampler(5), 2, "x")


@given(st.integers(0, 40), st.integers(1, 9), st.sampled_from(["keep", "discard", "rollover"]), st.integers(1, 3))
def test_a_batch_samplers_length_is_what_it_gives(length, batch_size, last_batch, passes):
    sampler = BatchSampler(SequentialSampler(length), batch_size, last_batch)
    for _ in range(passes):
        assert len(sampler) == len(list(sampler))
