"""The file of optimizer states that `dist_async` writes: a frame for each server."""
from __future__ import annotations

from collections.abc import Iterator, Sequence

from .array_bytes import view_bytes
from .connection import DATA
from .errors import KVStoreError
from .frames import HEADER, Kind, pack, unpack_fields, unpack_header
from .server_link import Answer


def joined(answers: Sequence[Answer]) -> bytes:
    """The file's content: what the servers answered, as requests that give it back to them."""
    return b"".join(pack(Kind.SET_STATES, answer.frame.fields, payload_bytes=answer.payload.numel())
                    + bytes(view_bytes(answer.payload)) for answer in answers)


def frames(content: bytes, name: str) -> Iterator[tuple[list[bytes], memoryview]]:
    """The fields and payloads of a file of frames.  Raises KVStoreError where it is none."""
    place = 0
    while place < len(content):
        try:
            header = unpack_header(content[place:place + HEADER.size].ljust(HEADER.size, b"\0"), DATA)
            body = place + HEADER.size
            frame = unpack_fields(header, content[body:body + header.head_bytes])
        except ConnectionError as error:
            raise KVStoreError(f"load_optimizer_states: {name} is no file of this store, or is damaged: "
                               f"{error}") from None
        place = body + header.head_bytes + header.payload_bytes
        if place > len(content):
            raise KVStoreError(f"load_optimizer_states: {name} is cut short")
        yield list(frame.fields), memoryview(content)[body + header.head_bytes:place]
