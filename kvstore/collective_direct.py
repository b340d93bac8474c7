"""Sums over machines of one worker each: from the arrays to the sockets and back, without shared memory between."""
from __future__ import annotations

from collections import deque
from typing import NamedTuple

import torch
from torch import Tensor

from .bucket import Piece, read
from .collective_sockets import SocketLeaders, Work

PIECE_BYTES = 3 << 20
UNDER_WAY = 8               # pieces
LEAST_BYTES = 1 << 14       # arrays of a piece that are smaller on average are put together first


class Sum(NamedTuple):
    """A piece under way.  staged: T[length], where its sources were put together; None: they are summed in place."""

    works: list[Work]
    piece: Piece
    staged: Tensor | None


class DirectSums:
    """Used on every machine, or on none."""

    def __init__(self, leaders: SocketLeaders):
        self._leaders = leaders
        self._staging: list[Tensor] = []
        self._next = 0      # the number of the next piece: machines add in turn

    def allreduce(self, pieces: list[Piece]) -> None:
        """Writes the sums of each piece's sources into its targets."""
        sums: deque[Sum] = deque()
        for number, piece in enumerate(pieces):
            if number >= UNDER_WAY:
                self._finish(sums.popleft())
            sums.append(self._start(piece))
        for one in sums:
            self._finish(one)

    def _start(self, piece: Piece) -> Sum:
        self._next += 1
        staged = None
        if piece.length * piece.sources[0].itemsize < LEAST_BYTES * len(piece.sources) or not piece.is_in_place:
            staged = self._stage(piece)
        arrays = piece.sources if staged is None else [staged]
        if len(arrays) == 1:
            return Sum(self._leaders.start_allreduce(arrays[0]), piece, staged)
        parts: list[list[Tensor]] = [[] for _ in range(self._leaders.machines)]
        parts[self._next % len(parts)] = arrays
        return Sum(self._leaders.start_sum(parts), piece, staged)

    def _stage(self, piece: Piece) -> Tensor:
        """The sources, one after the other.  out: T[length], not used again before this piece is finished"""
        place = self._next % UNDER_WAY
        while len(self._staging) <= place:
            self._staging.append(torch.empty(PIECE_BYTES, dtype=torch.uint8))
        staged = self._staging[place].view(piece.sources[0].dtype)[:piece.length]
        return torch.cat(piece.sources, out=staged)

    def _finish(self, one: Sum) -> None:
        self._leaders.finish(one.works)
        if one.staged is not None:
            read(one.staged, one.piece)
