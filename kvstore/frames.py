"""Frames: what travels between the processes of a job.  Fixed binary layout, every size bounded before it is used.

A frame is a header of 28 bytes (big-endian), a head and a payload:

    bytes  0-3   b"MXK1"
           4     kind (see Kind)
           5     0
           6-7   number of fields in the head
           8-11  session: which joining the sender belongs to
          12-15  sequence: the answer carries the one of its question
          16-19  bytes of the head
          20-27  bytes of the payload

The head is a row of fields, each a length of 4 bytes and so many bytes; what a field means depends on the kind, and is
bytes, UTF-8 text, a signed number of 8 bytes, or JSON.  The payload is the raw memory of arrays.  Nothing is unpickled.
"""
from __future__ import annotations

import json
import struct
from collections.abc import Iterable
from enum import IntEnum
from typing import Any, NamedTuple

from .errors import FrameError

MAGIC = b"MXK1"
HEADER = struct.Struct("!4sBBHIIIQ")
_LENGTH = struct.Struct("!I")
_NUMBER = struct.Struct("!q")


class Kind(IntEnum):
    """What a frame asks or tells.  Numbers are part of the format: new ones are added at the end of their group."""

    HELLO = 1           # server: nonce
    JOIN = 2            # client: nonce, proof, JSON about itself
    WELCOME = 3         # server: proof, JSON about the job
    REFUSED = 4         # server: reason
    OK = 5
    ERROR = 6           # name of the error, message
    EVENT = 7           # control server: JSON of the membership
    HEARTBEAT = 8       # last complete step
    LEAVE = 9
    SET = 16
    GET = 17
    ADD = 18
    CHECK = 19
    WAIT = 20
    COMPARE_SET = 21
    DELETE = 22
    NUM_KEYS = 23
    APPEND = 24
    FORM = 32
    BARRIER = 33
    INIT = 48
    PUSH = 49
    PULL = 50
    ROW_PUSH = 51
    ROW_PULL = 52
    OPTIMIZER = 53
    GET_STATES = 54
    SET_STATES = 55
    OVERWRITE = 56
    PROFILE = 57
    SETTINGS = 58
    APPLIED = 59        # in journals only
    CODING = 60         # JSON of the settings of gradient compression, JSON of its states
    CODED_PUSH = 61     # [key] rows; the payload of each is in the format of docs/compression.md


_KINDS = {int(kind): kind for kind in Kind}


class Bounds(NamedTuple):
    """The most that a receiver takes in."""

    head_bytes: int
    payload_bytes: int = 0
    fields: int = 4096


#: before a peer has proved who it is
STRANGER = Bounds(head_bytes=4096, fields=8)
#: the control channel
CONTROL = Bounds(head_bytes=1 << 20)


class Header(NamedTuple):
    kind: Kind
    num_fields: int
    session: int
    sequence: int
    head_bytes: int
    payload_bytes: int


class Frame(NamedTuple):
    """A frame without its payload."""

    kind: Kind
    session: int
    sequence: int
    fields: tuple[bytes, ...]
    payload_bytes: int = 0


def pack(kind: Kind, fields: Iterable[Any] = (), sequence: int = 0, session: int = 0, payload_bytes: int = 0) -> bytes:
    """Header and head of a frame.  Fields: bytes, str (UTF-8), int (8 bytes), dict or list (JSON)."""
    parts = [encode(field) for field in fields]
    head = b"".join(piece for part in parts for piece in (_LENGTH.pack(len(part)), part))
    return HEADER.pack(MAGIC, kind, 0, len(parts), session, sequence, len(head), payload_bytes) + head


def unpack_header(data: bytes, bounds: Bounds) -> Header:
    """The header in 28 bytes.  Raises FrameError for anything else than a frame within `bounds`."""
    magic, number, zero, num_fields, session, sequence, head_bytes, payload_bytes = HEADER.unpack(data)
    if magic != MAGIC or zero:
        raise FrameError(f"not a frame of this version; got {data[:6]!r}")
    if number not in _KINDS:
        raise FrameError(f"no kind of frame has the number {number}")
    for what, got, most in (("head", head_bytes, bounds.head_bytes), ("payload", payload_bytes, bounds.payload_bytes),
                            ("number of fields", num_fields, bounds.fields)):
        if got > most:
            raise FrameError(f"{_KINDS[number].name}: {what} over its bound; got {got}, at most {most}")
    return Header(_KINDS[number], num_fields, session, sequence, head_bytes, payload_bytes)


def unpack_fields(header: Header, head: bytes) -> Frame:
    """The frame of a header and its head.  Raises FrameError where the fields do not fill the head exactly."""
    fields, place = [], 0
    for _ in range(header.num_fields):
        start = place + _LENGTH.size
        if start > len(head):
            raise FrameError(f"{header.kind.name}: the head ends within a field")
        place = start + _LENGTH.unpack_from(head, place)[0]
        if place > len(head):
            raise FrameError(f"{header.kind.name}: the head ends within a field")
        fields.append(head[start:place])
    if place != len(head):
        raise FrameError(f"{header.kind.name}: {len(head) - place} bytes after the last field")
    return Frame(header.kind, header.session, header.sequence, tuple(fields), header.payload_bytes)


def encode(field: Any) -> bytes:
    """One field's bytes."""
    if isinstance(field, (bytes, bytearray, memoryview)):
        return bytes(field)
    if isinstance(field, str):
        return field.encode()
    if isinstance(field, int):
        return _NUMBER.pack(field)
    return json.dumps(field, allow_nan=False).encode()


def take(frame: Frame, *kinds: type) -> list[Any]:
    """The fields of a frame as bytes, str, int or dict (JSON), exactly so many.  Raises FrameError."""
    if len(frame.fields) != len(kinds):
        raise FrameError(f"{frame.kind.name}: needs {len(kinds)} fields; got {len(frame.fields)}")
    return [decode(frame, field, kind) for field, kind in zip(frame.fields, kinds, strict=True)]


def decode(frame: Frame, field: bytes, kind: type) -> Any:
    """One field as bytes, str, int, or JSON of the type dict or list.  Raises FrameError."""
    try:
        if kind is bytes:
            return field
        if kind is int:
            return _NUMBER.unpack(field)[0]
        value = field.decode() if kind is str else json.loads(field)
    except (struct.error, UnicodeDecodeError, json.JSONDecodeError, RecursionError) as error:
        raise FrameError(f"{frame.kind.name}: a field is no {kind.__name__}: {error}") from None
    if not isinstance(value, kind):
        raise FrameError(f"{frame.kind.name}: a field is no {kind.__name__}; got {type(value).__name__}")
    return value
