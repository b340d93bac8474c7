"""Public data sets: where their files are looked for, and how they are fetched.

`find` looks in $MXDL_DATA/<set>/, then in the cache (~/.mxdl/data/<set>/), then downloads to the cache and checks the
SHA-256.  A file may lie there packed (.gz) or not.
"""
import gzip
import hashlib
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from mxdl import config
from mxdl.errors import MXNetError
from mxdl.files import atomic_write


class DataMissing(MXNetError, FileNotFoundError):
    """A data set is neither here nor to be had from its public home; the text says what to put where."""


@dataclass(frozen=True)
class Remote:
    """A file of a data set: its name, its public address and the SHA-256 of what is there.

    `unpack` makes the file from what was downloaded, where the two differ.
    """
    name: str
    url: str
    sha256: str = ""
    unpack: Callable[[bytes], bytes] | None = None


def folders(dataset: str) -> list[Path]:
    """The folders where a data set may lie, in the order of looking."""
    roots = [config.data_folder(), config.home_folder() / "data"]
    return [root / dataset for root in roots if root]


def _spellings(name: str) -> list[str]:
    return [name, name.removesuffix(".gz") if name.endswith(".gz") else f"{name}.gz"]


def local(dataset: str, name: str) -> Path | None:
    """The file where it is already on this machine."""
    for folder in folders(dataset):
        for spelling in _spellings(name):
            if (folder / spelling).is_file():
                return folder / spelling
    return None


def _download(dataset: str, remote: Remote) -> Path:
    with urllib.request.urlopen(remote.url, timeout=30) as answer:
        content = answer.read()
    digest = hashlib.sha256(content).hexdigest()
    if remote.sha256 and digest != remote.sha256:
        raise DataMissing(f"{dataset}: {remote.url} gave other bytes than it should; got SHA-256 {digest}, expected "
                          f"{remote.sha256}")
    target = folders(dataset)[-1] / remote.name
    target.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(target) as stream:
        stream.write(remote.unpack(content) if remote.unpack else content)
    return target


def find(dataset: str, remotes: list[Remote]) -> dict[str, Path]:
    """Every file of a data set by name.  Raises DataMissing, which says what to put where."""
    found = {}
    for remote in remotes:
        path = local(dataset, remote.name)
        if path is None:
            try:
                path = _download(dataset, remote)
            except (urllib.error.URLError, OSError) as error:
                if isinstance(error, DataMissing):
                    raise
                raise DataMissing(_what_to_do(dataset, remotes, error)) from error
        found[remote.name] = path
    return found


def _what_to_do(dataset: str, remotes: list[Remote], error: Exception) -> str:
    missing = [remote for remote in remotes if local(dataset, remote.name) is None]
    lines = [f"data set {dataset}: {len(missing)} of {len(remotes)} files are not on this machine, and the download "
             f"failed ({error}); put them into one of these folders:"]
    lines += [f"  {folder}" for folder in folders(dataset)]
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
