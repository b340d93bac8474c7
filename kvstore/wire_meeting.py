"""The leaders of machines connect to each other; every connection proves the job's token."""
from __future__ import annotations

import logging
import queue
import socket
import threading
import time
from collections.abc import Callable
from typing import Any

import torch.distributed as dist

from .connection import Connection, admit, introduce
from .errors import JobFailedError, JoinRefusedError, KVStoreError
from .wire import Lane

log = logging.getLogger("mxdl.kvstore")

LOOK_S = 0.25           # how often a leader that waits for others looks whether they live
CONNECT_S = HANDSHAKE_S = 20.0      # leaders on loaded machines take seconds; nobody tries again
MAX_STRANGERS = 64      # connections that have not said who they are


class Wires:
    """One leader's part: it connects to those of lower number and admits those of higher number.

    store: where the leaders tell their addresses.   group: name of what forms; a connection to another is refused.
    place: this machine's number of `machines`.   look: raises when a worker is dead.   seconds: to wait for all.
    """

    def __init__(self, store: dist.Store, group: str, place: int, machines: int, address: str, token: str,
                 look: Callable[[], None], seconds: float):
        self._group, self._place, self._machines = group, place, machines
        self._address, self._token, self._look = address, token, look
        self._end = time.monotonic() + seconds
        self._came: queue.Queue[tuple[int, Connection]] = queue.Queue()
        self._strangers = threading.Semaphore(MAX_STRANGERS)
        self._store = store

    def lanes(self) -> list[Lane | None]:
        """The connection to each machine; None for this one.  Raises OSError, JoinRefusedError, what `look` raises."""
        found: dict[int, Connection] = {}
        try:
            with socket.create_server((self._address, 0), backlog=MAX_STRANGERS) as listener:
                threading.Thread(target=self._accept, args=[listener], name="mxdl leaders", daemon=True).start()
                try:
                    self._store.set(f"leader/{self._place}", f"{self._address}:{listener.getsockname()[1]}")
                    for machine in range(self._place):
                        found[machine] = self._connected(machine)
                    while len(found) < self._machines - 1:
                        self._take(found)
                finally:
                    listener.shutdown(socket.SHUT_RDWR)     # ends the thread's accept
        except BaseException:
            for connection in found.values():
                connection.close()
            raise
        return [Lane(found[machine].socket, f"the leader of machine {machine}") if machine in found else None
                for machine in range(self._machines)]

    def _connected(self, machine: int) -> Connection:
        host, _, port = self._store.get(f"leader/{machine}").decode().rpartition(":")
        connection = Connection(socket.create_connection((host, int(port)), timeout=CONNECT_S), self._look)
        try:
            introduce(connection, self._token, {"group": self._group, "machine": self._place}, HANDSHAKE_S)
        except BaseException:
            connection.close()
            raise
        return connection

    def _take(self, found: dict[int, Connection]) -> None:
        """Waits a while for a leader to come."""
        try:
            machine, connection = self._came.get(timeout=LOOK_S)
        except queue.Empty:
            self._look()
            if time.monotonic() > self._end:
                raise TimeoutError(f"machine {self._place}: {len(found)} of {self._machines - 1} connections between "
                                   f"machines came in time; can they reach {self._address}?") from None
            return
        if machine in found:
            connection.close()
        else:
            found[machine] = connection

    # -- who comes --------------------------------------------------------------------------------------------
    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                sock, _ = listener.accept()
            except OSError:         # closed: all have come
                return
            if self._strangers.acquire(blocking=False):
                threading.Thread(target=self._admit, args=[sock], name="mxdl leaders", daemon=True).start()
            else:
                log.warning("machine %d: closed a connection: %d others have not said who they are", self._place,
                            MAX_STRANGERS)
                sock.close()

    def _admit(self, sock: socket.socket) -> None:
        connection = Connection(sock, lambda: None)
        peer = connection.peer
        try:
            about = admit(connection, self._token, self._check, HANDSHAKE_S)
            self._came.put((about["machine"], connection))
        except (OSError, JobFailedError, KVStoreError, JoinRefusedError) as error:
            log.warning("machine %d: closed the connection of %s: %s", self._place, peer, error)
            connection.close()
        finally:
            self._strangers.release()

    def _check(self, about: dict[str, Any]) -> None:
        """Raises JoinRefusedError for who is no leader of this group that has to come."""
        machine = about.get("machine")
        expected = type(machine) is int and self._place < machine < self._machines
        if about.get("group") != self._group or not expected:
            raise JoinRefusedError(f"machine {self._place} waits for the others' connections to {self._group}; got "
                                   f"{about!r:.200}")
