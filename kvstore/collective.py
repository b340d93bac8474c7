"""Sums over the workers of a machine through shared memory, and over machines through their leaders.

A stream of elements goes through the blocks of a `Board`, several blocks under way at a time:

    publish   every worker copies its block into its slot, but for the slice that it adds itself
    reduce    worker r adds slice r of all slots, in the order of the workers, into the result block
    exchange  the leader adds the result blocks of all machines (where there are several)
    collect   every worker copies the result block into its arrays

The order of additions is fixed, so that every worker gets the same bits at every run.
"""
from __future__ import annotations

import torch
from torch import Tensor

from .bucket import Piece, cut
from .shared_memory import ARRIVED, DONE, POSTED, REDUCED, Board

ALIGN = 16          # elements: slices begin at a cache line
SMALL_BYTES = 1 << 16


class Machine:
    """The workers of one machine (and, through `leaders`, of the others).

    board: their shared memory.   leaders: the group of the machines' leaders, on the leader; None elsewhere.
    machines: how many there are.
    """

    def __init__(self, board: Board, machines: int = 1, leaders=None):
        self.board, self.machines, self.leaders = board, machines, leaders
        self._next = 0                                   # the first block that no operation has used
        self._sent = 0                                   # the first block that is not exchanged yet
        self._works: list[tuple[int, object]] = []       # (first block after it, exchange under way)
        group = max(1, board.blocks // 4)
        self._group = group if machines > 1 else 1       # blocks of one exchange
        self._lags = (1, board.blocks - group - 1) if machines > 1 else (board.blocks // 4, board.blocks // 2)

    # -- all-reduce -------------------------------------------------------------------------------------------
    def allreduce(self, sources: list[Tensor], targets: list[list[Tensor]]) -> None:
        """Writes the sum of `sources` over all workers into each list of `targets`.  All of one dtype, contiguous."""
        if not sources:
            return
        pieces = cut(sources, targets, self.board.block_bytes // sources[0].element_size())
        if len(pieces) == 1 and self.machines == 1 and pieces[0].length * sources[0].element_size() <= SMALL_BYTES:
            self._allreduce_small(self._claim(1), pieces[0])
            return
        first, (reduce_lag, collect_lag) = self._claim(len(pieces)), self._lags
        for step in range(len(pieces) + collect_lag):
            if step < len(pieces):
                self._publish(first + step, pieces[step])
            if 0 <= step - reduce_lag < len(pieces):
                self._reduce(first + step - reduce_lag, pieces[step - reduce_lag])
                self._exchange(first + step - reduce_lag, pieces[step - reduce_lag], first + len(pieces) - 1)
            if 0 <= step - collect_lag:
                self._collect(first + step - collect_lag, pieces[step - collect_lag])

    def _claim(self, blocks: int) -> int:
        """The number of the first of the next `blocks` blocks."""
        first = self._sent = self._next
        self._next += blocks
        return first

    def _make_room(self, block: int) -> None:
        """Waits until the block that used this one's memory before is done with everywhere."""
        if block >= self.board.blocks:
            self.board.wait_all(DONE, block - self.board.blocks + 1)

    def _allreduce_small(self, block: int, piece: Piece) -> None:
        """Every worker adds everything: one meeting instead of two."""
        board = self.board
        self._make_room(block)
        torch.cat(piece.sources, out=_values(board.slot(board.rank, block), piece))
        board.tell(POSTED, block + 1)
        board.wait_all(POSTED, block + 1)
        slots = [_values(board.slot(rank, block), piece) for rank in range(board.size)]
        total = _add(slots, torch.empty_like(slots[0]))
        for parts in piece.targets:
            _read(total, parts)
        board.tell(REDUCED, block + 1)
        board.tell(ARRIVED, block + 1)
        board.tell(DONE, block + 1)

    def _publish(self, block: int, piece: Piece) -> None:
        board = self.board
        self._make_room(block)
        slot = _values(board.slot(board.rank, block), piece)
        if len(piece.sources) > 1:
            torch.cat(piece.sources, out=slot)
        else:
            start, end = self._slice(board.rank, piece)
            slot[:start].copy_(piece.sources[0][:start])
            slot[end:].copy_(piece.sources[0][end:])
        board.tell(POSTED, block + 1)

    def _reduce(self, block: int, piece: Piece) -> None:
        board = self.board
        start, end = self._slice(board.rank, piece)
        board.wait_all(POSTED, block + 1)
        parts = [_values(board.slot(rank, block), piece)[start:end] for rank in range(board.size)]
        if len(piece.sources) == 1:
            parts[board.rank] = piece.sources[0][start:end]
        _add(parts, _values(board.result(block), piece)[start:end])
        board.tell(REDUCED, block + 1)

    def _slice(self, rank: int, piece: Piece) -> tuple[int, int]:
        """The elements of a piece that worker `rank` adds."""
        share = -(-piece.length // self.board.size)
        share = -(-share // ALIGN) * ALIGN
        return min(rank * share, piece.length), min((rank + 1) * share, piece.length)

    def _collect(self, block: int, piece: Piece) -> None:
        board = self.board
        if self.machines == 1:
            board.wait_all(REDUCED, block + 1)
        else:
            self._await_exchange(block)
        result = _values(board.result(block), piece)
        for parts in piece.targets:
            _read(result, parts)
        board.tell(DONE, block + 1)

    # -- between machines -------------------------------------------------------------------------------------
    def _exchange(self, block: int, piece: Piece, last: int) -> None:
        """On the leader: starts the sum over machines of the blocks up to this one, when enough have come."""
        ends = block == last or (block + 1) % self._group == 0      # so no group passes the end of the memory
        if self.leaders is None or not ends:
            return
        self.board.wait_all(REDUCED, block + 1)
        dtype = piece.sources[0].dtype
        values = self.board.result(self._sent, block - self._sent + 1).view(dtype)
        length = (block - self._sent) * (self.board.block_bytes // dtype.itemsize) + piece.length
        self._works.append((block + 1, self.leaders.start_allreduce(values[:length])))
        self._sent = block + 1

    def _await_exchange(self, block: int) -> None:
        """Returns when the result block holds the sum over all machines."""
        if self.leaders is None:
            self.board.wait(ARRIVED, block + 1, 0)
            return
        while self._works and self._works[0][0] <= block + self._group and self.board.told(ARRIVED, 0) <= block:
            end, work = self._works.pop(0)
            self.leaders.finish(work)
            self.board.tell(ARRIVED, end)


def _values(block: Tensor, piece: Piece) -> Tensor:
    """The first elements of a block, as many and of the dtype as the piece has.  block: uint8[...]; out: T[length]"""
    return block.view(piece.sources[0].dtype)[:piece.length]


def _add(parts: list[Tensor], out: Tensor) -> Tensor:
    """out = parts[0] + parts[1] + ..., added in this order."""
    if len(parts) == 1:
        return out.copy_(parts[0])
    torch.add(parts[0], parts[1], out=out)
    for part in parts[2:]:
        out.add_(part)
    return out


def _read(values: Tensor, parts: list[Tensor]) -> None:
    """Copies consecutive stretches of `values` into the arrays `parts`."""
    if len(parts) == 1:
        parts[0].copy_(values)
    else:
        torch._foreach_copy_(parts, values.split([part.numel() for part in parts]))
