"""Splitting batches over devices, clipping gradients, downloading with a checksum."""
from __future__ import annotations

import hashlib
import os
import shutil
import urllib.error
import urllib.parse
import urllib.request
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .. import ndarray
from ..config import gluon_repository
from ..device import Context
from ..files import atomic_write
from ..ndarray import NDArray
from .hooks import HookHandle as HookHandle


def split_data(data: NDArray, num_slice: int, batch_axis: int = 0, even_split: bool = True) -> list[NDArray]:
    """`data` cut along `batch_axis` into `num_slice` parts, as even as can be.

    Raises ValueError where it is too short, or (even_split) does not divide evenly.
    """
    size = data.shape[batch_axis]
    if even_split and size % num_slice:
        raise ValueError(f"split_data: axis {batch_axis} does not divide into {num_slice} equal slices; got shape "
                         f"{data.shape}; make its length a multiple of {num_slice}, or pass even_split=False")
    if size < num_slice:
        raise ValueError(f"split_data: axis {batch_axis} is shorter than the number of slices; got shape {data.shape} "
                         f"and num_slice={num_slice}; give a larger batch")
    bounds = [size * i // num_slice for i in range(num_slice + 1)]
    return [ndarray.slice_axis(data, axis=batch_axis, begin=begin, end=end)
            for begin, end in zip(bounds, bounds[1:], strict=False)]


def split_and_load(data: Any, ctx_list: Sequence[Context], batch_axis: int = 0,
                   even_split: bool = True) -> list[NDArray]:
    """`data` (NDArray or NumPy array) split over `ctx_list`, each slice on its context."""
    if not isinstance(data, NDArray):
        data = ndarray.array(data, ctx=ctx_list[0])
    if len(ctx_list) == 1:
        return [data.as_in_context(ctx_list[0])]
    slices = split_data(data, len(ctx_list), batch_axis, even_split)
    return [part.as_in_context(ctx) for part, ctx in zip(slices, ctx_list, strict=True)]


def clip_global_norm(arrays: Sequence[NDArray], max_norm: float, check_isfinite: bool = True) -> float | NDArray:
    """Scale `arrays` in place so that the norm of all of them together is at most `max_norm`.

    Returns that norm before scaling: a number, or an array without the check for infinite values.
    """
    if not arrays:
        raise AssertionError("clip_global_norm: no arrays were given")
    home = arrays[0].ctx
    squares = [ndarray.sum(ndarray.square(x.astype("float32"))).as_in_context(home) for x in arrays]
    norm = ndarray.sqrt(ndarray.add_n(*squares))
    if check_isfinite:
        value = norm.asscalar()
        if value != value or value in (float("inf"), float("-inf")):
            warnings.warn(f"clip_global_norm: the norm is not finite, so scaling cannot help; got {value}; skip this "
                          f"step", stacklevel=2)
    scale = ndarray.minimum(max_norm / (norm + 1e-8), 1.0)
    for x in arrays:
        x *= scale.as_in_context(x.ctx).astype(x.dtype)
    return float(value) if check_isfinite else norm


def check_sha1(filename: str, sha1_hash: str) -> bool:
    """Whether the file's SHA-1 begins with `sha1_hash`."""
    with open(filename, "rb") as stream:
        return hashlib.file_digest(stream, "sha1").hexdigest().startswith(sha1_hash)


def replace_file(src: str, dst: str) -> None:
    """Move `src` over `dst` at once."""
    os.replace(src, dst)


def _get_repo_url() -> str:
    """The folder of MXNet's published files, by MXNet's name of this function: other packages call it."""
    return gluon_repository()


def _get_repo_file_url(namespace: str, filename: str) -> str:
    """Where a published file is, by MXNet's name of this function."""
    return f"{_get_repo_url()}{namespace}/{filename}"


def download(url: str, path: str | None = None, overwrite: bool = False, sha1_hash: str | None = None,
             retries: int = 5, verify_ssl: bool = True) -> str:
    """The name of the file that was downloaded, or that was there already with the right checksum.

    path: a file or a folder; default the current folder.   Raises OSError after `retries` further attempts.
    """
    if retries < 0:
        raise AssertionError(f"download: retries is 0 or more; got {retries}")
    target = _target(url, path)
    if target.exists() and not overwrite and (sha1_hash is None or check_sha1(str(target), sha1_hash)):
        return str(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    for attempt in range(retries + 1):
        try:
            _fetch(url, target, sha1_hash, verify_ssl)
            return str(target)
        except (OSError, urllib.error.URLError) as error:
            if attempt == retries:
                raise OSError(f"download: {url}: {error}; nothing was written to {target}") from error
    return str(target)


def _target(url: str, path: str | None) -> Path:
    name = urllib.parse.urlparse(url).path.rsplit("/", 1)[-1]
    if not name and (path is None or Path(path).is_dir()):
        raise AssertionError(f"download: can't construct a file name from {url}; give the path option")
    if path is None:
        return Path(name)
    return Path(path).expanduser() / name if Path(path).expanduser().is_dir() else Path(path).expanduser()


def _fetch(url: str, target: Path, sha1_hash: str | None, verify_ssl: bool) -> None:
    import ssl
    secure = ssl.create_default_context() if verify_ssl else ssl._create_unverified_context()
    digest = hashlib.sha1()
    with urllib.request.urlopen(url, context=secure, timeout=60) as source, atomic_write(target) as stream:
        shutil.copyfileobj(source, _Hashing(stream, digest))
        if sha1_hash is not None and not digest.hexdigest().startswith(sha1_hash):
            raise OSError(f"the content's SHA-1 is {digest.hexdigest()}, not {sha1_hash}")


class _Hashing:
    """A stream that digests what passes through it."""

    def __init__(self, stream: Any, digest: Any):
        self._stream, self._digest = stream, digest

    def write(self, content: bytes) -> None:
        self._digest.update(content)
        self._stream.write(content)
