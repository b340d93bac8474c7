"""Where data is looked for, what is said when it is missing or damaged; no network is used."""
import gzip
import hashlib
import io
import struct
import urllib.error

import numpy as np
import pytest

from mxdl import public_data as data
from mxdl.public_data import DataMissing, Remote

REMOTES = [Remote("a.gz", "https://example.org/a.gz", hashlib.sha256(gzip.compress(b"A", mtime=0)).hexdigest()),
           Remote("b.txt", "https://example.org/b.txt")]


@pytest.fixture
def places(tmp_path, monkeypatch):
    monkeypatch.setenv("MXDL_DATA", str(tmp_path / "mine"))
    monkeypatch.setenv("MXDL_HOME", str(tmp_path / "home"))
    return tmp_path / "mine" / "set", tmp_path / "home" / "data" / "set"


def answer_with(monkeypatch, content):
    def urlopen(url, timeout):
        if isinstance(content, Exception):
            raise content
        return io.BytesIO(content)
    monkeypatch.setattr(data.urllib.request, "urlopen", urlopen)


def test_ones_own_folder_comes_first_and_may_be_unpacked(places, monkeypatch):
    for folder in places:
        folder.mkdir(parents=True)
    (places[0] / "a").write_bytes(b"A")
    (places[1] / "a.gz").write_bytes(b"not used")
    (places[1] / "b.txt.gz").write_bytes(gzip.compress(b"B"))
    found = data.find("set", REMOTES)
    assert found == {"a.gz": places[0] / "a", "b.txt": places[1] / "b.txt.gz"}
    assert [data.read(path) for path in found.values()] == [b"A", b"B"]


def test_downloads_to_the_cache_and_checks(places, monkeypatch):
    answer_with(monkeypatch, gzip.compress(b"A", mtime=0))
    assert data.find("set", REMOTES[:1]) == {"a.gz": places[1] / "a.gz"}
    (places[1] / "a.gz").unlink()
    answer_with(monkeypatch, b"something else")
    with pytest.raises(DataMissing, match="gave other bytes than it should"):
        data.find("set", REMOTES[:1])
    assert not list(places[1].iterdir())


def test_missing_says_what_to_put_where(places, monkeypatch):
    answer_with(monkeypatch, urllib.error.URLError("no network"))
    with pytest.raises(DataMissing) as caught:
        data.find("set", REMOTES)
    text = str(caught.value)
    assert "2 of 2 files" in text and "no network" in text
    assert all(str(folder) in text for folder in places) and all(remote.url in text for remote in REMOTES)


def test_damaged_file_is_named(tmp_path):
    path = tmp_path / "x.gz"
    path.write_bytes(gzip.compress(b"some content")[:-6])
    with pytest.raises(DataMissing, match="x.gz: damaged"):
        data.read(path)


def test_idx_files(tmp_path):
    path = tmp_path / "x-idx2-ubyte"
    content = b"\0\0\x08\x02" + struct.pack(">2I", 2, 3) + bytes(range(6))
    path.write_bytes(content)
    assert np.array_equal(data.read_idx(path), np.arange(6).reshape(2, 3))
    for broken, message in ((content[:-1], "cut short"), (b"<html>", "not an IDX file"), (content[:8], "not an IDX")):
        path.write_bytes(broken)
        with pytest.raises(DataMissing, match=message):
            data.read_idx(path)


def test_a_folder_of_ones_own_comes_first_and_takes_downloads(places, tmp_path, monkeypatch):
    answer_with(monkeypatch, gzip.compress(b"A", mtime=0))
    assert data.find("set", REMOTES[:1], root=tmp_path / "own") == {"a.gz": tmp_path / "own" / "a.gz"}
    assert not places[1].exists()
