"""A parameter server: holds values, applies what workers push, answers what they pull.

A thread a worker.  Changes are made one at a time, each whole: a pull sees a value before a push or after it.
"""
from __future__ import annotations

import contextlib
import dataclasses
import logging
import queue
import secrets
import signal
import socket
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from . import config, structure
from .addresses import address_of, route_to
from .array_bytes import cut, dtype_name, parts
from .clocks import Clocks
from .connection import Connection, EndOfConnection, admit
from .control_client import Control
from .errors import ControlLostError, FrameError, JobError, JobFailedError, JoinRefusedError, KVStoreError
from .frames import Frame, Kind, take
from .job import Job
from .journal import Journal
from .membership import ALIVE, DEAD, LEFT, Member
from .server_trace import ServerTrace
from .server_values import CHANGES, ServerValues

log = logging.getLogger("mxdl.kvstore")

MAX_STRANGERS = 64
NEWS_S = 2.0            # a worker may be quicker here than the news of its joining
LEFT_S = 1.0            # without a worker, once all have left
PUSHES = (Kind.PUSH, Kind.ROW_PUSH, Kind.CODED_PUSH)
ANSWERED = (KVStoreError, TimeoutError)     # told to the worker; anything else ends its connection


class ParameterServer:
    """Serves the workers of a job from `start` to `close`.

    job: with role server.   journal: folder for its journal; None: a killed server's state is lost.
    max_delay: pushes that a worker may be ahead of the slowest living one; None: no bound.
    """

    def __init__(self, job: Job, max_delay: int | None = None):
        self.job, self.max_delay = job, max_delay
        self.values = ServerValues(config.server_limit_bytes())
        self._clocks = Clocks()
        self._changed = threading.Condition()
        self._connections: dict[int, Connection] = {}
        self._strangers = threading.BoundedSemaphore(MAX_STRANGERS)
        self._journal: Journal | None = None
        self._closed = threading.Event()
        self._departures: queue.SimpleQueue[Member] = queue.SimpleQueue()
        self.last_request = time.monotonic()
        self.figures: defaultdict[str, float] = defaultdict(float)
        self.trace = ServerTrace(max(0, job.rank))
        self._answers: dict[Kind, Callable[[Connection, Frame], None]] = {
            Kind.PULL: self._pull, Kind.ROW_PULL: self._row_pull, Kind.GET_STATES: self._get_states,
            Kind.PROFILE: self._profile, **dict.fromkeys(CHANGES - {Kind.APPLIED}, self._change)}

    # -- life -------------------------------------------------------------------------------------------------
    def start(self) -> None:
        """Takes up the journal, listens, and joins the job.  Raises JobError, JoinRefusedError."""
        address = address_of(self.job.interface) if self.job.interface else route_to(self.job.address, self.job.port)
        self._listeners = [_listen(address), _listen_here()]
        names = ";".join([f"tcp:{address}:{self._listeners[0].getsockname()[1]}",
                          f"unix:{self._listeners[1].getsockname()[1:].decode()}"])
        self.control = Control(dataclasses.replace(self.job, hosts_control=False), names, self._news)
        self.job = self.control.job
        if self.job.journal:
            self._take_up(Path(self.job.journal) / self.control.instance / f"server-{self.job.rank}")
        threading.Thread(target=self._cut_off, name="mxdl server", daemon=True).start()
        for listener in self._listeners:
            threading.Thread(target=self._accept, args=[listener], name="mxdl server", daemon=True).start()

    def _take_up(self, folder: Path) -> None:
        """Brings the values to where a predecessor left them."""
        self._journal = Journal(folder, config.journal_to_disk())
        count = self._journal.replay(self._replay)
        if count:
            log.warning("server %d: took up %d keys after %d changes from %s", self.job.rank, len(self.values.values),
                        count, folder)

    def _replay(self, frame: Frame, payload: torch.Tensor) -> None:
        try:
            self.values.apply(frame, payload)
        except KVStoreError as error:
            log.warning("server %d: %s was refused before, and is again: %s", self.job.rank, frame.kind.name, error)

    def close(self) -> None:
        """Stops serving and leaves the job."""
        if self._closed.is_set():
            return
        self._closed.set()
        for listener in self._listeners:
            listener.close()
        with self._changed:
            self._changed.notify_all()
            connections = list(self._connections.values())
        for connection in connections:
            connection.cut()
        self.control.close()
        with self._changed:
            if self._journal is not None:
                self._journal.close()

    def wait(self, patience: float | None = None) -> None:
        """Serves until all workers are gone and nobody took their places in time.

        Raises ControlLostError where the control server ends before the workers do.
        """
        patience = self.job.join_timeout if patience is None else patience
        try:
            while True:
                if self.control.wait_for(self._all_ended, 60) and not self.control.wait_for(
                        lambda: not self._all_ended(), LEFT_S if self._states() == {LEFT} else patience):
                    return
        except ControlLostError as error:
            if not self._all_ended() or self._states() != {LEFT}:
                raise
            log.info("server %d: ends, as all workers have: %s", self.job.rank, error)

    def _all_ended(self) -> bool:
        workers = [one for one in self.control.members if one.role == "worker"]
        return len(workers) == self.job.num_workers and all(one.state != ALIVE for one in workers)

    def _states(self) -> set[str]:
        """Of the workers, as far as this server knows."""
        return {one.state for one in self.control.members if one.role == "worker"}

    # -- connections ------------------------------------------------------------------------------------------
    def _accept(self, listener: socket.socket) -> None:
        while not self._closed.is_set():
            try:
                sock, _ = listener.accept()
            except OSError:         # closed
                return
            if not self._strangers.acquire(blocking=False):
                log.warning("server %d: closed a connection: %d others have not said who they are", self.job.rank,
                            MAX_STRANGERS)
                sock.close()
                continue
            threading.Thread(target=self._serve, args=[sock], name="mxdl server", daemon=True).start()

    def _serve(self, sock: socket.socket) -> None:
        connection = Connection(sock, self._check)
        peer = connection.peer
        try:
            try:
                session = self._session(admit(connection, self.job.token, self._accept_member))
                connection.check = lambda: self._check_session(session)
            finally:
                self._strangers.release()
            with self._changed:
                self._connections[session] = connection
            while True:
                self._answer(connection, connection.receive(), session)
        except EndOfConnection:
            log.debug("server %d: %s ended its connection", self.job.rank, peer)
        except (OSError, JobFailedError, KVStoreError) as error:
            if not self._closed.is_set():
                log.warning("server %d: closed the connection of %s: %s", self.job.rank, peer, error)
        finally:
            with self._changed:
                for number in [one for one, other in self._connections.items() if other is connection]:
                    del self._connections[number]
            connection.close()

    def _check(self) -> None:
        if self._closed.is_set():
            raise ConnectionAbortedError("this server is closing")

    def _check_session(self, session: int) -> None:
        self._check()
        if session not in self._living():
            raise JoinRefusedError(f"session {session} is over")

    def _living(self) -> set[int]:
        return self.control.living_sessions("worker")

    @staticmethod
    def _session(about: dict[str, Any]) -> int:
        session = about.get("session")
        if not isinstance(session, int):
            raise FrameError(f"JOIN: no session; got {session!r:.40}")
        return session

    def _accept_member(self, about: dict[str, Any]) -> None:
        """Raises JoinRefusedError for who is no living worker of this job."""
        session = self._session(about)
        if not self.control.wait_for(lambda: session in self._living(), NEWS_S):
            raise JoinRefusedError(f"join: session {session} is no living worker's; it ended, or is of an older start")

    def _news(self, member: Member) -> None:
        """Somebody's state changed; the dead are cut off, and nobody waits for them any more."""
        self._departures.put(member)    # taken up by another thread: the control thread must go on beating

    def _cut_off(self) -> None:
        while not self._closed.is_set():
            member = self._departures.get()
            with self._changed:
                connection = self._connections.get(member.session) if member.state == DEAD else None
                self._changed.notify_all()
            if connection is not None:
                connection.cut()

    # -- answers ----------------------------------------------------------------------------------------------
    def _answer(self, connection: Connection, frame: Frame, session: int) -> None:
        frame = frame._replace(session=session)     # what a peer proved, not what it says
        self.last_request = time.monotonic()
        self.figures[f"{frame.kind.name}.count"] += 1
        self.figures[f"{frame.kind.name}.bytes_in"] += frame.payload_bytes
        answer = self._answers.get(frame.kind)
        if answer is None:
            raise FrameError(f"a parameter server does not answer {frame.kind.name}")
        began = self.trace.now()
        try:
            answer(connection, frame)
        except ANSWERED as error:
            connection.skip_payload()
            connection.send(Kind.ERROR, [type(error).__name__, str(error)], sequence=frame.sequence)
        except FrameError as error:     # told as well, but what comes next on this connection means nothing
            connection.send(Kind.ERROR, [type(error).__name__, str(error)], sequence=frame.sequence)
            raise
        if self.trace.is_running and frame.kind is not Kind.PROFILE:
            self.trace.note(frame.kind.name, began, session, frame.payload_bytes)

    def _change(self, connection: Connection, frame: Frame) -> None:
        size = self.values.payload_bytes(frame)
        payload = connection.payload(size)
        keys = [row[0] for row in take(frame, list)[0]] if frame.kind in PUSHES else []
        with self._changed:
            if keys and self.max_delay is not None:
                self._wait_for_the_slow(frame.session)
            if not self.values.is_done(frame):
                self._apply(frame, payload)
                if keys:
                    self._clocks.count(frame.session, keys, self._living())
            self._changed.notify_all()
        connection.send(Kind.OK, sequence=frame.sequence)

    def _apply(self, frame: Frame, payload: torch.Tensor) -> None:
        began = time.perf_counter()
        if self._journal is not None:
            self._journal.append(frame, payload)
        written = time.perf_counter()
        self.values.apply(frame, payload)
        self.figures["journal_s"] += written - began
        self.figures["apply_s"] += time.perf_counter() - written
        if self._journal is not None and self._journal.is_long(self.values.held_bytes):
            self._journal.begin_anew(self.values.snapshot())

    def _wait_for_the_slow(self, session: int) -> None:
        began, patience = time.monotonic(), config.straggler_timeout()

        def near() -> bool:
            self._check_session(session)
            return self._clocks.lead(session, self._living()) <= (self.max_delay or 0)
        if not self._changed.wait_for(near, patience):
            raise TimeoutError(f"push: {self.max_delay} pushes ahead of the slowest worker for {patience:g} s; look at "
                               f"that worker, or raise MXDL_MAX_DELAY or MXDL_STRAGGLER_TIMEOUT")
        self.figures["straggler_s"] += time.monotonic() - began

    def _await_keys(self, keys: list[Any], wait_ms: int) -> None:
        """Waits (at most so long) until keys have values; caller holds the lock."""
        def present() -> bool:
            self._check()
            return all(key in self.values.values for key in keys)
        if not self._changed.wait_for(present, min(wait_ms / 1e3, self.job.join_timeout)):
            missing = [key for key in keys if key not in self.values.values]
            raise KVStoreError(f"keys {missing[:8]} have no value; the first worker gives it by init")

    def _pull(self, connection: Connection, frame: Frame) -> None:
        keys, wait_ms = take(frame, list, int)
        if frame.payload_bytes or not all(isinstance(key, (int, str)) for key in keys):
            raise FrameError("PULL: takes a list of keys, and no payload")
        with self._changed:
            self._await_keys(keys, wait_ms)
            found = [self.values.value(key).clone() for key in keys]
        self._send(connection, frame, [[dtype_name(one.dtype) for one in found]], found)

    def _row_pull(self, connection: Connection, frame: Frame) -> None:
        size = self.values.payload_bytes(frame)
        ids = cut(connection.payload(size), self.values.arrays(frame))
        with self._changed:
            found = self.values.rows(frame, ids, connection.answer_memory)
        self._send(connection, frame, [[dtype_name(one.dtype) for one in found]], found)

    def _get_states(self, connection: Connection, frame: Frame) -> None:
        with self._changed:
            if self.values.updater is None:
                raise KVStoreError("save_optimizer_states: the servers run no optimizer; call set_optimizer first")
            skeleton, tensors = structure.flatten(self.values.updater.get_states())
            tensors = [one.clone() for one in tensors]
        self._send(connection, frame, [skeleton], tensors)

    def _profile(self, connection: Connection, frame: Frame) -> None:
        if frame.fields:
            self._send(connection, frame, [self.trace.command(take(frame, str)[0])], [])
            return
        about = {"rank": self.job.rank, "keys": len(self.values.values), "held_bytes": self.values.held_bytes,
                 **self.figures}
        self._send(connection, frame, [about], [])

    def _send(self, connection: Connection, frame: Frame, fields: list[Any], tensors: list[torch.Tensor]) -> None:
        payload, size = parts(tensors)
        self.figures[f"{frame.kind.name}.bytes_out"] += size
        connection.send(Kind.OK, fields, payload, sequence=frame.sequence)


def _listen(address: str) -> socket.socket:
    try:
        return socket.create_server((address, 0))
    except OSError as error:
        raise JobError(f"parameter server: cannot listen on {address}: {error.strerror}; choose another "
                       f"MXDL_INTERFACE") from None


def _listen_here() -> socket.socket:
    """A Unix socket without a file, for workers of this machine."""
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(f"\0mxdl-{secrets.token_hex(8)}")
    listener.listen()
    return listener


def main() -> None:
    """The process of a parameter server: serves the job that the environment describes until its workers are gone."""
    logging.basicConfig(format="%(message)s", level=logging.INFO)
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(0))     # how a launcher ends it
    server = ParameterServer(Job.from_environment(), config.max_delay())
    server.start()
    with contextlib.closing(server):
        server.wait()
    signal.signal(signal.SIGTERM, signal.SIG_IGN)       # it ends by itself, and well, when the launcher ends it too
