"""Blocks of shared memory between machines: the leader sends them off and tells the others when they are back."""
from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor

from .bucket import NOBODY, Piece
from .collective_network import Leaders
from .reduction import add
from .shared_memory import ARRIVED, REDUCED, Board


class Place(NamedTuple):
    """Where a worker is: the machine's number, and the worker's number on it."""

    machine: int
    worker: int


@dataclass
class Exchange:
    """Blocks under way between machines.  then: finishes what arrived."""

    end: int
    works: list[Any]
    then: Callable[[], None] = lambda: None


Start = Callable[[Leaders, int, Piece, Tensor], Exchange]


class Exchanges:
    """board: the machine's.   places: of every worker of the job.   number: of this machine.   leaders: on the leader.

    group: how many blocks go together at most.
    """

    def __init__(self, board: Board, places: list[Place], number: int, leaders: Leaders | None, group: int):
        self._board, self._places, self._number, self._leaders, self._group = board, places, number, leaders, group
        self._sent = 0                      # the first block that is not exchanged yet
        self._under_way: list[Exchange] = []

    def begin(self, block: int) -> None:
        """What comes next begins with this block."""
        self._sent = block

    def take(self, block: int, position: int, pieces: list[Piece], start: Start) -> None:
        """On the leader: sends off the blocks up to this one, which holds pieces[position], when they are enough."""
        if self._leaders is None:
            return
        if not self._is_last(block, position, pieces):
            return
        piece = pieces[position]
        dtype = piece.sources[0].dtype
        values = self._board.result(self._sent, block - self._sent + 1).view(dtype)
        length = (block - self._sent) * (self._board.block_bytes // dtype.itemsize) + piece.length
        self._under_way.append(start(self._leaders, block, piece, values[:length]))
        self._sent = block + 1

    def _is_last(self, block: int, position: int, pieces: list[Piece]) -> bool:
        """Whether the blocks up to this one go out together: they must lie in one stretch, full but for the last."""
        piece = pieces[position]
        return (position == len(pieces) - 1 or (block + 1) % self._group == 0
                or pieces[position + 1].owner != piece.owner
                or piece.length < self._board.block_bytes // piece.sources[0].itemsize)

    def settle(self, block: int) -> None:
        """Returns when this block has come back: on the leader it is finished, and told, here."""
        if self._leaders is None:
            self._board.wait(ARRIVED, block + 1, 0)
            return
        while self._board.told(ARRIVED, 0) <= block:
            exchange = self._under_way.pop(0)
            self._leaders.finish(exchange.works)
            exchange.then()
            self._board.tell(ARRIVED, exchange.end)

    # -- what is sent -----------------------------------------------------------------------------------------
    def sum(self, leaders: Leaders, block: int, piece: Piece, values: Tensor) -> Exchange:
        """Begins to add the machines' sums, for all or for the owner."""
        self._board.wait_all(REDUCED, block + 1)
        if piece.owner == NOBODY:
            return Exchange(block + 1, leaders.start_allreduce(values))
        home = self._places[piece.owner].machine
        others, works = leaders.start_gathering(values, home)
        if home != self._number:
            return Exchange(block + 1, works)
        return Exchange(block + 1, works, lambda: self._add_machines(values, list(others)))

    def _add_machines(self, values: Tensor, others: list[Tensor]) -> None:
        """Adds the other machines' sums to this one's, in the order of machines."""
        parts = [*others[:self._number], values, *others[self._number:]]
        values.copy_(add(parts, torch.empty_like(values)))

    def spread(self, leaders: Leaders, block: int, piece: Piece, values: Tensor) -> Exchange:
        """Begins to hand out what the owner has."""
        home = self._places[piece.owner]
        if home.machine == self._number and home.worker != self._board.rank:
            self._board.wait(REDUCED, block + 1, home.worker)
        return Exchange(block + 1, leaders.start_broadcast(values, home.machine))
