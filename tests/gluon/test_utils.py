"""Splitting, clipping, checksums, downloads."""
import hashlib
import warnings

import numpy as np
import pytest

import mxdl as mx
from mxdl import nd
from mxdl.gluon import utils


def test_split_data():
    x = nd.array(np.arange(10).reshape(5, 2))
    assert [part.shape for part in utils.split_data(x, 5)] == [(1, 2)] * 5
    assert [part.shape for part in utils.split_data(x, 3, even_split=False)] == [(1, 2), (2, 2), (2, 2)]
    np.testing.assert_array_equal(np.concatenate([p.asnumpy() for p in utils.split_data(x, 3, even_split=False)]),
                                  x.asnumpy())
    assert utils.split_data(x, 2, batch_axis=1)[1].asnumpy()[:, 0].tolist() == [1, 3, 5, 7, 9]
    with pytest.raises(ValueError, match="multiple of 3"):
        utils.split_data(x, 3)
    with pytest.raises(ValueError, match="shorter than the number of slices"):
        utils.split_data(x, 6, even_split=False)


def test_split_and_load():
    parts = utils.split_and_load(np.ones((4, 2)), [mx.cpu(0), mx.cpu(1)])
    assert [(p.ctx, p.shape) for p in parts] == [(mx.cpu(0), (2, 2)), (mx.cpu(1), (2, 2))]


def test_clip_global_norm():
    arrays = [nd.array([3., 0.]), nd.array([[4.]])]
    assert utils.clip_global_norm(arrays, 1.0) == pytest.approx(5)
    np.testing.assert_allclose([*arrays[0].asnumpy(), arrays[1].asscalar()], [0.6, 0, 0.8], rtol=1e-6)
    assert utils.clip_global_norm(arrays, 10.0, check_isfinite=False).asscalar() == pytest.approx(1)
    np.testing.assert_allclose(arrays[0].asnumpy(), [0.6, 0], rtol=1e-6)
    with pytest.warns(UserWarning, match="not finite"):
        utils.clip_global_norm([nd.array([np.nan])], 1.0)


def test_download_checks_what_it_got(tmp_path):
    source = tmp_path / "source.bin"
    source.write_bytes(b"content")
    digest = hashlib.sha1(b"content").hexdigest()
    folder = tmp_path / "out"
    folder.mkdir()
    path = utils.download(source.as_uri(), str(folder), sha1_hash=digest)
    assert path == str(folder / "source.bin") and utils.check_sha1(path, digest[:8])
    source.write_bytes(b"changed")
    assert utils.download(source.as_uri(), str(folder), sha1_hash=digest) == path, "the file is there already"
    with pytest.raises(OSError, match="SHA-1 is .* not 0000"):
        utils.download(source.as_uri(), str(tmp_path / "new.bin"), sha1_hash="0000", retries=1)
    assert not (tmp_path / "new.bin").exists(), "nothing is written that is not what was asked for"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        utils.download(source.as_uri(), path, overwrite=True)
    assert (folder / "source.bin").read_bytes() == b"changed"
