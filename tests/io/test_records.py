"""ImageRecordIter: batches, order, augmentation, threads; against MXNet 1.9.1 where it is there."""
import numpy as np
import pytest

from mxdl import recordio
from mxdl.errors import FileFormatError
from mxdl.io import ImageRecordIter, ImageRecordUInt8Iter


@pytest.fixture
def records(tmp_path):
    rng = np.random.default_rng(0)
    with recordio.MXIndexedRecordIO(tmp_path / "a.idx", tmp_path / "a.rec", "w") as writer:
        for i in range(7):
            image = rng.integers(0, 256, (9 + i, 12, 3), dtype=np.uint8)
            writer.write_idx(i, recordio.pack_img(recordio.IRHeader(0, i, i, 0), image, img_fmt=".png"))
    return tmp_path / "a.rec"


def labels(iterator):
    return [[batch.label[0].asnumpy().tolist(), batch.pad] for batch in iterator]


def test_order_padding_and_passes(records):
    iterator = ImageRecordIter(path_imgrec=records, data_shape=(3, 8, 8), batch_size=3)
    for _ in range(2):
        assert labels(iterator) == [[[0, 1, 2], 0], [[3, 4, 5], 0], [[6, 0, 1], 2]]
        iterator.reset()
    next(iterator)
    iterator.reset()
    assert len(labels(iterator)) == 3 == len(iterator)
    rest = ImageRecordIter(path_imgrec=records, data_shape=(3, 8, 8), batch_size=3, round_batch=False)
    assert labels(rest) == [[[0, 1, 2], 0], [[3, 4, 5], 0]]
    assert iterator.provide_data == [("data", (3, 3, 8, 8))] and iterator.provide_label == [("softmax_label", (3,))]


def test_shuffling_and_random_parts_follow_the_seed(records):
    def draw(seed):
        iterator = ImageRecordIter(path_imgrec=records, path_imgidx=records.with_suffix(".idx"), data_shape=(3, 6, 6),
                                   batch_size=7, shuffle=True, seed=seed, rand_crop=True, rand_mirror=True)
        batch = next(iterator)
        return batch.label[0].asnumpy(), batch.data[0].asnumpy()

    (first, images), (again, same), (other, _) = draw(1), draw(1), draw(2)
    np.testing.assert_array_equal(first, again)
    np.testing.assert_array_equal(images, same)
    assert sorted(first) == list(range(7)) and not np.array_equal(first, other)


def test_parts_divide_the_records(records):
    parts = [labels(ImageRecordIter(path_imgrec=records, data_shape=(1, 8, 8), batch_size=1, num_parts=2,
                                    part_index=i)) for i in (0, 1)]
    assert [label for part in parts for [label], _ in part] == list(range(7))


def test_random_areas_and_pixels_as_they_are(records):
    iterator = ImageRecordUInt8Iter(path_imgrec=records, data_shape=(3, 5, 7), batch_size=7, random_resized_crop=True,
                                    min_random_area=0.2)
    assert next(iterator).data[0].dtype is np.uint8 and iterator.provide_data[0].dtype is np.uint8
    large = ImageRecordIter(path_imgrec=records, data_shape=(3, 20, 20), batch_size=7)
    assert next(large).data[0].shape == (7, 3, 20, 20)


@pytest.mark.parity
def test_equals_mxnets(mxnet, records):
    options = {"data_shape": (3, 6, 8), "batch_size": 7, "mean_r": 10.0, "mean_g": 20.0, "mean_b": 30.0, "std_r": 2.0,
               "scale": 0.5}
    source = "result = mx.io.ImageRecordIter(path_imgrec=path, **options).next().data[0]"
    theirs = mxnet.run(source, path=str(records), options=options)
    ours = next(ImageRecordIter(path_imgrec=records, **options)).data[0].asnumpy()
    np.testing.assert_allclose(ours, theirs, atol=1e-4)


def test_what_is_wrong_is_named(records):
    with pytest.raises(FileFormatError, match="label_width=2"):
        next(ImageRecordIter(path_imgrec=records, data_shape=(3, 8, 8), batch_size=3, label_width=2))
    with pytest.raises(ValueError, match="C 1 or 3"):
        ImageRecordIter(path_imgrec=records, data_shape=(8, 8, 3), batch_size=3)
    with pytest.warns(UserWarning, match="ignored: pca_noise"):
        ImageRecordIter(path_imgrec=records, data_shape=(3, 8, 8), batch_size=3, pca_noise=0.1)
    content = records.read_bytes()
    records.write_bytes(content[:-20])
    with pytest.raises(FileFormatError, match="truncated"):
        list(ImageRecordIter(path_imgrec=records, path_imgidx=records.with_suffix(".idx"), data_shape=(3, 8, 8),
                             batch_size=7))
