"""The leaders of the machines as a Gloo group of their own, apart from torch's default group."""
from __future__ import annotations

import ctypes
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import torch.distributed as dist
from torch import Tensor
from torch.distributed import ProcessGroupGloo

from .collective_network import LOOK_S, Leaders

LONGEST = timedelta(days=1)                  # Gloo's own limit: whether the others live is found out by looking


class GlooLeaders(Leaders):
    """store: where they meet.   address: that Gloo listens on."""

    def __init__(self, store: dist.Store, place: int, machines: int, address: str, look: Callable[[], None],
                 explain: Callable[[BaseException], BaseException]):
        super().__init__(place, machines, look, explain)
        options = ProcessGroupGloo._Options()
        options._devices = [ProcessGroupGloo.create_device(hostname=address)]
        options._timeout = LONGEST
        self._group = ProcessGroupGloo(store, place, machines, options)
        self._under_way = 0      # exchanges that began and have not ended well

    def start_allreduce(self, values: Tensor) -> list[Any]:
        moved = 2 * values.nbytes * (self.machines - 1) // self.machines
        self._count(moved, moved)
        return [self._started(self._group.allreduce, [values])]

    def start_gathering(self, values: Tensor, home: int) -> tuple[Tensor, list[Any]]:
        there = self.place == home
        incoming = values.new_empty((self.machines - 1) * values.numel() if there else 0)
        sends = [0] * self.machines
        receives = [values.numel() if there and place != home else 0 for place in range(self.machines)]
        if not there:
            sends[home] = values.numel()
        works = self._start_exchange(incoming, values[:0] if there else values, receives, sends)
        return incoming.view(-1, values.numel()), works

    def start_broadcast(self, values: Tensor, home: int) -> list[Any]:
        there = self.place == home
        self._count(values.nbytes * (self.machines - 1) * there, values.nbytes * (not there))
        options = dist.BroadcastOptions()
        options.rootRank = home
        return [self._started(self._group.broadcast, [values], options)]

    def _start_exchange(self, incoming: Tensor, outgoing: Tensor, receives: list[int], sends: list[int]) -> list[Any]:
        self._count(sum(sends) * outgoing.itemsize, sum(receives) * incoming.itemsize)
        return [self._started(self._group.alltoall_base, incoming, outgoing, receives, sends)]

    def finish(self, works: list[Any]) -> None:
        for work in works:
            while not self._finished(work):
                self._look()
            self._under_way -= 1

    def move(self) -> None:
        """Gloo has threads of its own."""

    def close(self) -> None:
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
