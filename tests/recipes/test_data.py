"""Where data is looked for, what is said when it is missing or damaged; no network is used."""
import gzip
import hashlib
import io
import struct
import urllib.error
import zipfile

import numpy as np
import pytest

from mxdl.recipes import data
from mxdl.recipes.data import DataMissing, Remote
from mxdl.recipes.text.datasets import vocabulary, words_of
from mxdl.recipes.vision import datasets

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


def test_idx_files():
    content = b"\0\0\x08\x02" + struct.pack(">2I", 2, 3) + bytes(range(6))
    assert np.array_equal(datasets.read_idx(content), np.arange(6).reshape(2, 3))
    with pytest.raises(DataMissing, match="cut short"):
        datasets.read_idx(content[:-1])
    with pytest.raises(DataMissing, match="not an IDX file"):
        datasets.read_idx(b"<html>")


def test_cifar_subset_of_the_repository(monkeypatch):
    monkeypatch.setattr(datasets, "_CIFAR_PARTS", {"train": 2, "test": 1})
    monkeypatch.setattr(datasets, "_CIFAR_CLASSES", ("cat", "dog"))
    whole, plain = io.BytesIO(), io.BytesIO()
    names = [f"train/{name}/{number:04d}.jpg" for name in ("cat", "dog") for number in range(3)]
    names += ["test/cat/0000.jpg", "test/dog/0000.jpg"]
    with zipfile.ZipFile(whole, "w") as repository, zipfile.ZipFile(plain, "w") as expected:
        for name in names:
            repository.writestr(f"CIFAR-10-images-{datasets._CIFAR_COMMIT}/{name}", name)
            expected.writestr(name, name)
    with zipfile.ZipFile(plain) as expected:
        monkeypatch.setattr(datasets, "_CIFAR_DIGEST", datasets.cifar_digest(expected))
    with zipfile.ZipFile(io.BytesIO(datasets._cifar_subset(whole.getvalue()))) as subset:
        assert len(subset.namelist()) == 6 and "train/cat/0002.jpg" not in subset.namelist()
    monkeypatch.setattr(datasets, "_CIFAR_DIGEST", "0")
    with pytest.raises(DataMissing, match="holds other pictures"):
        datasets._cifar_subset(whole.getvalue())


def test_digits_are_divided_the_same_way_every_time():
    pytest.importorskip("sklearn")
    first, second = datasets.digits().load(), datasets.digits().load()
    assert first["train"][0].shape == (1437, 1, 8, 8) and first["valid"][0].shape == (360, 1, 8, 8)
    assert np.array_equal(first["valid"][1], second["valid"][1])


def test_words():
    assert words_of(" the cat \n the\n") == ["the", "cat", "<eos>", "the", "<eos>"]
    assert vocabulary(["b", "a", "b", "c"]) == ["b", "a", "c"]
