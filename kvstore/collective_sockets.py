"""The leaders of the machines over sockets of their own.

A sum is shared out: each machine adds a part of it and sends what it got to the others, so that every machine sends
and receives the values once less than twice, whatever their number.  Parts are added in the order of machines.

Every two machines have one connection, and what goes over it has an order that both know: values, then the sums of an
earlier exchange, which were added while later values were on their way.  So the link is busy in both directions from
the first value to the last sum.
"""
from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import torch
from torch import Tensor

from .array_bytes import view_bytes
from .collective_network import LOOK_S, Leaders
from .errors import KVStoreError
from .wire import Lane, Message, Wire

AHEAD_BYTES = 14 << 20          # values of later exchanges that go before the sums of one
GRAIN_BYTES = 1 << 16           # memory for other machines' parts is kept in multiples of this
T = TypeVar("T")


@dataclass(slots=True)
class Work:
    """An exchange.  left: messages that are not over."""

    left: int = 0

    def one_over(self) -> None:
        self.left -= 1


@dataclass(slots=True, eq=False)
class Sums:
    """Of an exchange whose values have their places in the lanes.

    memory: of the results, by machine.   start: bytes that were summed before these.   is_added: whether this
    machine's sums are ready.   messages: that hold them, once they have places.
    """

    memory: list[list[memoryview]]
    work: Work
    start: int
    messages: list[tuple[Lane, Message]] = field(default_factory=list)
    is_added: bool = False


class SocketLeaders(Leaders):
    """lanes: for each machine the connection to it; None for this one."""

    def __init__(self, place: int, lanes: Sequence[Lane | None], look: Callable[[], None],
                 explain: Callable[[BaseException], BaseException]):
        super().__init__(place, len(lanes), look, explain)
        self._lanes = {machine: lane for machine, lane in enumerate(lanes) if lane is not None}
        self._wire = Wire(list(self._lanes.values()))
        self._others = list(self._lanes)
        self._free: dict[int, list[Tensor]] = {}
        self._late: deque[Sums] = deque()       # those without a place in the lanes
        self._summed_bytes = 0

    # -- what is done together --------------------------------------------------------------------------------
    def start_allreduce(self, values: Tensor) -> list[Work]:
        return self.start_sum(stretches([values], values.numel(), self.machines))

    def start_sum(self, parts: Sequence[list[Tensor]], results: Sequence[list[Tensor]] | None = None,
                  update: Callable[[list[Tensor]], None] | None = None) -> list[Work]:
        """Begins to add over the machines, in place; machine m adds parts[m].

        parts: T[n] each, flat and contiguous, of the same lengths on every machine.
        results: arrays of the same lengths and dtype, which the machine that adds a part sends in place of the sums;
        parts stay as they are.   update: makes them of the sums of this machine's part, which it is given then.
        """
        work, memory = Work(), [_memory_of(part) for part in parts]
        sums = Sums(memory if results is None else [_memory_of(part) for part in results], work, self._summed_bytes)
        for machine in self._others:
            self._send(machine, memory[machine], work)
        if parts[self.place]:
            self._take_values(sums, parts[self.place], update)
        work.left += 1      # until the sums have their places
        self._late.append(sums)
        self._summed_bytes += sum(len(one) for part in memory for one in part)
        while self._late and self._late[0].start + AHEAD_BYTES < self._summed_bytes:
            self._place_sums(self._late.popleft())
        return [work]

    def _take_values(self, sums: Sums, mine: list[Tensor], update: Callable[[list[Tensor]], None] | None) -> None:
        """Receives the others' values of this machine's part, and adds (and updates) when all are there."""
        waiting, num_bytes = Work(), sum(map(len, sums.memory[self.place]))
        theirs = [self._memory(num_bytes) for _ in self._others]

        def arrived() -> None:
            waiting.left -= 1
            if not waiting.left:
                values = [one[:num_bytes].view(mine[0].dtype) for one in theirs]
                if update is None:
                    self._add(mine, values)
                else:
                    update(self._add_to_first(mine, values))
                for memory in theirs:
                    self._free[memory.numel()].append(memory)
                sums.is_added = True
                for lane, message in sums.messages:
                    self._write(lane.release, message)
        for machine, memory in zip(self._others, theirs, strict=True):
            self._receive(machine, [view_bytes(memory[:num_bytes])], waiting, arrived)

    def _place_sums(self, sums: Sums) -> None:
        """Gives the sums, ready or not, the next places in the lanes.  When that happens follows from the calls alone,
        so that it is the same on every machine.
        """
        for machine in self._others:
            message = self._send(machine, sums.memory[self.place], sums.work, not sums.is_added)
            if message is not None:
                sums.messages.append((self._lanes[machine], message))
            self._receive(machine, sums.memory[machine], sums.work)
        sums.work.one_over()

    def start_gathering(self, values: Tensor, home: int) -> tuple[Tensor, list[Work]]:
        work = Work()
        if self.place != home:
            self._send(home, _memory_of([values]), work)
            return values.new_empty((0, values.numel())), [work]
        incoming = values.new_empty((self.machines - 1, values.numel()))
        for machine, row in zip(self._others, incoming, strict=True):
            self._receive(machine, _memory_of([row]), work)
        return incoming, [work]

    def start_broadcast(self, values: Tensor, home: int) -> list[Work]:
        work = Work()
        if self.place != home:
            self._receive(home, _memory_of([values]), work)
        else:
            for machine in self._others:
                self._send(machine, _memory_of([values]), work)
        return [work]

    def _start_exchange(self, incoming: Tensor, outgoing: Tensor, receives: list[int], sends: list[int]) -> list[Work]:
        work = Work()
        for machine, (taken, given) in enumerate(zip(incoming.split(receives), outgoing.split(sends), strict=True)):
            self._send(machine, _memory_of([given]), work)
            self._receive(machine, _memory_of([taken]), work)
        return [work]

    def finish(self, works: list[Work]) -> None:
        next_look = time.monotonic() + LOOK_S
        for work in works:
            while any(sums.work is work for sums in self._late):
                self._place_sums(self._late.popleft())
            while work.left:
                self._move(LOOK_S)
                if work.left and time.monotonic() > next_look:
                    self._look()
                    next_look = time.monotonic() + LOOK_S

    def no_more(self) -> None:
        """Tells that no sum begins for a while: those that began are not put behind its values."""
        while self._late:
            self._place_sums(self._late.popleft())

    def move(self) -> None:
        self._move(0)

    def close(self) -> None:
        self._wire.close()

    # -- messages ---------------------------------------------------------------------------------------------
    def _move(self, seconds: float) -> None:
        try:
            self._wire.move(seconds)
        except KVStoreError:
            self._wire.close()      # the other leader, which waits for something else, gets an error too
            raise
        except OSError as error:
            raise self._explain(error) from error

    def _send(self, machine: int, memory: list[memoryview], work: Work, is_held: bool = False) -> Message | None:
        size = sum(map(len, memory))
        if not size:
            return None
        work.left += 1
        self._count(size, 0)
        return self._write(self._lanes[machine].send, memory, work.one_over, is_held)

    def _write(self, write: Callable[..., T], *arguments: Any) -> T:
        try:
            return write(*arguments)
        except OSError as error:
            raise self._explain(error) from error

    def _receive(self, machine: int, memory: list[memoryview], work: Work,
                 then: Callable[[], None] | None = None) -> None:
        if size := sum(map(len, memory)):
            work.left += 1
            self._count(0, size)
            self._lanes[machine].receive(memory, work.one_over if then is None else then)

    # -- sums -------------------------------------------------------------------------------------------------
    def _memory(self, num_bytes: int) -> Tensor:
        """Memory for others' values.  out: uint8[at least num_bytes]"""
        size = -(-num_bytes // GRAIN_BYTES) * GRAIN_BYTES
        free = self._free.setdefault(size, [])
        return free.pop() if free else torch.empty(size, dtype=torch.uint8)

    def _add(self, mine: list[Tensor], theirs: list[Tensor]) -> None:
        """mine = the sum over machines, added in their order.

        mine: T[n] each.   theirs: T[sum of n] each, of the other machines in order.
        """
        total, *later = theirs
        sizes = [one.numel() for one in mine]
        before = max(0, self.place - 1)
        for one in later[:before]:
            total.add_(one)
        for one in (total, *later[before:]):
            if len(mine) == 1:
                mine[0].add_(one)
            else:
                torch._foreach_add_(mine, one.split(sizes))

    def _add_to_first(self, mine: list[Tensor], theirs: list[Tensor]) -> list[Tensor]:
        """The sum over machines, added in their order, in the memory of theirs[0].  mine, theirs: as in `_add`"""
        total, *later = theirs
        found = list(total.split([one.numel() for one in mine]))
        before = max(0, self.place - 1)
        for one in later[:before]:
            total.add_(one)
        torch._foreach_add_(found, mine)
        for one in later[before:]:
            total.add_(one)
        return found


def stretches(arrays: Sequence[Tensor], length: int, count: int) -> list[list[Tensor]]:
    """Arrays cut into `count` stretches of as many elements, perhaps fewer in the last ones.

    arrays: T[n] each, together `length` long.   out: for each stretch the parts of arrays that it has, T[n] each
    """
    found: list[list[Tensor]] = [[] for _ in range(count)]
    share, at = max(1, -(-length // count)), 0
    for array in arrays:
        start = 0
        while start < array.numel():
            take = min(array.numel() - start, share - at % share)
            found[at // share].append(array[start:start + take])
            start, at = start + take, at + take
    return found


def _memory_of(arrays: Sequence[Tensor]) -> list[memoryview]:
    """arrays: flat and contiguous"""
    return [view_bytes(one) for one in arrays]
