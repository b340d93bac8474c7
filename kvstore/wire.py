"""Messages between the leaders of machines: raw arrays over sockets that each proved to belong to the job.

One thread, the leader's, moves everything when it waits; the kernel's buffers keep the link busy meanwhile.  A message
is its number and length, then the arrays as they lie in memory.  A receiver tells the kernel how much it waits for
(SO_RCVLOWAT), so that it is woken a few times a message and not for every packet.
"""
from __future__ import annotations

import select
import socket
import struct
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from .connection import MAX_PARTS, advance
from .errors import KVStoreError

HEADER = struct.Struct("<QQ")       # number of the message on its lane, bytes of its arrays
WAKE_BYTES = 1 << 20                # the most that a receiver lets wait in the kernel
READ = select.POLLIN | select.POLLHUP | select.POLLERR
WRITE = select.POLLOUT | select.POLLHUP | select.POLLERR


@dataclass(slots=True)
class Message:
    """On its way.  pieces: of memory, the header's first.   first: of them that is not finished.   left: bytes.

    header: what it has to be.   then: called when the message is over.   is_held: its arrays are not ready to be sent.
    """

    pieces: list[memoryview]
    left: int
    header: bytes
    then: Callable[[], None]
    first: int = 0
    is_held: bool = False

    def advance(self, done: int) -> bool:
        """So many bytes more are over.  Whether all are."""
        self.first = advance(self.pieces, self.first, done)
        self.left -= done
        return not self.left


class Lane:
    """One connection: messages each way, each in order.   peer: for messages of errors."""

    def __init__(self, sock: socket.socket, peer: str):
        sock.setblocking(False)
        self.socket, self.peer = sock, peer
        self.outgoing: deque[Message] = deque()
        self.incoming: deque[Message] = deque()
        self.watched = 0        # events that `Wire` waits for
        self._sent = self._expected = 0
        self._head = bytearray(HEADER.size)     # of the message that comes
        self._low_water = 1

    def send(self, memory: list[memoryview], then: Callable[[], None], is_held: bool = False) -> Message:
        """memory: uint8[n] each; it must not change before `then` is called.

        is_held: it changes until `release`; what is sent later waits for it.
        """
        size = sum(map(len, memory))
        header = HEADER.pack(self._sent, size)
        message = Message([memoryview(header), *memory], size + HEADER.size, header, then, is_held=is_held)
        self.outgoing.append(message)
        self._sent += 1
        if len(self.outgoing) == 1:
            self.write()
        return message

    def release(self, message: Message) -> None:
        """The arrays of a held message are ready."""
        message.is_held = False
        if self.outgoing[0] is message:
            self.write()

    def receive(self, memory: list[memoryview], then: Callable[[], None]) -> None:
        """memory: uint8[n] each, as long together as the message is; `then` is called when it is filled."""
        size = sum(map(len, memory))
        header = HEADER.pack(self._expected, size)
        self.incoming.append(Message([memoryview(self._head), *memory], size + HEADER.size, header, then))
        self._expected += 1

    def write(self) -> None:
        """Hands to the kernel what it takes now."""
        while self.outgoing and not self.outgoing[0].is_held:
            message = self.outgoing[0]
            try:
                done = self.socket.sendmsg(message.pieces[message.first:message.first + MAX_PARTS])
            except BlockingIOError:
                return
            if message.advance(done):
                self.outgoing.popleft()
                message.then()

    def read(self) -> None:
        """Takes what the kernel has of the next message."""
        message = self.incoming[0]
        try:
            done = self.socket.recvmsg_into(message.pieces[message.first:message.first + MAX_PARTS])[0]
        except BlockingIOError:
            return
        if not done:
            raise ConnectionResetError(f"{self.peer} closed its connection")
        is_over = message.advance(done)
        if message.first or is_over:
            self._check(message)
        if is_over:
            self.incoming.popleft()
            message.then()

    def _check(self, message: Message) -> None:
        if self._head != message.header:
            number, size = HEADER.unpack(self._head)
            wanted, length = HEADER.unpack(message.header)
            raise KVStoreError(f"{self.peer} sent message {number} of {size} bytes; expected was {wanted} of {length}: "
                               f"call the store alike in every worker")

    def wait_for_more(self) -> None:
        """Lets the kernel wake this process only when much of the next message has come, or its end."""
        wanted = min(self.incoming[0].left, WAKE_BYTES)
        if wanted != self._low_water:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, wanted)
            self._low_water = wanted

    @property
    def events(self) -> int:
        is_sending = self.outgoing and not self.outgoing[0].is_held
        return (select.POLLIN if self.incoming else 0) | (select.POLLOUT if is_sending else 0)


class Wire:
    """The lanes of one leader."""

    def __init__(self, lanes: list[Lane]):
        self._lanes = {lane.socket.fileno(): lane for lane in lanes}
        self._poll = select.poll()

    def move(self, seconds: float = 0) -> bool:
        """Waits so long for something to happen, and carries it out.  False: nothing happened.

        Raises OSError when a connection is gone, KVStoreError when the leaders disagree on what comes.
        """
        for number, lane in self._lanes.items():
            if lane.incoming:
                lane.wait_for_more()
            self._watch(number, lane)
        found = self._poll.poll(1e3 * seconds)
        for number, events in found:
            lane = self._lanes[number]
            if events & READ and lane.incoming:
                lane.read()
            if events & WRITE and lane.outgoing:
                lane.write()
        return bool(found)

    def _watch(self, number: int, lane: Lane) -> None:
        events = lane.events
        if events and events != lane.watched:
            self._poll.register(number, events)
        elif not events and lane.watched:
            self._poll.unregister(number)
        lane.watched = events

    def close(self) -> None:
        for lane in self._lanes.values():
            lane.socket.close()
