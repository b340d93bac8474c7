"""Data sets of small images that fit into memory: MNIST, FashionMNIST, CIFAR10, CIFAR100.

Where files are looked for: the folder `root` if given, $MXDL_DATA/<set>/, the cache folder; then they are downloaded.
"""
from __future__ import annotations

import os
import tarfile
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .... import ndarray, public_data
from ....errors import FileFormatError
from ..dataset import Dataset

Root = str | os.PathLike | None


class _ImagesInMemory(Dataset):
    """Samples (image uint8[H, W, C] as NDArray, label int32), or what `transform(image, label)` makes of them."""

    def __init__(self, images: np.ndarray, labels: np.ndarray, transform: Callable | None):
        self._data = ndarray.array(images, dtype="uint8")
        self._label = labels.astype(np.int32)
        self._transform = transform

    def __getitem__(self, idx: int) -> Any:
        image, label = self._data[idx], self._label[idx]
        return (image, label) if self._transform is None else self._transform(image, label)

    def __len__(self) -> int:
        return len(self._label)


class MNIST(_ImagesInMemory):
    """70,000 handwritten digits, uint8[28, 28, 1]: 60,000 to train on, 10,000 to test.

    Args:
        root: a folder of your own for the four files; default see the module.
        train: the training part, else the test part.
        transform: of (image, label).
    Raises:
        DataMissing: the files are not here and cannot be fetched; the text says what to put where.
    """

    _name, _remotes = "mnist", public_data.MNIST

    def __init__(self, root: Root = None, train: bool = True, transform: Callable | None = None):
        part = "train" if train else "t10k"
        wanted = [remote for remote in self._remotes if remote.name.startswith(part)]
        files = public_data.find(self._name, wanted, root)
        images, labels = (public_data.read_idx(next(path for name, path in files.items() if kind in name))
                          for kind in ("images", "labels"))
        super().__init__(images[..., None], labels, transform)


class FashionMNIST(MNIST):
    """70,000 pictures of clothes in ten classes, as `MNIST`."""

    _name, _remotes = "fashion-mnist", public_data.FASHION_MNIST


class CIFAR10(_ImagesInMemory):
    """60,000 photographs in ten classes, uint8[32, 32, 3]: 50,000 to train on, 10,000 to test.  Arguments as `MNIST`.

    The files are those of the binary version: its archive, or the .bin files out of it.
    """

    _name, _remotes = "cifar10", public_data.CIFAR10
    _folder, _label_bytes, _label_at = "cifar-10-batches-bin", 1, 0
    _parts = {True: tuple(f"data_batch_{i}.bin" for i in range(1, 6)), False: ("test_batch.bin",)}

    def __init__(self, root: Root = None, train: bool = True, transform: Callable | None = None):
        contents = self._read(self._parts[train], root)
        rows = [_rows(content, self._label_bytes, name)
                for content, name in zip(contents, self._parts[train], strict=True)]
        records = np.concatenate(rows)
        images = records[:, self._label_bytes:].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
        super().__init__(images, records[:, self._label_at], transform)

    def _read(self, names: Sequence[str], root: Root) -> list[bytes]:
        for folder in public_data.folders(self._name, root):
            for place in (folder, folder / self._folder):
                if all((place / name).is_file() for name in names):
                    return [(place / name).read_bytes() for name in names]
        archive, = public_data.find(self._name, self._remotes, root).values()
        try:
            with tarfile.open(archive) as files:
                return [files.extractfile(f"{self._folder}/{name}").read() for name in names]
        except (tarfile.TarError, KeyError, EOFError, OSError) as error:
            raise FileFormatError(f"{archive}: damaged, or not the archive of the binary version ({error}); delete it "
                                  "and run again, which fetches it anew") from error


class CIFAR100(CIFAR10):
    """60,000 photographs in 100 classes, as `CIFAR10`.

    Args:
        fine_label: labels are the 100 classes; else their 20 groups.
    """

    _name, _remotes = "cifar100", public_data.CIFAR100
    _folder, _label_bytes = "cifar-100-binary", 2
    _parts = {True: ("train.bin",), False: ("test.bin",)}

    def __init__(self, root: Root = None, fine_label: bool = False, train: bool = True,
                 transform: Callable | None = None):
        self._label_at = int(fine_label)
        super().__init__(root, train, transform)


def _rows(content: bytes, label_bytes: int, name: str) -> np.ndarray:
    """uint8[N, label_bytes + 3072] of a .bin file."""
    length = label_bytes + 3 * 32 * 32
    if not content or len(content) % length:
        raise FileFormatError(f"{name}: a CIFAR file holds records of {length} bytes; got {len(content)} bytes")
    return np.frombuffer(content, np.uint8).reshape(-1, length)
