"""Several workers of a machine whose leader sums over machines: it adds what they have to its own arrays, and hands out
the sum.

    publish   every worker but the leader copies a piece into its slot
    reduce    where these are several: each adds a slice of all their slots into the leader's, which it does not use
    add       the leader adds that to its own arrays, and does as if it were alone (collective_direct.py)
    hand out  the leader copies the sum over machines into the result block
    collect   the others copy that into their arrays

The leader's gradients are copied nowhere, and slots are free again long before the sum is back, so that more is under
way between machines than the shared memory holds.  The order of additions is fixed: the others', then the leader's.
"""
from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from .bucket import Piece, read
from .reduction import add
from .shared_memory import ARRIVED, DONE, POSTED, REDUCED, RESULT, Board

ALIGN = 16              # elements: slices begin at a cache line


def under_way(board: Board) -> int:
    """How many pieces are under way at most: those that wait in slots and those between machines.

    With more a leader would wait for a piece of a worker that waits for the sum of an earlier one.
    """
    return 2 * board.blocks


class Mates:
    """The leader's part.  Its REDUCED counter tells that slots are free again."""

    def __init__(self, board: Board):
        self._board = board

    def add(self, block: int, piece: Piece, arrays: list[Tensor]) -> None:
        """Adds what the others have of a piece to this worker's.  arrays: the piece's sources, or one as long."""
        board = self._board
        for rank in range(1, board.size):
            board.wait(POSTED if board.size == 2 else REDUCED, block + 1, rank)
        theirs = _values(board, 1 if board.size == 2 else 0, block, piece)
        if len(arrays) == 1:
            arrays[0].add_(theirs)
        else:
            torch._foreach_add_(arrays, piece.split(theirs))
        board.tell(REDUCED, block + 1)

    def hand_out(self, block: int, piece: Piece, arrays: list[Tensor]) -> None:
        """Gives the others a piece's sum."""
        board = self._board
        if block >= board.blocks:
            board.wait_all(DONE, block - board.blocks + 1)
        _gather(arrays, _values(board, RESULT, block, piece))
        board.tell(ARRIVED, block + 1)
        board.tell(DONE, block + 1)


class Led:
    """The others' part."""

    def __init__(self, board: Board):
        self._board = board

    def allreduce(self, pieces: Sequence[Piece], first: int) -> None:
        """Writes the sums of each piece's sources, or what the leaders make of them, into its targets.

        first: the block of the first piece.
        """
        board, lag = self._board, under_way(self._board)
        for step in range(len(pieces) + lag):
            if step < len(pieces):
                self._make_room(first, step)
                _gather(pieces[step].sources, _values(board, board.rank, first + step, pieces[step]))
                board.tell(POSTED, first + step + 1)
            if board.size > 2 and 0 <= (position := step - 1) < len(pieces):
                self._reduce(first + position, pieces[position])
            if 0 <= (position := step - lag) < len(pieces):
                self._collect(first + position, pieces[position])

    def _make_room(self, first: int, step: int) -> None:
        """Waits until the piece that used this one's slot before is added."""
        board, before = self._board, first + step - self._board.blocks + 1
        if step >= board.blocks:
            board.wait(REDUCED, before, 0)
        elif before > 0:
            board.wait_all(DONE, before)

    def _reduce(self, block: int, piece: Piece) -> None:
        board = self._board
        others = range(1, board.size)
        for rank in others:
            if rank != board.rank:
                board.wait(POSTED, block + 1, rank)
        share = -(-piece.length // len(others))
        share = -(-share // ALIGN) * ALIGN
        start, end = (min(place * share, piece.length) for place in (board.rank - 1, board.rank))
        add([_values(board, rank, block, piece)[start:end] for rank in others],
            _values(board, 0, block, piece)[start:end])
        board.tell(REDUCED, block + 1)

    def _collect(self, block: int, piece: Piece) -> None:
        self._board.wait(ARRIVED, block + 1, 0)
        if piece.is_wanted:
            read(_values(self._board, RESULT, block, piece), piece)
        self._board.tell(DONE, block + 1)


def _values(board: Board, rank: int, block: int, piece: Piece) -> Tensor:
    """What lies in a slot, or as the result (RESULT), of a block.  out: T[length]"""
    return board.values(rank, block, piece.sources[0].dtype, piece.length)


def _gather(arrays: list[Tensor], out: Tensor) -> None:
    """Copies arrays, one after the other.  arrays: T[n] each; out: T[sum of n]"""
    if len(arrays) == 1:
        out.copy_(arrays[0])
    else:
        torch.cat(arrays, out=out)
