"""Files that must never be lost: written to a temporary, forced to disk, then renamed over the old one."""
import contextlib
import errno
import json
import os
import shutil
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from .errors import FileMissingError, suggest


def _sync(path: Path) -> None:
    """Forces a file's, or a folder's, content to disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def existing(path: str | os.PathLike, what: str) -> Path:
    """`path` as a Path (``~`` is the home folder).  Raises FileMissingError where there is no such file."""
    found = Path(path).expanduser()
    if not found.is_file():
        reason, near = "it is a folder" if found.is_dir() else "there is no such file", ""
        if found.parent.is_dir() and not found.is_dir():
            near = suggest(found.name, (one.name for one in found.parent.iterdir()))
        raise FileMissingError(f"{what}: {reason}; got {str(found)!r}; check the path{near}")
    return found


def kept_measurements(path: Path, right: Callable[[Any], bool]) -> dict[str, Any]:
    """By name, what the file of a cache keeps; nothing where there is none.

    right: whether an entry is as its writer made it.   A damaged file warns and counts as empty: its reader measures
    again and replaces it.
    """
    if not path.exists():
        return {}
    try:
        found = json.loads(path.read_bytes())
        if isinstance(found, dict) and all(map(right, found.values())):
            return found
        reason = "its entries are not what is written there"
    except ValueError as error:     # json's own errors and those of UTF-8 alike
        reason = f"no JSON: {error}"
    warnings.warn(f"{path}: a damaged file of measurements; {reason}; they are made again and the file is replaced",
                  stacklevel=3)
    return {}


def _explain(error: OSError, target: Path) -> OSError:
    """The same error, saying which file was meant and that the old one is whole."""
    reason = "the disk is full" if error.errno in (errno.ENOSPC, errno.EDQUOT) else (error.strerror or str(error))
    return OSError(error.errno, f"cannot write {target}: {reason}; what was there before is untouched")


@contextlib.contextmanager
def atomic_write(path, mode: str = "wb", **open_options) -> Iterator:
    """A file opened for writing that takes `path`'s place only when the block ends without an error.

    Raises OSError (with the reason in words) when it cannot be written; the previous file then stays as it was.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with open(temporary, mode, **open_options) as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(temporary, path)
        _sync(path.parent)
    except OSError as error:
        raise _explain(error, path) from error
    finally:
        temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def atomic_folder(path) -> Iterator[Path]:
    """A temporary folder to fill, which takes `path`'s place when the block ends without an error.

    `path` must not exist.  Raises OSError (with the reason in words); nothing then appears at `path`.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    try:
        temporary.mkdir(parents=True)
        yield temporary
        for part in temporary.rglob("*"):
            _sync(part)
        _sync(temporary)
        os.rename(temporary, path)
        _sync(path.parent)
    except OSError as error:
        raise _explain(error, path) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def atomic_link(path, target: str) -> None:
    """Points the symbolic link `path` to `target` (relative to the link's folder), replacing an older link at once."""
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    temporary.unlink(missing_ok=True)
    temporary.symlink_to(target)
    os.replace(temporary, path)
    _sync(path.parent)
