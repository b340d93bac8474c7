"""A server's journal: every change is appended before it is acknowledged, so a successor loses nothing.

A journal is a folder with files `<number>.frames`, each a row of frames as they travel (frames.py).  When a file has
grown to several times the size of the values, the next one begins with a snapshot and the older ones are deleted.  What
was written survives the end of the process at once; with `to_disk` it survives the end of the machine as well.
"""
from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterable
from pathlib import Path

import torch
from torch import Tensor

from .array_bytes import parts, view_bytes
from .connection import DATA, MAX_PARTS
from .errors import FrameError
from .frames import HEADER, Frame, pack, unpack_fields, unpack_header

log = logging.getLogger("mxdl.kvstore")

LEAST_BYTES = 64 << 20      # a file smaller than this is not worth a snapshot
GROWTH = 4                  # times the size of the values, or of the last snapshot


class Journal:
    """Appends to the newest file of a folder.

    to_disk: force each change to the disk before it is acknowledged.
    """

    def __init__(self, folder: Path, to_disk: bool = False):
        self.folder, self._to_disk = folder, to_disk
        folder.mkdir(parents=True, exist_ok=True)
        self._number = max(map(_number, self._files()), default=0)
        self._snapshot_bytes = 0
        self._file = os.open(self._path(self._number), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self._bytes = os.fstat(self._file).st_size

    def _path(self, number: int) -> Path:
        return self.folder / f"{number:08}.frames"

    def _files(self) -> list[Path]:
        return sorted(self.folder.glob("*.frames"))

    def append(self, frame: Frame, payload: Tensor) -> None:
        """Writes one change.  payload: uint8[payload_bytes]."""
        self._write(frame, [view_bytes(payload)])
        if self._to_disk:
            os.fdatasync(self._file)

    def _write(self, frame: Frame, payload: Iterable[memoryview]) -> None:
        pieces = [piece for piece in payload if len(piece)]
        size = sum(map(len, pieces))
        begin = self._bytes
        try:
            _write_all(self._file, [memoryview(pack(frame.kind, frame.fields, frame.sequence, frame.session, size)),
                                    *pieces])
        except OSError:
            os.ftruncate(self._file, begin)     # half a change must not stand before the next one
            raise
        self._bytes = os.fstat(self._file).st_size

    def is_long(self, held_bytes: int) -> bool:
        """Whether a snapshot would be shorter by much.  held_bytes: of the values."""
        return self._bytes > max(LEAST_BYTES, GROWTH * max(held_bytes, self._snapshot_bytes))

    def begin_anew(self, snapshot: Iterable[tuple[Frame, list[Tensor]]]) -> None:
        """A new file that begins with a snapshot takes the place of the older ones."""
        old_file, old_files = self._file, self._files()
        temporary = self.folder / "snapshot.part"
        self._file = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND, 0o600)
        self._bytes = 0
        for frame, tensors in snapshot:
            self._write(frame, parts(tensors)[0])
        if self._to_disk:
            os.fsync(self._file)
        self._number += 1
        os.replace(temporary, self._path(self._number))
        self._snapshot_bytes = self._bytes
        os.close(old_file)
        for path in old_files:
            path.unlink()

    def replay(self, apply: Callable[[Frame, Tensor], None]) -> int:
        """Gives every change of the newest file to `apply`, in order; their number.

        A change that is cut short at the end was never acknowledged: it is cut off.
        """
        count, end = 0, 0
        with open(self._path(self._number), "rb") as stream:
            while (found := _read(stream)) is not None:
                apply(*found)
                count, end = count + 1, stream.tell()
        if end < self._bytes:
            log.warning("journal %s: cut off %d bytes of a change that was never acknowledged", self.folder,
                        self._bytes - end)
            os.ftruncate(self._file, end)
            self._bytes = end
        return count

    def close(self) -> None:
        os.close(self._file)


def _number(path: Path) -> int:
    return int(path.stem)


def _write_all(file: int, pieces: list[memoryview]) -> None:
    first = 0
    while first < len(pieces):
        done = os.writev(file, pieces[first:first + MAX_PARTS])
        while done:
            taken = min(done, len(pieces[first]))
            pieces[first] = pieces[first][taken:]
            done -= taken
            first += not len(pieces[first])


def _read(stream) -> tuple[Frame, Tensor] | None:
    """The next frame and its payload, None where the file ends (perhaps within a frame)."""
    start = stream.read(HEADER.size)
    if len(start) < HEADER.size:
        return None
    try:
        header = unpack_header(start, DATA)
    except FrameError as error:
        raise FrameError(f"journal {stream.name}: damaged at byte {stream.tell() - HEADER.size}: {error}") from None
    head = stream.read(header.head_bytes)
    left = os.fstat(stream.fileno()).st_size - stream.tell()
    if len(head) < header.head_bytes or left < header.payload_bytes:
        return None
    payload = torch.empty(header.payload_bytes, dtype=torch.uint8)
    stream.readinto(view_bytes(payload))
    return unpack_fields(header, head), payload
