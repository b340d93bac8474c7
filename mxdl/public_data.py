"""Public data sets: where their files are looked for, and how they are fetched.

`find` looks in $MXDL_DATA/<set>/, then in the cache (~/.mxdl/data/<set>/), then downloads to the cache and checks the
SHA-256.  A file may lie there packed (.gz) or not.
"""
from __future__ import annotations

import gzip
import hashlib
import struct
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from . import config
from .errors import MXNetError
from .files import atomic_write


class DataMissing(MXNetError, FileNotFoundError):
    """A data set is neither here nor to be had from its public home; the text says what to put where."""


@dataclass(frozen=True)
class Remote:
    """A file of a data set: its name, its public address and the checksum of what lies there.

    `unpack` makes the file from what was downloaded, where the two differ.
    """

    name: str
    url: str
    sha256: str = ""
    md5: str = ""
    unpack: Callable[[bytes], bytes] | None = None


def folders(dataset: str, root: str | Path | None = None) -> list[Path]:
    """The folders where a data set may lie, in the order of looking; downloads go to the first if `root` is given,
    else to the last."""
    if root is not None:
        return [Path(root).expanduser(), *folders(dataset)]
    roots = [config.data_folder(), config.home_folder() / "data"]
    return [root / dataset for root in roots if root]


def _spellings(name: str) -> list[str]:
    return [name, name.removesuffix(".gz") if name.endswith(".gz") else f"{name}.gz"]


def local(dataset: str, name: str, root: str | Path | None = None) -> Path | None:
    """The file where it is already on this machine."""
    for folder in folders(dataset, root):
        for spelling in _spellings(name):
            if (folder / spelling).is_file():
                return folder / spelling
    return None


def _download(dataset: str, remote: Remote, root: str | Path | None) -> Path:
    with urllib.request.urlopen(remote.url, timeout=30) as answer:
        content = answer.read()
    for kind, expected in (("sha256", remote.sha256), ("md5", remote.md5)):
        digest = hashlib.new(kind, content).hexdigest()
        if expected and digest != expected:
            raise DataMissing(f"{dataset}: {remote.url} gave other bytes than it should; got {kind} {digest}, expected "
                              f"{expected}")
    target = folders(dataset, root)[-1 if root is None else 0] / remote.name
    target.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(target) as stream:
        stream.write(remote.unpack(content) if remote.unpack else content)
    return target


def find(dataset: str, remotes: Sequence[Remote], root: str | Path | None = None) -> dict[str, Path]:
    """Every file of a data set by name, fetched where it is not here yet.

    root: a folder to look into first and to download to.   Raises DataMissing, which says what to put where.
    """
    found = {}
    for remote in remotes:
        path = local(dataset, remote.name, root)
        if path is None:
            try:
                path = _download(dataset, remote, root)
            except (urllib.error.URLError, OSError) as error:
                if isinstance(error, DataMissing):
                    raise
                raise DataMissing(_what_to_do(dataset, remotes, root, error)) from error
        found[remote.name] = path
    return found


def _what_to_do(dataset: str, remotes: Sequence[Remote], root: str | Path | None, error: Exception) -> str:
    missing = [remote for remote in remotes if local(dataset, remote.name, root) is None]
    lines = [f"data set {dataset}: {len(missing)} of {len(remotes)} files are not on this machine, and the download "
             f"failed ({error}); put them into one of these folders:"]
    lines += [f"  {folder}" for folder in folders(dataset, root)]
    lines += [f"  {remote.name}  from {remote.url}" for remote in missing]
    if config.data_folder() is None:
        lines.append("or set MXDL_DATA to a folder that holds such folders")
    return "\n".join(lines)


def read(path: Path) -> bytes:
    """The content of a file, unpacked where it is packed.  Raises DataMissing when it is damaged."""
    try:
        content = path.read_bytes()
        return gzip.decompress(content) if path.suffix == ".gz" else content
    except (OSError, EOFError, ValueError) as error:
        raise DataMissing(f"{path}: damaged or not readable ({error}); delete it and run again, which fetches it "
                          f"anew") from error


def read_idx(path: Path) -> np.ndarray:
    """The bytes of a file in MNIST's IDX format: uint8[*S].  Raises DataMissing when it is not one, or is cut short."""
    content = read(path)
    if len(content) < 4 or content[:3] != b"\0\0\x08" or len(content) < 4 + 4 * content[3]:
        raise DataMissing(f"{path}: not an IDX file of bytes; got the first bytes {content[:4].hex()}")
    shape = struct.unpack_from(f">{content[3]}I", content, 4)
    values = np.frombuffer(content, np.uint8, offset=4 + 4 * len(shape))
    if values.size != np.prod(shape):
        raise DataMissing(f"{path}: cut short; it should hold {np.prod(shape)} bytes of data and holds {values.size}")
    return values.reshape(shape)


def _digits_files(home: str, sums: dict[str, str]) -> tuple[Remote, ...]:
    return tuple(Remote(f"{name}-ubyte.gz", f"{home}{name}-ubyte.gz", digest) for name, digest in sums.items())


MNIST = _digits_files("https://ossci-datasets.s3.amazonaws.com/mnist/", {
    "train-images-idx3": "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
    "train-labels-idx1": "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
    "t10k-images-idx3": "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
    "t10k-labels-idx1": "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6"})
FASHION_MNIST = _digits_files("http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/", {
    "train-images-idx3": "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
    "train-labels-idx1": "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
    "t10k-images-idx3": "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
    "t10k-labels-idx1": "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5"})
CIFAR10 = (Remote("cifar-10-binary.tar.gz", "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz",
                  md5="c32a1d4ab5d03f1284b67883e8d87530"),)
CIFAR100 = (Remote("cifar-100-binary.tar.gz", "https://www.cs.toronto.edu/~kriz/cifar-100-binary.tar.gz",
                   md5="03b5dce01913d631647c71ecec9e9cb8"),)
