"""What the leaders of the machines, one a machine, do together.  `collective_sockets.py` does it over sockets of our
own, `collective_gloo.py` over torch's Gloo (`MXDL_NETWORK`).

Every leader makes the same calls in the same order.
"""
from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

LOOK_S = 0.25                                # how often a waiting leader looks whether the others live


class Leaders(ABC):
    """Exchanges between machines.

    place: this machine's number of `machines`.   look: raises when a worker is dead.   explain: the error to raise
    after the network failed with another.
    sent_bytes, received_bytes: of values, in this leader; headers are not counted.
    """

    def __init__(self, place: int, machines: int, look: Callable[[], None],
                 explain: Callable[[BaseException], BaseException]):
        self.place, self.machines, self._look, self._explain = place, machines, look, explain
        self.sent_bytes = self.received_bytes = 0

    @abstractmethod
    def start_allreduce(self, values: Tensor) -> list[Any]:
        """Begins to add `values` over the machines, in place; `finish` what it returns before reading them."""

    @abstractmethod
    def start_gathering(self, values: Tensor, home: int) -> tuple[Tensor, list[Any]]:
        """Begins to bring everybody's `values` to the leader of machine `home`.

        values: T[n].   First of what is returned, there: T[machines - 1, n], in the order of the other machines.
        """

    @abstractmethod
    def start_broadcast(self, values: Tensor, home: int) -> list[Any]:
        """Begins to overwrite `values` by those of machine `home`'s leader."""

    @abstractmethod
    def _start_exchange(self, incoming: Tensor, outgoing: Tensor, receives: list[int], sends: list[int]) -> list[Any]:
        """Begins to send each machine its stretch of `outgoing` and to take its stretch of `incoming`.

        sends, receives: elements by machine; 0 for this one.
        """

    @abstractmethod
    def finish(self, works: list[Any]) -> None:
        """Waits for exchanges.  Raises DeadWorkerError and its like when they cannot be completed."""

    @abstractmethod
    def move(self) -> None:
        """Carries on what is under way, without waiting, where that needs this thread."""

    @abstractmethod
    def close(self) -> None:
        """Closes the connections: who still waits for this leader gets an error."""

    def exchange(self, values: Tensor, lengths: list[int]) -> list[Tensor]:
        """Everybody's bytes, in the order of machines.  values: uint8[lengths[place]]"""
        return self.swap([values] * self.machines, lengths)

    def swap(self, parts: list[Tensor], lengths: list[int]) -> list[Tensor]:
        """Sends parts[m] to machine m; what came from each, in the order of machines.

        parts: T[...] each; the one for this machine is given back.   lengths: elements that each machine sends here.
        """
        sends = [part.numel() * (place != self.place) for place, part in enumerate(parts)]
        receives = [length * (place != self.place) for place, length in enumerate(lengths)]
        incoming = parts[0].new_empty(sum(receives))
        outgoing = torch.cat([part for place, part in enumerate(parts) if place != self.place])
        self.finish(self._start_exchange(incoming, outgoing, receives, sends))
        found = list(incoming.split(receives))
        found[self.place] = parts[self.place]
        return found

    def gather(self, numbers: Tensor) -> list[Tensor]:
        """Everybody's numbers, in the order of machines.  numbers: int64[n], the same n everywhere"""
        flat = numbers.reshape(-1)
        return [one.view(numbers.shape) for one in self.exchange(flat, [flat.numel()] * self.machines)]

    def _count(self, sent: int, received: int) -> None:
        self.sent_bytes += sent
        self.received_bytes += received
