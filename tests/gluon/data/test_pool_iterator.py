"""What libraries build on `gluon.data.dataloader._MultiWorkerIter`, as GluonCV's loader of random transforms does."""
import io
import multiprocessing
import pickle
import time
from multiprocessing.reduction import ForkingPickler

import numpy as np
import pytest

import mxdl as mx
from mxdl.errors import MXNetError
from mxdl.gluon.data.dataloader import _MultiWorkerIter, default_mp_batchify_fn

DATA = np.arange(20, dtype=np.float32).reshape(10, 2)


def make(numbers, batchify_fn, dataset=None):
    buffer = io.BytesIO()
    rows = DATA if dataset is None else dataset
    ForkingPickler(buffer, pickle.HIGHEST_PROTOCOL).dump(batchify_fn([mx.nd.array(rows[i]) for i in numbers]))
    return buffer.getvalue()


def make_slowly(numbers, batchify_fn):
    time.sleep(30)


class Doubling(_MultiWorkerIter):
    """Hands out every list of numbers twice."""

    def _push_next(self):
        numbers = next(self._iter, None)
        if numbers is None:
            return
        for _ in range(2):
            self._data_buffer[self._sent_idx] = self._worker_pool.apply_async(self._worker_fn,
                                                                              (numbers, self._batchify_fn))
            self._sent_idx += 1


@pytest.fixture
def pool():
    with multiprocessing.get_context("fork").Pool(2) as made:
        yield made


def sampler(last_batch="keep"):
    return mx.gluon.data.BatchSampler(mx.gluon.data.SequentialSampler(10), 4, last_batch)


@pytest.mark.parametrize("prefetch", [0, 1, 5])
def test_batches_come_in_the_samplers_order(pool, prefetch):
    batches = _MultiWorkerIter(pool, default_mp_batchify_fn, sampler(), worker_fn=make, prefetch=prefetch)
    assert len(batches) == 3
    np.testing.assert_array_equal(np.concatenate([b.asnumpy() for b in batches]), DATA)
    given = _MultiWorkerIter(pool, default_mp_batchify_fn, sampler(), worker_fn=make, prefetch=prefetch,
                             dataset=DATA * 2, pin_memory=False)
    np.testing.assert_array_equal(np.concatenate([b.asnumpy() for b in given]), DATA * 2)


def test_a_subclass_hands_out_as_it_likes(pool):
    batches = [b.asnumpy() for b in Doubling(pool, default_mp_batchify_fn, sampler("discard"), worker_fn=make,
                                             prefetch=1)]
    assert [b[0, 0] for b in batches] == [0, 0, 8, 8]


def test_a_batch_that_does_not_come_is_an_error(pool):
    batches = _MultiWorkerIter(pool, default_mp_batchify_fn, sampler(), worker_fn=make_slowly, timeout=0.2)
    with pytest.raises(MXNetError, match=r"no batch within 0\.2 seconds"):
        next(batches)
    with pytest.raises(MXNetError, match="worker_fn makes the batches; got None"):
        _MultiWorkerIter(pool, default_mp_batchify_fn, sampler())
