"""RecordIO: bytes as MXNet writes them, records that hold the magic, indexes, images, broken files, processes."""
import multiprocessing
import os
import pickle
import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mxdl import recordio
from mxdl.errors import FileFormatError
from mxdl.recordio import IRHeader, MXIndexedRecordIO, MXRecordIO, pack, pack_img, unpack, unpack_img

MAGIC = struct.pack("<I", recordio.MAGIC)


def written(path, records):
    with MXRecordIO(path, "w") as writer:
        for record in records:
            writer.write(record)
    return path


def records_of(path):
    with MXRecordIO(path, "r") as reader:
        return list(iter(reader.read, None))


def test_bytes_of_a_record(tmp_path):
    path = written(tmp_path / "a.rec", [b"abcde"])
    assert path.read_bytes() == bytes.fromhex("0a23d7ce 05000000") + b"abcde\0\0\0"


@given(st.lists(st.lists(st.sampled_from([b"", b"a", b"bcd", b"\0\0\0\0", MAGIC, MAGIC[:2]]), max_size=6)
                .map(b"".join), max_size=5))
def test_any_records_come_back(tmp_path_factory, records):
    path = tmp_path_factory.mktemp("rec") / "a.rec"
    assert records_of(written(path, records)) == records


def test_a_magic_at_a_multiple_of_four_splits_the_record(tmp_path):
    path = written(tmp_path / "a.rec", [b"1234" + MAGIC + b"56" + MAGIC])
    words = struct.unpack_from("<IIII", path.read_bytes())
    assert words[1] == 1 << 29 | 4 and words[3] == recordio.MAGIC
    assert path.read_bytes().count(MAGIC) == 3      # two heads and the one that is not aligned


@pytest.mark.parity
def test_mxnet_reads_our_records_and_we_read_its(mxnet, tmp_path):
    records = [b"abc", MAGIC * 3 + b"x", b"y" + MAGIC, b""]
    ours = written(tmp_path / "ours.rec", records)
    source = """
reader = mx.recordio.MXRecordIO(ours, "r")
result = []
while (record := reader.read()) is not None:
    result.append(record.hex())
writer = mx.recordio.MXIndexedRecordIO(theirs + ".idx", theirs + ".rec", "w")
for i, record in enumerate(result):
    writer.write_idx(i, bytes.fromhex(record))
writer.close()
"""
    theirs = tmp_path / "theirs"
    got = mxnet.run(source, ours=str(ours), theirs=str(theirs))
    assert [bytes.fromhex(record) for record in got] == records
    assert theirs.with_suffix(".rec").read_bytes() == ours.read_bytes()
    indexed = MXIndexedRecordIO(theirs.with_suffix(".idx"), theirs.with_suffix(".rec"), "r")
    assert [indexed.read_idx(key) for key in (2, 0, 3, 1)] == [records[key] for key in (2, 0, 3, 1)]


def indexed(tmp_path, records):
    paths = tmp_path / "a.idx", tmp_path / "a.rec"
    with MXIndexedRecordIO(*paths, "w") as writer:
        for key, record in enumerate(records):
            writer.write_idx(key, record)
    return MXIndexedRecordIO(*paths, "r")


def test_random_access(tmp_path):
    reader = indexed(tmp_path, [b"zero", b"one", b"two"])
    assert (tmp_path / "a.idx").read_text() == "0\t0\n1\t12\n2\t24\n"
    assert reader.keys == [0, 1, 2] and reader.read_idx(2) == b"two" and reader.read() is None
    assert reader.read_idx(0) == b"zero" and reader.read() == b"one"
    with pytest.raises(KeyError, match="no key 7"):
        reader.read_idx(7)


def test_a_pickled_reader_continues(tmp_path):
    reader = indexed(tmp_path, [b"zero", b"one", b"two"])
    reader.read()
    assert pickle.loads(pickle.dumps(reader)).read() == b"one"
    assert reader.read() == b"one"


def _read_many(reader, queue):
    queue.put([reader.read_idx(key) for key in [1, 0] * 50])


def test_forked_processes_do_not_disturb_each_other(tmp_path):
    reader = indexed(tmp_path, [b"zero" * 1000, b"one" * 1000])
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    workers = [context.Process(target=_read_many, args=(reader, queue)) for _ in range(3)]
    for worker in workers:
        worker.start()
    for _ in workers:
        assert queue.get(timeout=30) == [b"one" * 1000, b"zero" * 1000] * 50
    for worker in workers:
        worker.join()


def test_headers():
    header, content = unpack(pack(IRHeader(0, 3.5, 7, 0), b"x"))
    assert (header, content) == (IRHeader(0, 3.5, 7, 0), b"x")
    header, content = unpack(pack(IRHeader(0, [1, 2, 3], 7, 0), b"xyz"))
    assert header.flag == 3 and header.label.tolist() == [1, 2, 3] and content == b"xyz"


def test_images():
    image = np.zeros((4, 6, 3), np.uint8)
    image[..., 0] = 200     # blue
    header, png = unpack_img(pack_img(IRHeader(0, 1, 2, 0), image, quality=9, img_fmt=".png"))
    assert header.label == 1 and np.array_equal(png, image)
    _, jpeg = unpack_img(pack_img(IRHeader(0, 1, 2, 0), image))
    assert np.abs(jpeg.astype(int) - image).max() < 4
    assert unpack_img(pack_img(IRHeader(0, 1, 2, 0), image), iscolor=0)[1].shape == (4, 6)
    with pytest.raises(ValueError, match="img_fmt"):
        pack_img(IRHeader(0, 1, 2, 0), image, img_fmt=".bmp")


def test_broken_files(tmp_path):
    path = written(tmp_path / "a.rec", [b"abcdefgh", b"ij"])
    whole = path.read_bytes()
    for length in (4, 12, 20):
        path.write_bytes(whole[:length])
        with pytest.raises(FileFormatError, match="truncated"):
            records_of(path)
    path.write_bytes(b"not a record file")
    with pytest.raises(FileFormatError, match="no record at byte 0"):
        records_of(path)
    (tmp_path / "a.idx").write_text("0\t0\n1 12\n")
    with pytest.raises(FileFormatError, match="line 2"):
        MXIndexedRecordIO(tmp_path / "a.idx", path, "r")
    with pytest.raises(FileFormatError, match="at least 24 bytes"):
        unpack(b"short")


def test_misuse(tmp_path):
    reader = indexed(tmp_path, [b"a"])
    with pytest.raises(ValueError, match="open for reading"):
        reader.write(b"x")
    reader.close()
    with pytest.raises(ValueError, match="is closed"):
        reader.read()
    with pytest.raises(ValueError, match="flag"):
        MXRecordIO(tmp_path / "a.rec", "a")
    with MXRecordIO(tmp_path / "b.rec", "w") as writer, pytest.raises(TypeError, match="cannot be pickled"):
        pickle.dumps(writer)


def test_files_in_the_wild():
    """Records that MXNet's users published; named by MXDL_TEST_REC, several separated by the path separator."""
    paths = [path for path in os.environ.get("MXDL_TEST_REC", "").split(os.pathsep) if path]
    if not paths:
        pytest.skip("MXDL_TEST_REC names no .rec file")
    for path in paths:
        with MXRecordIO(path, "r") as reader:
            record = reader.read()
            while record is not None:
                header, content = unpack(record)
                assert content[:2] == b"\xff\xd8" or content[:4] == b"\x89PNG", header
                record = reader.read()
