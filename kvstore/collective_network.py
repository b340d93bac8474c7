"""The leaders of the machines, one a machine: a Gloo group of their own, apart from torch's default group."""
from __future__ import annotations

import ctypes
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed import ProcessGroupGloo

LOOK_S = 0.25                                # how often a waiting leader looks whether the others live
LONGEST = timedelta(days=1)                  # Gloo's own limit: whether the others live is found out by looking


class Leaders:
    """Exchanges between machines.

    store: where they meet.   place: this machine's number of `machines`.   address: that Gloo listens on.
    look: raises when a worker is dead.   explain: the error to raise after the network failed with another.
    sent_bytes, received_bytes: of values, in this leader; headers of TCP are not counted.
    """

    def __init__(self, store: dist.Store, place: int, machines: int, address: str, look: Callable[[], None],
                 explain: Callable[[BaseException], BaseException]):
        options = ProcessGroupGloo._Options()
        options._devices = [ProcessGroupGloo.create_device(hostname=address)]
        options._timeout = LONGEST
        self.place, self.machines, self._look, self._explain = place, machines, look, explain
        self._group = ProcessGroupGloo(store, place, machines, options)
        self.sent_bytes = self.received_bytes = 0
        self._under_way = 0      # exchanges that began and have not ended well

    def start_allreduce(self, values: Tensor) -> list[Any]:
        """Begins to add `values` over the machines, in place; `finish` what it returns before reading them."""
        moved = 2 * values.nbytes * (self.machines - 1) // self.machines
        self._count(moved, moved)
        return [self._started(self._group.allreduce, [values])]

    def start_gathering(self, values: Tensor, home: int) -> tuple[Tensor, list[Any]]:
        """Begins to bring everybody's `values` to the leader of machine `home`.

        values: T[n].   First of what is returned, there: T[machines - 1, n], in the order of the other machines.
        """
        there = self.place == home
        incoming = values.new_empty((self.machines - 1) * values.numel() if there else 0)
        sends = [0] * self.machines
        receives = [values.numel() if there and place != home else 0 for place in range(self.machines)]
        if not there:
            sends[home] = values.numel()
        self._count(sum(sends) * values.itemsize, sum(receives) * values.itemsize)
        outgoing = values[:0] if there else values
        work = self._started(self._group.alltoall_base, incoming, outgoing, receives, sends)
        return incoming.view(-1, values.numel()), [work]

    def start_broadcast(self, values: Tensor, home: int) -> list[Any]:
        """Begins to overwrite `values` by those of machine `home`'s leader."""
        there = self.place == home
        self._count(values.nbytes * (self.machines - 1) * there, values.nbytes * (not there))
        options = dist.BroadcastOptions()
        options.rootRank = home
        return [self._started(self._group.broadcast, [values], options)]

    def exchange(self, values: Tensor, lengths: list[int]) -> list[Tensor]:
        """Everybody's bytes, in the order of machines.  values: uint8[lengths[place]]"""
        sends = [values.numel() * (place != self.place) for place in range(self.machines)]
        receives = [length * (place != self.place) for place, length in enumerate(lengths)]
        incoming = values.new_empty(sum(receives))
        self._count(sum(sends), sum(receives))
        outgoing = values.repeat(self.machines - 1)
        self.finish([self._started(self._group.alltoall_base, incoming, outgoing, receives, sends)])
        parts = list(incoming.split(receives))
        parts[self.place] = values
        return parts

    def swap(self, parts: list[Tensor], lengths: list[int]) -> list[Tensor]:
        """Sends parts[m] to machine m; what came from each, in the order of machines.

        parts: uint8[...] each; the one for this machine is given back.   lengths: bytes that each machine sends here.
        """
        sends = [part.numel() * (place != self.place) for place, part in enumerate(parts)]
        receives = [length * (place != self.place) for place, length in enumerate(lengths)]
        incoming = parts[0].new_empty(sum(receives))
        outgoing = torch.cat([part for place, part in enumerate(parts) if place != self.place])
        self._count(sum(sends), sum(receives))
        self.finish([self._started(self._group.alltoall_base, incoming, outgoing, receives, sends)])
        found = list(incoming.split(receives))
        found[self.place] = parts[self.place]
        return found

    def finish(self, works: list[Any]) -> None:
        """Waits for exchanges.  Raises DeadWorkerError and its like when they cannot be completed."""
        for work in works:
            while not self._finished(work):
                self._look()
            self._under_way -= 1

    def gather(self, numbers: Tensor) -> list[Tensor]:
        """Everybody's numbers, in the order of machines.  numbers: int64[n], the same n everywhere"""
        others = (self.machines - 1) * numbers.nbytes
        self._count(others, others)
        everybody = [torch.empty_like(numbers) for _ in range(self.machines)]
        self.finish([self._started(self._group.allgather, [everybody], [numbers])])
        return everybody

    def close(self) -> None:
        """Closes the connections: who still waits for this leader gets an error."""
        if self._under_way:
            # the end of a group waits for its exchanges, and one with a dead leader never ends: so this one stays
            self._group.abort()
            ctypes.pythonapi.Py_IncRef(ctypes.py_object(self._group))
        del self._group

    def _started(self, exchange: Callable[..., Any], *arguments: Any) -> Any:
        self._under_way += 1
        try:
            return exchange(*arguments)
        except RuntimeError as error:
            raise self._explain(error) from error

    def _finished(self, work: Any) -> bool:
        try:
            work.wait(timedelta(seconds=LOOK_S))
            return True
        except RuntimeError:
            if not work.is_completed():
                return False
        try:
            work.wait()     # it has ended since the time was over, perhaps well
        except RuntimeError as error:
            raise self._explain(error) from error
        return True

    def _count(self, sent: int, received: int) -> None:
        self.sent_bytes += sent
        self.received_bytes += received
