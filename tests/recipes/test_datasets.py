"""The recipes' data sets: subsets, divisions, words."""
import io
import zipfile

import numpy as np
import pytest

from mxdl.public_data import DataMissing
from mxdl.recipes.text.datasets import vocabulary, words_of
from mxdl.recipes.vision import datasets


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
