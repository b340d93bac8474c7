""".params files: every version is read, what is written is MXNet's, damage is reported with its place."""
import gzip
import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import mxdl as mx
from mxdl import config
from mxdl.errors import FileFormatError
from mxdl.ndarray.files import V1, V2, V3, dump_bytes

DTYPES = ["float32", "float64", "float16", "uint8", "int8", "int32", "int64", "bool", "int16", "uint16", "uint32",
          "uint64"]
VALUES = np.arange(6, dtype="float32").reshape(2, 3)


def file_of(*records, names=()):
    """The bytes of a file, put together by hand from the format's description."""
    data = struct.pack("<QQQ", 0x112, 0, len(records)) + b"".join(records) + struct.pack("<Q", len(names))
    return data + b"".join(struct.pack("<Q", len(n)) + n.encode() for n in names)


V2_RECORD = struct.pack("<Iiiqqiii", V2, 0, 2, 2, 3, 1, 0, 0) + VALUES.tobytes()
V3_SCALAR = struct.pack("<Iiiiii", V3, 0, 0, 1, 0, 0) + struct.pack("<f", 5)
V1_RECORD = struct.pack("<Iiqqiii", V1, 2, 2, 3, 1, 0, 0) + VALUES.tobytes()
V0_RECORD = struct.pack("<IIIiii", 2, 2, 3, 1, 0, 0) + VALUES.tobytes()
NONE_RECORD = struct.pack("<Iii", V2, 0, 0)


@pytest.mark.parametrize("record", [V2_RECORD, V1_RECORD, V0_RECORD], ids=["V2", "V1", "V0"])
def test_versions_that_are_read(record):
    x, = mx.nd.load_frombuffer(file_of(record))
    np.testing.assert_array_equal(x.asnumpy(), VALUES)
    named = mx.nd.load_frombuffer(file_of(record, record, names=["arg:a", "aux:b"]))
    assert list(named) == ["arg:a", "aux:b"]


def test_what_is_written_is_version_2():
    x = mx.nd.array(VALUES)
    assert dump_bytes(x) == file_of(V2_RECORD) == dump_bytes([x])
    assert dump_bytes({"arg:a": x}) == file_of(V2_RECORD, names=["arg:a"])


def test_an_array_without_axes_is_version_3():
    assert dump_bytes(mx.nd.array(5)) == file_of(V3_SCALAR)
    x, = mx.nd.load_frombuffer(file_of(V3_SCALAR))
    assert x.shape == () and x.asscalar() == 5


def test_an_array_that_never_had_a_shape_is_none():
    assert mx.nd.load_frombuffer(file_of(NONE_RECORD, V2_RECORD))[0] is None


def test_a_gpu_array_loads_without_a_gpu():
    record = V2_RECORD.replace(struct.pack("<iii", 1, 0, 0), struct.pack("<iii", 2, 7, 0))
    assert mx.nd.load_frombuffer(file_of(record))[0].ctx == mx.cpu()


def test_sparse_records_read_as_dense():
    dense = np.array([[0, 1], [0, 0], [3, 4]], "float32")
    rows = struct.pack("<Iiiqqiqqiii", V2, 1, 2, 2, 2, 2, 3, 2, 1, 0, 0) + struct.pack("<iiq", 6, 1, 2)
    rows += dense[[0, 2]].tobytes() + struct.pack("<qq", 0, 2)
    # storage shape (0,): what MXNet 1.9.1 writes for a csr matrix that was made from a dense one
    csr = struct.pack("<Iiiqiqqiii", V2, 2, 1, 0, 2, 3, 2, 1, 0, 0) + struct.pack("<iiqiiq", 6, 1, 4, 6, 1, 3)
    csr += struct.pack("<fff", 1, 3, 4) + struct.pack("<qqqq", 0, 1, 1, 3) + struct.pack("<qqq", 1, 0, 1)
    for x in mx.nd.load_frombuffer(file_of(rows, csr)):
        np.testing.assert_array_equal(x.asnumpy(), dense)


@given(st.lists(st.tuples(st.sampled_from(DTYPES), st.lists(st.integers(0, 4), max_size=4)), max_size=4), st.booleans())
@settings(max_examples=60, deadline=None)
def test_what_is_written_is_read(types, named):
    rng = np.random.default_rng(0)
    arrays = [mx.nd.array(rng.integers(0, 2, shape), dtype=dtype) for dtype, shape in types]
    saved = {f"n{i}é": a for i, a in enumerate(arrays)} if named else arrays
    loaded = mx.nd.load_frombuffer(dump_bytes(saved))
    if not arrays:
        assert loaded == []
        return
    assert list(loaded) == list(saved) if named else len(loaded) == len(saved)
    for a, b in zip(arrays, loaded.values() if named else loaded, strict=True):
        assert a.dtype == b.dtype and a.shape == b.shape
        np.testing.assert_array_equal(a.asnumpy(), b.asnumpy())


def test_bfloat16(tmp_path):
    x = mx.nd.array([1.5, -2], dtype="bfloat16")
    mx.nd.save(tmp_path / "b", {"w": x})
    y = mx.nd.load(tmp_path / "b")["w"]
    assert y._data.dtype == x._data.dtype and y.asnumpy().tolist() == [1.5, -2]


@pytest.mark.parametrize("cut", range(0, len(file_of(V2_RECORD, names=["weight"])), 5))
def test_a_truncated_file(cut, tmp_path):
    path = tmp_path / "cut.params"
    path.write_bytes(file_of(V2_RECORD, names=["weight"])[:cut])
    with pytest.raises(FileFormatError, match=rf"cut.params: the file ends inside .* at byte \d+ of {cut}"):
        mx.nd.load(path)


@given(st.binary(max_size=80), st.integers(0, 80))
@settings(max_examples=300, deadline=None)
def test_a_damaged_file_is_one_clear_error(noise, at):
    good = file_of(V2_RECORD, names=["weight"])
    damaged = good[:at] + noise + good[at + len(noise):]
    try:
        mx.nd.load_frombuffer(damaged)
    except FileFormatError as error:
        assert "at byte" in str(error)


def test_a_file_of_another_kind():
    with pytest.raises(FileFormatError, match="not a .params file; got 0x.* at byte 0"):
        mx.nd.load_frombuffer(gzip.compress(b"something else, long enough"))


@pytest.mark.parametrize("data", [5, "x", [5], {"a": 5}, None], ids=str)
def test_what_cannot_be_saved(data, tmp_path):
    with pytest.raises(TypeError, match="only an NDArray, a list or a dict"):
        mx.nd.save(tmp_path / "x", data)
    assert not list(tmp_path.iterdir())


def test_a_failed_save_leaves_the_old_file(tmp_path):
    path = tmp_path / "x.params"
    mx.nd.save(path, mx.nd.ones((2,)))
    with pytest.raises(TypeError):
        mx.nd.save(path, [mx.nd.ones((2,)), "x"])
    assert mx.nd.load(path)[0].asnumpy().tolist() == [1, 1]
    assert [p.name for p in tmp_path.iterdir()] == ["x.params"]


def artefacts():
    folder = config.data_folder()
    patterns = ("*.params", "*.ndarray", "*.v0", "mean.bin")
    return sorted(p for pattern in patterns for p in (folder or Path("none")).glob(f"mxnet-artefacts/*/{pattern}"))


@pytest.mark.skipif(not artefacts(), reason="MXDL_DATA does not hold mxnet-artefacts")
def test_real_files_of_every_version():
    for path in artefacts():
        arrays = mx.nd.load(path)
        arrays = list(arrays.values()) if isinstance(arrays, dict) else arrays
        assert arrays and all(np.isfinite(a.asnumpy()).all() for a in arrays), path.name
