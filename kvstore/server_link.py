"""A worker's link to one parameter server: questions and answers, across the server's death.

Each change has a number of its own.  When a connection breaks, what was not answered is sent again to whoever serves
then, and a server that applied it already only answers: nothing is lost and nothing is done twice.
"""
from __future__ import annotations

import contextlib
import itertools
import logging
import socket
import threading
import time
from collections.abc import Iterable
from typing import Any, NamedTuple

from torch import Tensor

from . import spans
from .connection import Connection, introduce
from .control_client import Control
from .errors import DeadServerError, FrameError, JobFailedError, JoinRefusedError, KVStoreError
from .frames import Frame, Kind, take
from .membership import ALIVE, Member

log = logging.getLogger("mxdl.kvstore")

CONNECT_S = 5.0
RETRIES = 5             # connections that may break while the same server lives
BACKOFF_S = 0.1         # doubled with each of them


class Request(NamedTuple):
    """A question.  payload: memory to send.   into: memory that takes the answer's payload; None: a new tensor."""

    kind: Kind
    fields: list[Any]
    payload: list[memoryview]
    into: list[memoryview] | None = None


class Answer(NamedTuple):
    """payload: uint8[n], valid until the next exchange; empty where the request said where to put it."""

    frame: Frame
    payload: Tensor


class ServerGone(ConnectionError):
    """The server that this link spoke to is no more; perhaps there is a successor."""


class ServerLink:
    """Used by one thread at a time.  network_s: seconds spent in exchanges."""

    def __init__(self, control: Control, rank: int):
        self.control, self.rank = control, rank
        self._numbers = itertools.count(1)
        self._connection: Connection | None = None
        self._session = 0
        self._lock = threading.Lock()
        self.sent_bytes = self.received_bytes = 0
        self.network_s = 0.0

    def exchange(self, requests: list[Request]) -> list[Answer]:
        """Sends all requests, then takes their answers.

        Raises KVStoreError for a request that the server refused, DeadServerError, ControlLostError, EvictedError.
        """
        numbered = [(next(self._numbers), request) for request in requests]
        began, breaks = time.perf_counter(), 0
        with self._lock:
            while True:
                try:
                    return self._exchange(numbered)
                except (OSError, JoinRefusedError) as error:
                    breaks += 1
                    same = not isinstance(error, ServerGone)
                    self._drop(error)
                    self.control.check()
                    if same and breaks > RETRIES:
                        raise DeadServerError(f"parameter server {self.rank} lives, but {breaks} connections to it "
                                              f"failed, at last: {error}; its log says more") from error
                    if same:    # the news of its death may be on its way
                        self.control.wait_for(self._is_gone, BACKOFF_S * 2 ** breaks)
                finally:
                    ended = time.perf_counter()
                    self.network_s += ended - began
                    moved = [part for request in requests for part in (*request.payload, *(request.into or ()))]
                    spans.tell(f"{requests[0].kind.name.lower()} at server {self.rank}", began, ended,
                               sum(part.nbytes for part in moved))

    def ask(self, kind: Kind, fields: list[Any], payload: Iterable[memoryview] = ()) -> Answer:
        """One request and its answer."""
        return self.exchange([Request(kind, fields, list(payload))])[0]

    def close(self) -> None:
        with self._lock:
            if self._connection is not None:
                self._connection.close()
                self._connection = None

    # -- one attempt ------------------------------------------------------------------------------------------
    def _exchange(self, numbered: list[tuple[int, Request]]) -> list[Answer]:
        connection = self._connected()
        sent, received = connection.sent_bytes, connection.received_bytes
        try:
            for number, request in numbered:
                connection.send(request.kind, request.fields, request.payload, sequence=number,
                                session=self.control.session)
            answers, refusals = [], []
            for number, request in numbered:
                frame = connection.receive()
                if frame.sequence != number:
                    raise FrameError(f"parameter server {self.rank} answers {frame.sequence}; asked was {number}")
                if frame.kind is Kind.ERROR:
                    refusals.append(take(frame, str, str))
                    continue
                answers.append(Answer(frame, self._payload(connection, frame, request)))
        finally:
            self.sent_bytes += connection.sent_bytes - sent
            self.received_bytes += connection.received_bytes - received
        if refusals:
            name, message = refusals[0]
            raise TimeoutError(message) if name == "TimeoutError" else KVStoreError(message)
        return answers

    def _payload(self, connection: Connection, frame: Frame, request: Request) -> Tensor:
        if request.into is None:
            return connection.payload(frame.payload_bytes).clone()
        expected = sum(map(len, request.into))
        if frame.payload_bytes != expected:
            raise FrameError(f"parameter server {self.rank}: {request.kind.name} brought {frame.payload_bytes} bytes; "
                             f"expected {expected}")
        connection.payload_into(request.into)
        return connection.payload(0)

    # -- the connection ---------------------------------------------------------------------------------------
    def _drop(self, error: BaseException) -> None:
        log.warning("worker %d: the connection to parameter server %d ended: %s", self.control.job.rank, self.rank,
                    error)
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _is_gone(self) -> bool:
        member = self.control.member("server", self.rank)
        return member is None or member.session != self._session or member.state != ALIVE

    def _check(self) -> None:
        self.control.check()
        if self._is_gone():
            member = self.control.member("server", self.rank)
            raise ServerGone(f"it is gone ({member.reason if member else 'unknown'})")

    def _connected(self) -> Connection:
        if self._connection is None:
            member = self._wait_for_server()
            self._session = member.session
            connection = Connection(self._open(member), self._check)
            try:
                introduce(connection, self.control.job.token, {"session": self.control.session})
            except BaseException:
                connection.close()
                raise
            self._connection = connection
        return self._connection

    def _wait_for_server(self) -> Member:
        """The living server of this rank; waits for a successor of a dead one.  Raises DeadServerError."""
        seconds = self.control.job.join_timeout

        def living() -> Member | None:
            member = self.control.member("server", self.rank)
            return member if member is not None and member.state == ALIVE else None
        found = self.control.wait_for(living, seconds)
        if not found:
            member = self.control.member("server", self.rank)
            what = f"is gone ({member.reason}) and nobody took its place" if member else "did not come"
            raise DeadServerError(f"parameter server {self.rank} {what} within {seconds:g} s; mxdl launch restarts "
                                  f"servers; otherwise start the job again from its checkpoint")
        return found

    def _open(self, member: Member) -> socket.socket:
        """A connection to where a server said that it listens: over a Unix socket on the same machine."""
        places = dict(place.split(":", 1) for place in member.address.split(";") if ":" in place)
        if member.host == self.control.job.host and "unix" in places:
            sock = socket.socket(socket.AF_UNIX)
            with contextlib.suppress(ConnectionRefusedError):   # another network namespace of this machine: go by TCP
                sock.settimeout(CONNECT_S)
                sock.connect(f"\0{places['unix']}")
                return sock
            sock.close()
        if "tcp" not in places:
            raise JobFailedError(f"parameter server {self.rank} tells no address; got {member.address!r:.80}")
        host, _, port = places["tcp"].rpartition(":")
        if not port.isdigit():
            raise JobFailedError(f"parameter server {self.rank} tells no address; got {member.address!r:.80}")
        return socket.create_connection((host, int(port)), timeout=CONNECT_S)
