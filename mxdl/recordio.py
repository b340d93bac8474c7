"""RecordIO files: sequences of byte strings, an index beside them for random access, and image records in them.

A record is: magic u32, (part flag << 29 | length) u32, the bytes, zeros up to a multiple of 4; all little-endian.
Where the magic itself stands in the bytes at a multiple of 4, the writer cuts the record there and leaves it out; the
parts are flagged 1 first, 2 middle, 3 last (0: a whole record) and the reader puts the magic back between them.
"""
from __future__ import annotations

import os
import struct
from collections import namedtuple
from io import BytesIO
from pathlib import Path

import numpy as np

from .errors import FileFormatError

MAGIC = 0xCED7230A
_MAGIC_BYTES = struct.pack("<I", MAGIC)
_MAX_LENGTH = 1 << 29
_WHOLE, _FIRST, _MIDDLE, _LAST = range(4)


class MXRecordIO:
    """Reads (flag "r") or writes (flag "w") the records of a file one after the other.

    A reader can be pickled, and used in a forked process: each process opens the file for itself.
    """

    def __init__(self, uri: str | os.PathLike, flag: str):
        if flag not in ("r", "w"):
            raise ValueError(f"{type(self).__name__}: flag is 'r' or 'w'; got {flag!r}")
        self.uri = os.fspath(uri)
        self.flag = flag
        self.writable = flag == "w"
        self.is_open = False
        self.open()

    def open(self) -> None:
        """Opens the file, a writer's anew; called by the constructor."""
        self._file = open(self.uri, self.flag + "b")
        self._owner = os.getpid()
        self.is_open = True

    def close(self) -> None:
        """Closes the file; reading or writing is possible again after `open`."""
        if self.is_open:
            self._file.close()
            self.is_open = False

    def reset(self) -> None:
        """Back to the first record; a writer starts its file anew."""
        self.close()
        self.open()

    def __enter__(self):
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def __getstate__(self) -> dict:
        if self.writable:
            raise TypeError(f"a RecordIO writer cannot be pickled; got the writer of {self.uri}")
        state = {name: value for name, value in self.__dict__.items() if name != "_file"}
        return {**state, "position": self.tell() if self.is_open else 0}

    def __setstate__(self, state: dict) -> None:
        position, was_open = state.pop("position"), state["is_open"]
        self.__dict__.update(state)
        self.is_open = False
        if was_open:
            self.open()
            self._file.seek(position)

    def _stream(self):
        """The open file, opened again in a process that was forked: the offset of an open file is shared."""
        if not self.is_open:
            raise ValueError(f"RecordIO: {self.uri} is closed; call open() or reset() first")
        if self._owner != os.getpid():
            if self.writable:
                raise RuntimeError(f"RecordIO: the writer of {self.uri} was opened in another process")
            position = self._file.tell()
            self.open()
            self._file.seek(position)
        return self._file

    def tell(self) -> int:
        """The byte offset of the next record."""
        return self._stream().tell()

    def write(self, buf: bytes) -> None:
        """Appends a record, shorter than 2**29 bytes."""
        if not self.writable:
            raise ValueError(f"RecordIO.write: {self.uri} is open for reading")
        buf = bytes(buf)
        if len(buf) >= _MAX_LENGTH:
            raise ValueError(f"RecordIO.write: a record must be shorter than {_MAX_LENGTH} bytes; got {len(buf)}")
        parts = _split(buf)
        stream = self._stream()
        for position, part in enumerate(parts):
            flag = _WHOLE
            if len(parts) > 1:
                flag = _FIRST if position == 0 else _LAST if position == len(parts) - 1 else _MIDDLE
            stream.write(_MAGIC_BYTES + struct.pack("<I", flag << 29 | len(part)) + part + bytes(-len(part) % 4))

    def read(self) -> bytes | None:
        """The next record, or None at the end of the file.  Raises FileFormatError where the file is broken."""
        if self.writable:
            raise ValueError(f"RecordIO.read: {self.uri} is open for writing")
        return _read_record(self._stream(), self.uri)


class _Positioned:
    """Reads of an open file from a place on that do not move the file's own offset: threads share the file."""

    def __init__(self, handle: int, offset: int):
        self._handle, self._offset = handle, offset

    def read(self, count: int) -> bytes:
        content = os.pread(self._handle, count, self._offset)
        self._offset += len(content)
        return content

    def tell(self) -> int:
        return self._offset


def record_at(handle: int, offset: int, name: str) -> bytes:
    """The record at a byte offset of an open file; many threads may ask at once.   name: of the file, for messages."""
    record = _read_record(_Positioned(handle, offset), name)
    if record is None:
        raise FileFormatError(f"{name}: truncated: no record at byte {offset}, the file ends before")
    return record


def _read_record(stream, name: str) -> bytes | None:
    """The record at a stream's place, None at its end."""
    flag, part = _read_part(stream, name)
    if flag == _WHOLE or part is None:
        return part
    parts = [part]
    while flag != _LAST:
        flag, part = _read_part(stream, name)
        if part is None:
            raise FileFormatError(f"{name}: the file ends inside a record of several parts")
        parts.append(part)
    return _MAGIC_BYTES.join(parts)


def _read_part(stream, name: str) -> tuple[int, bytes | None]:
    head = stream.read(8)
    if not head:
        return _WHOLE, None
    offset = stream.tell() - len(head)
    if len(head) < 8:
        raise FileFormatError(f"{name}: truncated: the file ends inside a record's head at byte {offset}")
    magic, word = struct.unpack("<II", head)
    if magic != MAGIC:
        raise FileFormatError(f"{name}: no record at byte {offset}: got {magic:#010x}, a record begins with "
                              f"{MAGIC:#010x}; is this a RecordIO file, and its index the right one?")
    length = word & _MAX_LENGTH - 1
    padded = length + -length % 4
    part = stream.read(padded)
    if len(part) < padded:
        raise FileFormatError(f"{name}: truncated: the record at byte {offset} has {length} bytes, "
                              f"{len(part)} are there")
    return word >> 29, part[:length]


def _split(buf: bytes) -> list[bytes]:
    """`buf` cut at every magic that stands at a multiple of 4, without the magics."""
    parts, start, found = [], 0, buf.find(_MAGIC_BYTES)
    while found >= 0:
        if found % 4 == 0:
            parts.append(buf[start:found])
            start = found + 4
        found = buf.find(_MAGIC_BYTES, start if found % 4 == 0 else found + 1)
    return [*parts, buf[start:]]


class MXIndexedRecordIO(MXRecordIO):
    """A RecordIO file with an index: text lines ``key<TAB>byte offset``.

    Args:
        idx_path: the index; written beside the records by a writer.
        uri: the file of records.
        flag: "r" or "w".
        key_type: what the keys of the index are read as.
    """

    def __init__(self, idx_path: str | os.PathLike, uri: str | os.PathLike, flag: str, key_type: type = int):
        self.idx_path = os.fspath(idx_path)
        self.key_type = key_type
        self.idx: dict = {}
        self.keys: list = []
        self._index_file = None
        super().__init__(uri, flag)

    def open(self) -> None:
        super().open()
        self.idx, self.keys = {}, []
        if self.writable:
            self._index_file = open(self.idx_path, "w")
            return
        for number, line in enumerate(Path(self.idx_path).read_text().splitlines(), 1):
            fields = line.strip().split("\t")
            try:
                key, offset = self.key_type(fields[0]), int(fields[1])
            except (ValueError, IndexError):
                raise FileFormatError(f"{self.idx_path}: line {number} is not 'key<TAB>offset'; got {line!r}") from None
            self.idx[key] = offset
            self.keys.append(key)

    def close(self) -> None:
        super().close()
        if self._index_file is not None:
            self._index_file.close()
            self._index_file = None

    def seek(self, idx) -> None:
        """Makes the record of key `idx` the next to be read."""
        if idx not in self.idx:
            raise KeyError(f"RecordIO.seek: {self.idx_path} has no key {idx!r}; it has {len(self.idx)} keys")
        self._stream().seek(self.idx[idx])

    def read_idx(self, idx) -> bytes | None:
        """The record of key `idx`."""
        self.seek(idx)
        return self.read()

    def write_idx(self, idx, buf: bytes) -> None:
        """Appends a record under the key `idx`."""
        key = self.key_type(idx)
        offset = self.tell()
        self.write(buf)
        self._index_file.write(f"{key}\t{offset}\n")
        self.idx[key] = offset
        self.keys.append(key)


#: What stands before the image in a record.  flag: number of labels in the record, 0: the one in `label`.
IRHeader = namedtuple("IRHeader", ["flag", "label", "id", "id2"])
_HEADER = struct.Struct("<IfQQ")


def pack(header: IRHeader, s: bytes) -> bytes:
    """The record of a header and content; a label that is an array is stored before the content as float32."""
    header = IRHeader(*header)
    if isinstance(header.label, (int, float, np.number)):
        return _HEADER.pack(0, header.label, header.id, header.id2) + s
    label = np.asarray(header.label, dtype="<f4").ravel()
    return _HEADER.pack(label.size, 0, header.id, header.id2) + label.tobytes() + s


def unpack(s: bytes) -> tuple[IRHeader, bytes]:
    """(header, content) of a record; the label is a float, or float32[flag] where the record holds several."""
    if len(s) < _HEADER.size:
        raise FileFormatError(f"unpack: an image record has at least {_HEADER.size} bytes; got {len(s)}")
    header, content = IRHeader(*_HEADER.unpack_from(s)), s[_HEADER.size:]
    if header.flag > 0:
        if len(content) < 4 * header.flag:
            raise FileFormatError(f"unpack: the record should hold {header.flag} labels; {len(content)} bytes are left")
        header = header._replace(label=np.frombuffer(content, "<f4", count=header.flag).astype(np.float32))
        content = content[4 * header.flag:]
    return header, content


def pack_img(header: IRHeader, img, quality: int = 95, img_fmt: str = ".jpg") -> bytes:
    """The record of a header and an image, encoded.

    Args:
        img: uint8[H, W, 3] with channels in the order blue, green, red (as OpenCV has them), or uint8[H, W].
        quality: 1..100 for JPEG, 0..9 (compression) for PNG.
        img_fmt: ".jpg", ".jpeg" or ".png".
    """
    from PIL import Image
    pixels = img.asnumpy() if hasattr(img, "asnumpy") else np.asarray(img)
    image = Image.fromarray(np.ascontiguousarray(pixels[..., ::-1] if pixels.ndim == 3 else pixels))
    encoded, extension = BytesIO(), img_fmt.lower()
    if extension in (".jpg", ".jpeg"):
        image.save(encoded, "JPEG", quality=quality)
    elif extension == ".png":
        image.save(encoded, "PNG", compress_level=min(quality, 9))
    else:
        raise ValueError(f"pack_img: img_fmt is '.jpg', '.jpeg' or '.png'; got {img_fmt!r}")
    return pack(header, encoded.getvalue())


def unpack_img(s: bytes, iscolor: int = -1) -> tuple[IRHeader, np.ndarray]:
    """(header, image) of an image record.

    Args:
        iscolor: 1: three channels (blue, green, red); 0: grey, uint8[H, W]; -1: as the file has it.
    """
    from PIL import Image
    header, content = unpack(s)
    image = Image.open(BytesIO(content))
    grey = iscolor == 0 or (iscolor < 0 and image.mode in ("1", "L", "I", "I;16"))
    pixels = np.asarray(image.convert("L" if grey else "RGB"))
    return header, pixels if grey else np.ascontiguousarray(pixels[..., ::-1])
