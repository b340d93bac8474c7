"""Data iterators: batches, rests, descriptions, files, threads; against MXNet 1.9.1 where it is there."""
import gzip
import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import mxdl as mx
from mxdl.errors import FileFormatError
from mxdl.io import CSVIter, DataBatch, DataDesc, DataIter, MNISTIter, NDArrayIter, PrefetchingIter, ResizeIter

DATA = np.arange(10, dtype="float32").reshape(5, 2)
LABEL = np.arange(5, dtype="float32")


def passes(iterator, count=2):
    """Labels and padding of every batch of some passes."""
    result = []
    for _ in range(count):
        result.append([[batch.label[0].asnumpy().tolist(), batch.pad] for batch in iterator])
        iterator.reset()
    return result


WHOLE = [[[0, 1], 0], [[2, 3], 0]]


@pytest.mark.parametrize("handle, expected", [
    ("pad", [[*WHOLE, [[4, 0], 1]]] * 3), ("discard", [WHOLE] * 3),
    ("roll_over", [WHOLE, [[[4, 0], 1], [[1, 2], 0], [[3, 4], 0]], WHOLE]),
])
def test_what_becomes_of_the_rest(handle, expected):
    assert passes(NDArrayIter(DATA, LABEL, 2, last_batch_handle=handle), 3) == expected


SOURCE = """
np.random.seed(4)
iterator = mx.io.NDArrayIter(data, label, batch_size, shuffle, handle)
result = []
for _ in range(3):
    result.append([[batch.data[0].asnumpy().tolist(), batch.label[0].asnumpy().tolist(), batch.pad]
                   for batch in iterator])
    iterator.reset()
"""


@pytest.mark.parity
@pytest.mark.parametrize("shuffle", [False, True])
@pytest.mark.parametrize("handle", ["pad", "discard", "roll_over"])
def test_batches_equal_mxnets(mxnet, handle, shuffle):
    for batch_size in (1, 2, 3, 5, 7):
        if batch_size == 7 and handle == "roll_over":
            continue    # MXNet gives nothing for ever
        theirs = mxnet.run(SOURCE, data=DATA, label=LABEL, batch_size=batch_size, shuffle=shuffle, handle=handle)
        np.random.seed(4)
        iterator, ours = NDArrayIter(DATA, LABEL, batch_size, shuffle, handle), []
        for _ in range(3):
            ours.append([[batch.data[0].asnumpy().tolist(), batch.label[0].asnumpy().tolist(), batch.pad]
                         for batch in iterator])
            iterator.reset()
        assert ours == theirs, batch_size


@given(st.integers(1, 30), st.integers(1, 12), st.booleans(), st.integers(1, 4))
def test_rolling_over_gives_every_sample_equally_often(length, batch_size, shuffle, count):
    iterator = NDArrayIter(np.zeros((length, 1)), np.arange(length), min(batch_size, length), shuffle, "roll_over")
    taken = [x for one in passes(iterator, count) for labels, _ in one for x in labels]
    counts = np.bincount(np.array(taken, int), minlength=length)
    assert counts.max(initial=0) - counts.min() <= 1 + (count > 1)


def test_a_batch_does_not_alias_the_data():
    source = mx.nd.array(DATA)
    batch = next(NDArrayIter(source, LABEL, 2))
    batch.data[0][:] = -1
    assert (source.asnumpy() == DATA).all()


def test_names_and_descriptions():
    one = NDArrayIter(DATA, LABEL, 2)
    assert one.provide_data == [("data", (2, 2))] and one.provide_label == [("softmax_label", (2,))]
    assert repr(one.provide_data[0]) == "DataDesc[data,(2, 2),<class 'numpy.float32'>,NCHW]"
    assert [desc.name for desc in NDArrayIter([DATA, DATA], None, 2).provide_data] == ["_0_data", "_1_data"]
    named = NDArrayIter({"a": DATA, "b": LABEL.astype("float64")}, {"y": LABEL}, 2)
    assert named.provide_data == [("a", (2, 2)), ("b", (2,))] and named.provide_data[1].dtype is np.float32
    assert str(next(named)) == "DataBatch: data shapes: [(2, 2), (2,)] label shapes: [(2,)]"
    assert DataDesc.get_batch_axis("TNC") == 1 and DataDesc.get_batch_axis(None) == 0
    assert DataDesc.get_list([("a", (1, 2))], [("a", np.int32)])[0].dtype is np.int32


@pytest.mark.parametrize("call, error, message", [
    (lambda: NDArrayIter(DATA, LABEL[:3], 2), ValueError, "not of one length"),
    (lambda: NDArrayIter("x", LABEL, 2), TypeError, "got str"),
    (lambda: NDArrayIter(DATA, LABEL, 2, last_batch_handle="x"), ValueError, "last_batch_handle"),
    (lambda: NDArrayIter([], LABEL, 2), ValueError, "at least one"),
    (lambda: DataBatch(mx.nd.ones((1,))), TypeError, "list of arrays"),
])
def test_wrong_arguments(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_resized_passes():
    iterator = ResizeIter(NDArrayIter(DATA, LABEL, 2), 4)
    expected = [*WHOLE, [[4, 0], 1], [[0, 1], 0]]
    assert passes(iterator) == [expected, expected] and iterator.provide_data == [("data", (2, 2))]


def test_prefetching_puts_iterators_together():
    iterator = PrefetchingIter([NDArrayIter(DATA, LABEL, 2), NDArrayIter({"q": DATA}, {"r": LABEL}, 2)],
                               rename_data=[{"data": "x"}, {"q": "q"}],
                               rename_label=[{"softmax_label": "s"}, {"r": "t"}])
    assert iterator.provide_data == [("x", (2, 2)), ("q", (2, 2))]
    assert [desc.name for desc in iterator.provide_label] == ["s", "t"]
    for _ in range(2):
        seen = [(len(batch.data), len(batch.label), batch.pad) for batch in iterator]
        assert seen == [(2, 2, 0), (2, 2, 0), (2, 2, 1)]
        iterator.reset()
    next(iterator)
    iterator.reset()
    assert len(list(iterator)) == 3


class Failing(DataIter):
    provide_data = provide_label = [DataDesc("data", (2, 2))]

    def next(self):
        raise OSError("the disk is gone")


def test_an_error_in_a_prefetching_thread_is_raised_here():
    with pytest.raises(OSError, match="the disk is gone"):
        next(PrefetchingIter(Failing(2)))


def test_csv(tmp_path):
    np.savetxt(tmp_path / "d.csv", DATA, delimiter=",")
    np.savetxt(tmp_path / "l.csv", LABEL)
    rolling = CSVIter(tmp_path / "d.csv", (2,), tmp_path / "l.csv", batch_size=2)
    assert passes(rolling, 3) == [[*WHOLE, [[4, 0], 1]], [[[1, 2], 0], [[3, 4], 0]], [*WHOLE, [[4, 0], 1]]]
    assert next(rolling).index.tolist() == [1, 2]
    each = CSVIter(tmp_path / "d.csv", (1, 2), batch_size=2, round_batch=False)
    assert each.provide_data == [("data", (2, 1, 2))]
    assert passes(each) == [[[[0, 0], 0], [[0, 0], 0], [[0, 0], 1]]] * 2
    with pytest.raises(FileFormatError, match=r"rows of shape \(3,\)"):
        CSVIter(tmp_path / "d.csv", (3,))
    (tmp_path / "l.csv").write_text("1\n2\n")
    with pytest.raises(FileFormatError, match="5 rows, .* has 2"):
        CSVIter(tmp_path / "d.csv", (2,), tmp_path / "l.csv")


def test_mnist(tmp_path):
    images = np.arange(7 * 4, dtype=np.uint8).reshape(7, 2, 2)
    (tmp_path / "i.gz").write_bytes(gzip.compress(b"\0\0\x08\x03" + struct.pack(">3I", 7, 2, 2) + images.tobytes()))
    (tmp_path / "l").write_bytes(b"\0\0\x08\x01" + struct.pack(">I", 7) + bytes(range(7)))
    plain = MNISTIter(tmp_path / "i.gz", tmp_path / "l", batch_size=3, shuffle=False)
    assert plain.provide_data == [("data", (3, 1, 2, 2))]
    assert passes(plain) == [[[[0, 1, 2], 0], [[3, 4, 5], 0]]] * 2
    assert next(plain).data[0].asnumpy()[1, 0, 0, 1] == 5 / 256
    flat = MNISTIter(tmp_path / "i.gz", tmp_path / "l", batch_size=7, flat=True)
    labels = next(flat).label[0].asnumpy()
    assert flat.provide_data == [("data", (7, 4))] and sorted(labels) == list(range(7)) and (labels != range(7)).any()
    parts = [passes(MNISTIter(tmp_path / "i.gz", tmp_path / "l", 1, False, num_parts=2, part_index=i), 1)
             for i in (0, 1)]
    assert [len(part[0]) for part in parts] == [4, 3]
