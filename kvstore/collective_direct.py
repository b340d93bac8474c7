"""Sums over machines by their leaders, and updates by them: from the arrays to the sockets and back, without shared
memory between.
"""
from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from .bucket import Piece, read
from .collective_led import Mates, under_way
from .collective_sockets import SocketLeaders, Work, stretches
from .keys import Key
from .shared_memory import Board
from .stripes import Stripe, StripePiece

#: updates weights: names of the stripes, sums of their gradients, weights; T[n] each
Update = Callable[[list[tuple[Key, Stripe]], list[Tensor], list[Tensor]], None]
LEAST_BYTES = 1 << 14       # arrays of a piece that are smaller on average are put together first


class Sum(NamedTuple):
    """A piece under way.

    arrays: T[n] each, summed in place, or updated.   is_staged: they are copies of the sources.
    """

    works: list[Work]
    block: int
    piece: Piece
    arrays: list[Tensor]
    is_staged: bool


class DirectSums:
    """A leader's part, where the leaders talk over sockets.  board: of its machine; a piece fits one of its blocks."""

    def __init__(self, leaders: SocketLeaders, board: Board):
        self._leaders = leaders
        self._mates = Mates(board) if board.size > 1 else None
        self._under_way, self._piece_bytes = under_way(board), board.block_bytes
        self._staging: list[Tensor] = []
        self._next = 0      # the number of the next piece: machines add in turn

    def allreduce(self, pieces: list[Piece], first: int) -> None:
        """Writes the sums of each piece's sources into its targets.  first: the block of the first piece."""
        is_shared = len(pieces) < 2 * self._leaders.machines
        self._flow(pieces, first, lambda block, piece: self._start(block, piece, is_shared))

    def update(self, pieces: list[StripePiece], first: int, update: Update) -> None:
        """Updates the weights of each piece's stripes by the sums of their gradients."""
        self._flow(pieces, first, lambda block, piece: self._start_update(block, piece, update))

    def _flow(self, pieces: Sequence[Piece], first: int, start: Callable[[int, Any], Sum]) -> None:
        sums: deque[Sum] = deque()
        for block, piece in enumerate(pieces, first):
            while len(sums) == self._under_way or sums and not any(work.left for work in sums[0].works):
                self._finish(sums.popleft())
            sums.append(start(block, piece))
            self._leaders.move()
        self._leaders.no_more()
        for one in sums:
            self._finish(one)

    def _start(self, block: int, piece: Piece, is_shared: bool) -> Sum:
        """Begins to sum a piece.  is_shared: every machine adds a stretch of it, else one machine all of it.

        Which machine adds what depends on nothing that is this machine's own, such as how its arrays lie in memory.
        """
        self._next += 1
        is_small = piece.length * piece.sources[0].itemsize < LEAST_BYTES * len(piece.sources)
        is_staged = is_small or not piece.is_in_place
        arrays = [self._stage(piece)] if is_staged else piece.sources
        if self._mates is not None:
            self._mates.add(block, piece, arrays)
        machines = self._leaders.machines
        if is_shared:
            parts = stretches(arrays, piece.length, machines)
        else:
            parts = [arrays if machine == self._next % machines else [] for machine in range(machines)]
        return Sum(self._leaders.start_sum(parts), block, piece, arrays, is_staged)

    def _start_update(self, block: int, piece: StripePiece, update: Update) -> Sum:
        """Begins to sum the gradients of a piece, each stripe where it is updated then."""
        self._next += 1
        gradients: Sequence[Tensor] = piece.sources
        if self._mates is not None:
            staged = self._stage(piece)
            self._mates.add(block, piece, [staged])
            gradients = piece.split(staged)
        weights, place, machines = [one for one, in piece.targets], self._leaders.place, self._leaders.machines
        results = piece.of_machines(weights, machines)
        mine = [name for name in piece.names if name[1].machine == place]
        works = self._leaders.start_sum(piece.of_machines(gradients, machines), results,
                                        lambda sums: update(mine, sums, results[place]))
        return Sum(works, block, piece, weights, False)

    def _stage(self, piece: Piece) -> Tensor:
        """The sources, one after the other.  out: T[length], not used again before this piece is finished"""
        place = self._next % self._under_way
        while len(self._staging) <= place:
            self._staging.append(torch.empty(self._piece_bytes, dtype=torch.uint8))
        staged = self._staging[place].view(piece.sources[0].dtype)[:piece.length]
        return torch.cat(piece.sources, out=staged)

    def _finish(self, one: Sum) -> None:
        self._leaders.finish(one.works)
        if one.is_staged:
            read(one.arrays[0], one.piece)
        if self._mates is not None:
            self._mates.hand_out(one.block, one.piece, one.arrays)
