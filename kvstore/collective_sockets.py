"""The leaders of the machines over sockets of their own.

A sum is shared out: each machine adds a part of it and sends what it got to the others, so that every machine sends
and receives the values once less than twice, whatever their number.  Parts are added in the order of machines.
"""
from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from .collective_network import LOOK_S, Leaders
from .errors import KVStoreError
from .wire import Lane, Wire

LANES = 2
VALUES, SUMS = range(LANES)     # sums have connections of their own, so that they never wait behind later values
GRAIN_BYTES = 1 << 16           # memory for other machines' parts is kept in multiples of this


@dataclass(slots=True)
class Work:
    """An exchange.  left: messages that are not over."""

    left: int = 0

    def one_over(self) -> None:
        self.left -= 1


class SocketLeaders(Leaders):
    """lanes: for each machine its `LANES` connections; none for this one."""

    def __init__(self, place: int, lanes: Sequence[Sequence[Lane]], look: Callable[[], None],
                 explain: Callable[[BaseException], BaseException]):
        super().__init__(place, len(lanes), look, explain)
        self._lanes = lanes
        self._wire = Wire([lane for some in lanes for lane in some])
        self._others = [machine for machine in range(self.machines) if machine != place]
        self._free: dict[int, list[Tensor]] = {}

    # -- what is done together --------------------------------------------------------------------------------
    def start_allreduce(self, values: Tensor) -> list[Work]:
        return self.start_sum([[part] if part.numel() else [] for part in _shares(values, self.machines)])

    def start_sum(self, parts: Sequence[list[Tensor]]) -> list[Work]:
        """Begins to add over the machines, in place; machine m adds parts[m].

        parts: T[n] each, flat and contiguous, of the same lengths on every machine.
        """
        work, mine = Work(), parts[self.place]
        for machine in self._others:
            self._send(machine, VALUES, parts[machine], work)
        if mine:
            work.left += 1      # until the sums are on their way
            size = sum(one.numel() for one in mine)
            theirs = [self._memory(mine[0], size) for _ in self._others]
            waiting = Work()

            def arrived() -> None:
                waiting.left -= 1
                if not waiting.left:
                    self._add(mine, [one[:size * mine[0].itemsize].view(mine[0].dtype) for one in theirs])
                    for machine, memory in zip(self._others, theirs, strict=True):
                        self._send(machine, SUMS, mine, work)
                        self._free[memory.numel()].append(memory)
                    work.left -= 1
            for machine, memory in zip(self._others, theirs, strict=True):
                self._receive(machine, VALUES, [memory[:size * mine[0].itemsize]], waiting, arrived)
        for machine in self._others:
            self._receive(machine, SUMS, parts[machine], work)
        return [work]

    def start_gathering(self, values: Tensor, home: int) -> tuple[Tensor, list[Work]]:
        work = Work()
        if self.place != home:
            self._send(home, VALUES, [values], work)
            return values.new_empty((0, values.numel())), [work]
        incoming = values.new_empty((self.machines - 1, values.numel()))
        for machine, row in zip(self._others, incoming, strict=True):
            self._receive(machine, VALUES, [row], work)
        return incoming, [work]

    def start_broadcast(self, values: Tensor, home: int) -> list[Work]:
        work = Work()
        if self.place != home:
            self._receive(home, VALUES, [values], work)
        else:
            for machine in self._others:
                self._send(machine, VALUES, [values], work)
        return [work]

    def _start_exchange(self, incoming: Tensor, outgoing: Tensor, receives: list[int], sends: list[int]) -> list[Work]:
        work = Work()
        for machine, (taken, given) in enumerate(zip(incoming.split(receives), outgoing.split(sends), strict=True)):
            self._send(machine, VALUES, [given], work)
            self._receive(machine, VALUES, [taken], work)
        return [work]

    def finish(self, works: list[Work]) -> None:
        next_look = time.monotonic() + LOOK_S
        for work in works:
            while work.left:
                self._move(LOOK_S)
                if work.left and time.monotonic() > next_look:
                    self._look()
                    next_look = time.monotonic() + LOOK_S

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

    def _send(self, machine: int, lane: int, arrays: list[Tensor], work: Work) -> None:
        if size := sum(one.nbytes for one in arrays):
            work.left += 1
            self._count(size, 0)
            try:
                self._lanes[machine][lane].send(arrays, work.one_over)
            except OSError as error:
                raise self._explain(error) from error

    def _receive(self, machine: int, lane: int, arrays: list[Tensor], work: Work,
                 then: Callable[[], None] | None = None) -> None:
        if size := sum(one.nbytes for one in arrays):
            work.left += 1
            self._count(0, size)
            self._lanes[machine][lane].receive(arrays, work.one_over if then is None else then)

    # -- sums -------------------------------------------------------------------------------------------------
    def _memory(self, like: Tensor, length: int) -> Tensor:
        """Memory for so many elements.  like: T[...]; out: uint8[at least as many bytes]"""
        size = -(-length * like.itemsize // GRAIN_BYTES) * GRAIN_BYTES
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


def _shares(values: Tensor, machines: int) -> list[Tensor]:
    """A stretch of the values for each machine.  values: T[n]"""
    share = -(-values.numel() // machines)
    return [values[at * share:(at + 1) * share] for at in range(machines)]
