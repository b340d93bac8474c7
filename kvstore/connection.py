"""One blocking connection between a worker and a parameter server: frames with payloads, proved at the start.

Nothing waits for ever: a socket wakes up every `WAKE_S`, and `check` (the caller's) may then raise.
"""
from __future__ import annotations

import contextlib
import json
import socket
import time
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import torch
from torch import Tensor

from . import authentication
from .array_bytes import view_bytes
from .errors import FrameError, JoinRefusedError
from .frames import HEADER, STRANGER, Bounds, Frame, Kind, decode, pack, take, unpack_fields, unpack_header

WAKE_S = 0.5
HANDSHAKE_S = 5.0
KEPT_BYTES = 8 << 20    # of an answer's memory, from one to the next
MAX_PARTS = 512         # pieces of memory that one system call takes
#: between members that proved themselves; payloads are bounded by what the head says, before memory is taken
DATA = Bounds(head_bytes=64 << 20, payload_bytes=1 << 44)


class EndOfConnection(ConnectionResetError):
    """The peer closed the connection between two frames."""


class Connection:
    """Frames over a socket.

    check: called while waiting; it raises what makes waiting pointless.
    sent_bytes, received_bytes: counted on this connection.   pending: payload bytes of the last frame not read yet.
    """

    def __init__(self, sock: socket.socket, check: Callable[[], None]):
        self.socket, self.check = sock, check
        self.sent_bytes = self.received_bytes = self.pending = 0
        self._buffer = self._answer = torch.empty(0, dtype=torch.uint8)
        sock.settimeout(WAKE_S)
        if sock.family != socket.AF_UNIX:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    @property
    def peer(self) -> str:
        if self.socket.family == socket.AF_UNIX:
            return "a process of this machine"
        with contextlib.suppress(OSError):
            return "{}:{}".format(*self.socket.getpeername()[:2])
        return "a peer that is gone"

    def cut(self) -> None:
        """Ends the connection; the thread that waits on it sees its end, and closes it."""
        with contextlib.suppress(OSError):
            self.socket.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self.cut()
        self.socket.close()

    # -- out --------------------------------------------------------------------------------------------------
    def send(self, kind: Kind, fields: Iterable[Any] = (), payload: Iterable[memoryview] = (), *, sequence: int = 0,
             session: int = 0) -> None:
        """Sends a frame.  payload: pieces of memory, which must not change until this returns."""
        pieces = [piece for piece in payload if len(piece)]
        size = sum(map(len, pieces))
        self.send_bytes([memoryview(pack(kind, fields, sequence, session, size)), *pieces])

    def send_bytes(self, pieces: list[memoryview]) -> None:
        self.sent_bytes += sum(map(len, pieces))
        first = 0
        while first < len(pieces):
            done = self._try(partial(self.socket.sendmsg, pieces[first:first + MAX_PARTS]))
            first = advance(pieces, first, done)

    # -- in ---------------------------------------------------------------------------------------------------
    def receive(self, bounds: Bounds = DATA) -> Frame:
        """The next frame's header and head; its payload is to be read next.  Raises FrameError, OSError."""
        start = bytearray(HEADER.size)
        first = self._try(partial(self.socket.recv_into, start))
        if not first:
            raise EndOfConnection("the connection ended")
        self.receive_into([memoryview(start)[first:]])
        header = unpack_header(bytes(start), bounds)
        self.pending = header.payload_bytes
        head = bytearray(header.head_bytes)
        self.receive_into([memoryview(head)])
        return unpack_fields(header, bytes(head))

    def payload(self, size: int) -> Tensor:
        """The next `size` bytes, uint8[size], in memory that the next call uses again."""
        if self._buffer.numel() < size or self._buffer.numel() > 4 * size + (1 << 24):
            self._buffer = torch.empty(size, dtype=torch.uint8)
        found = self._buffer[:size]
        self.payload_into([view_bytes(found)])
        return found

    def answer_memory(self, size: int) -> Tensor:
        """uint8[size] for what is to be sent; small ones in memory that the next call uses again."""
        if size > KEPT_BYTES:
            return torch.empty(size, dtype=torch.uint8)
        if self._answer.numel() < size:
            self._answer = torch.empty(size, dtype=torch.uint8)
        return self._answer[:size]

    def payload_into(self, pieces: list[memoryview]) -> None:
        """Reads payload into the pieces of memory, in order."""
        self.receive_into(pieces)
        self.pending -= sum(map(len, pieces))

    def skip_payload(self) -> None:
        """Reads past what is left of a payload that nobody wants."""
        while self.pending:
            self.payload(min(self.pending, 1 << 20))

    def receive_into(self, pieces: list[memoryview]) -> None:
        """Fills the pieces of memory, in order."""
        pieces = [piece for piece in pieces if len(piece)]      # a new list: it is cut below
        self.received_bytes += sum(map(len, pieces))
        first = 0
        while first < len(pieces):
            done = self._try(partial(self._fill, pieces[first:first + MAX_PARTS]))
            if not done:
                raise ConnectionResetError("the connection ended")
            first = advance(pieces, first, done)

    def _fill(self, pieces: list[memoryview]) -> int:
        return self.socket.recvmsg_into(pieces)[0]

    def _try(self, operation: Callable[[], int]) -> int:
        while True:
            try:
                return operation()
            except TimeoutError:
                self.check()


def advance(pieces: list[memoryview], first: int, done: int) -> int:
    """The first piece that is not finished after `done` bytes; it is cut to what is left of it."""
    while done:
        if done < len(pieces[first]):
            pieces[first] = pieces[first][done:]
            return first
        done -= len(pieces[first])
        first += 1
    return first


def deadline(seconds: float, where: str, check: Callable[[], None] = lambda: None) -> Callable[[], None]:
    """A `check` that raises TimeoutError so many seconds from now."""
    end = time.monotonic() + seconds

    def raise_when_late() -> None:
        check()
        if time.monotonic() > end:
            raise TimeoutError(f"{where}: no answer within {seconds:g} s")
    return raise_when_late


def admit(connection: Connection, token: str, accept: Callable[[dict[str, Any]], None],
          seconds: float = HANDSHAKE_S) -> dict[str, Any]:
    """The server's half of the handshake; what the peer says of itself, once proved.

    accept: raises JoinRefusedError for somebody who proved the token but has no business here.
    """
    check, connection.check = connection.check, deadline(seconds, "handshake")
    ours = authentication.nonce()
    connection.send(Kind.HELLO, [ours])
    frame = connection.receive(STRANGER)
    if frame.kind is not Kind.JOIN:
        raise FrameError(f"the first frame is JOIN; got {frame.kind.name}")
    theirs, proof, text = take(frame, bytes, bytes, bytes)
    try:
        if not authentication.proves(proof, token, "data", ours, theirs, text):
            raise JoinRefusedError("join: the token is not this job's")
        about = decode(frame, text, dict)
        accept(about)
    except JoinRefusedError as error:
        connection.send(Kind.REFUSED, [str(error)])
        raise
    connection.send(Kind.WELCOME, [authentication.proof(token, "data welcome", ours, theirs, text), b"{}"])
    connection.check = check
    return about


def introduce(connection: Connection, token: str, about: dict[str, Any], seconds: float = HANDSHAKE_S) -> None:
    """The client's half of the handshake.  Raises JoinRefusedError."""
    check, connection.check = connection.check, deadline(seconds, "handshake", connection.check)
    theirs, ours = take(connection.receive(STRANGER), bytes)[0], authentication.nonce()
    text = json.dumps(about).encode()
    connection.send(Kind.JOIN, [ours, authentication.proof(token, "data", theirs, ours, text), text])
    answer = connection.receive(STRANGER)
    if answer.kind is Kind.REFUSED:
        raise JoinRefusedError(take(answer, str)[0])
    proof = take(answer, bytes, bytes)[0]
    if answer.kind is not Kind.WELCOME or not authentication.proves(proof, token, "data welcome", theirs, ours, text):
        raise JoinRefusedError(f"joining: {connection.peer} does not know this job's token; it is no server of the job")
    connection.check = check
