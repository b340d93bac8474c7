"""Sums over the workers of a machine through shared memory, and over machines through their leaders.

A stream of elements goes through the blocks of a `Board`, several blocks under way at a time:

    publish   every worker copies its block into its slot, but for the slice that it adds itself
    reduce    worker r adds slice r of all slots, in the order of the workers, into the result block
    exchange  the leader adds the result blocks of all machines (where there are several)
    collect   every worker copies the result block into its arrays

The order of additions is fixed, so that every worker gets the same bits at every run.  Sums for everybody over several
machines go another way where the leaders have sockets: collective_led.py, collective_direct.py; on one machine, where
workers can read each other's memory: collective_pulled.py.
"""
from __future__ import annotations

from collections import defaultdict
from itertools import zip_longest
from typing import NamedTuple

import torch
from torch import Tensor

from .bucket import Piece, cut, read
from .collective_direct import DirectSums, Update
from .collective_exchange import Exchanges, Place
from .collective_led import Led
from .collective_network import Leaders
from .collective_pulled import PulledSums
from .collective_sockets import SocketLeaders
from .peer_memory import PeerMemory
from .reduction import add
from .shared_memory import ARRIVED, DONE, POSTED, REDUCED, RESULT, Board
from .stripes import StripePiece

ALIGN = 16              # elements: slices begin at a cache line
SMALL_BYTES = 1 << 18   # up to this, every worker adds everything: one meeting instead of two


class Share(NamedTuple):
    """Arrays that one worker owns: it gets their sums, or gives their values.

    sources: T[n] each.   targets: as in `cut`.
    """

    owner: int
    sources: list[Tensor]
    targets: list[list[Tensor]]


class Machine:
    """The workers of one machine and, through `leaders`, of the others.

    board: the shared memory.   places: of every worker of the job.   leaders: on the leader, where there are several
    machines.   over_sockets: whether leaders talk over sockets; all workers say the same.
    """

    def __init__(self, board: Board, places: list[Place], number: int = 0, leaders: Leaders | None = None,
                 over_sockets: bool = False):
        self.board, self.places, self.number, self.leaders = board, places, number, leaders
        self.machines = 1 + max(place.machine for place in places)
        self.rank = places.index(Place(number, board.rank))
        self._direct: DirectSums | Led | None = None
        if self.machines > 1 and over_sockets:
            self._direct = DirectSums(leaders, board) if isinstance(leaders, SocketLeaders) else Led(board)
        self._next = 0                                     # the first block that no operation has used
        self._totals: dict[torch.dtype, Tensor] = {}
        self._posted = -1                                  # the block that everybody's arrays are in already
        self._pulled: PulledSums | None = None
        alone = self.machines == 1
        group = 1 if alone else max(1, board.blocks // 4)
        self._exchanges = Exchanges(board, places, number, leaders, group)
        self._lags = (board.blocks // 4, board.blocks // 2) if alone else (1, board.blocks - group - 1)

    # -- the three operations ---------------------------------------------------------------------------------
    def allreduce(self, sources: list[Tensor], targets: list[list[Tensor]]) -> None:
        """Writes the sum of each source over all workers into its targets.  All of one dtype, flat, contiguous."""
        self.allreduce_pieces(cut(sources, targets, self.sum_bytes // sources[0].itemsize))

    def allreduce_pieces(self, pieces: list[Piece]) -> None:
        """As `allreduce`, of streams that are cut already, one after the other; the last piece of each may be short."""
        if self._direct is not None:
            self._direct.allreduce(pieces, self.claim(len(pieces)))
        elif len(pieces) == 1 and self._is_small(pieces[0]):
            self._allreduce_small(self.claim(1), pieces[0])
        elif self._pulled is None or not self._pulled.takes(pieces) or not self._allreduce_pulled(self._pulled, pieces):
            self._flow(pieces, self._publish, self._reduce, self._exchanges.sum, self._await_sum)

    def _allreduce_pulled(self, pulled: PulledSums, pieces: list[Piece]) -> bool:
        block = self.claim(1)
        self.make_room(block)
        return pulled.allreduce(pieces, block)

    def pull(self, memories: list[PeerMemory]) -> None:
        """From now on large sums are read from the workers' own memories.  All workers of the machine call it."""
        self._pulled = PulledSums(self.board, memories)

    @property
    def pulls(self) -> bool:
        return self._pulled is not None

    @property
    def can_update(self) -> bool:
        """Whether there is `update`: the leaders of several machines talk over sockets."""
        return self._direct is not None

    def update(self, pieces: list[StripePiece], update: Update) -> None:
        """Updates stripes of weights, each on the leader of its machine, and hands them to everybody."""
        first = self.claim(len(pieces))
        if isinstance(self._direct, DirectSums):
            self._direct.update(pieces, first, update)
        elif self._direct is not None:
            self._direct.allreduce(pieces, first)

    def reduce(self, shares: list[Share]) -> None:
        """Writes the sum of each share's sources into its targets, which only its owner has."""
        self._flow(self._pieces(shares), self._publish, self._reduce, self._exchanges.sum, self._await_sum)

    def spread(self, shares: list[Share]) -> None:
        """Writes each share's sources, which its owner has, into its targets, which the others have.

        On the others `sources` only tell lengths and dtype.   Targets are empty on the owner.
        """
        self._flow(self._pieces(shares), self._offer, None, self._exchanges.spread, self._await_spread)

    def _pieces(self, shares: list[Share]) -> list[Piece]:
        """The pieces of shares; those for different machines take turns, as they travel in different directions."""
        streams: dict[int, list[Piece]] = defaultdict(list)
        for share in shares:
            if share.sources:
                length = self.length_of(share.sources[0].dtype)
                streams[self.places[share.owner].machine] += cut(share.sources, share.targets, length, share.owner)
        return [piece for turn in zip_longest(*streams.values()) for piece in turn if piece is not None]

    def length_of(self, dtype: torch.dtype) -> int:
        """Elements of a block."""
        return self.board.block_bytes // dtype.itemsize

    @property
    def sum_bytes(self) -> int:
        """The most that a piece of an `allreduce` has."""
        return self.board.block_bytes

    def close(self) -> None:
        """Lets the others know that this worker is gone."""
        self.board.close()
        if self.leaders is not None:
            self.leaders.close()
            self.leaders = None

    # -- the flow of blocks -----------------------------------------------------------------------------------
    def _flow(self, pieces: list[Piece], publish, reduce, exchange, settle) -> None:
        first, (reduce_lag, collect_lag) = self.claim(len(pieces)), self._lags
        for step in range(len(pieces) + collect_lag):
            if step < len(pieces):
                self.make_room(first + step)
                publish(first + step, pieces[step])
            if 0 <= (position := step - reduce_lag) < len(pieces):
                if reduce is not None:
                    reduce(first + position, pieces[position])
                self._exchanges.take(first + position, position, pieces, exchange)
            if 0 <= (position := step - collect_lag) < len(pieces):
                self._collect(first + position, pieces[position], settle)
            if self.leaders is not None:
                self.leaders.move()

    def claim(self, blocks: int) -> int:
        """The number of the first of the next `blocks` blocks."""
        first = self._next
        self._next += blocks
        self._exchanges.begin(first)
        return first

    def make_room(self, block: int) -> None:
        """Waits until the block that used this one's memory before is done with everywhere."""
        if block >= self.board.blocks:
            self.board.wait_all(DONE, block - self.board.blocks + 1)

    def _collect(self, block: int, piece: Piece, settle) -> None:
        if piece.is_wanted or self.leaders is not None:
            settle(block, piece)
        read(self._values(RESULT, block, piece), piece)
        self.board.tell(DONE, block + 1)

    def _values(self, rank: int, block: int, piece: Piece) -> Tensor:
        """What lies in a slot, or as the result (RESULT), of a block.  out: T[length]"""
        return self.board.values(rank, block, piece.sources[0].dtype, piece.length)

    # -- sums on this machine ---------------------------------------------------------------------------------
    def _is_small(self, piece: Piece) -> bool:
        return self.machines == 1 and piece.length * piece.sources[0].itemsize <= SMALL_BYTES

    def post(self, piece: Piece) -> bool:
        """Copies a small piece to where the next operation wants it, if nobody needs that memory any more.

        Whether it did: once everybody has (`all_posted`), the sum of these pieces needs no meeting.
        """
        block, board = self._next, self.board
        if not self._is_small(piece) or any(board.told(DONE, rank) <= block - board.blocks
                                            for rank in range(board.size) if rank != board.rank):
            return False
        torch.cat(piece.sources, out=self._values(board.rank, block, piece))
        return True

    def all_posted(self) -> None:
        """What comes next is the sum of what everybody has posted."""
        self._posted = self._next

    def _allreduce_small(self, block: int, piece: Piece) -> None:
        board = self.board
        if block != self._posted:
            self.make_room(block)
            torch.cat(piece.sources, out=self._values(board.rank, block, piece))
            board.come(POSTED, block + 1)
            board.gather(POSTED, block + 1)
        slots = [self._values(rank, block, piece) for rank in range(board.size)]
        total = add(slots, self._total(slots[0]))
        read(total, piece)
        board.tell(DONE, block + 1)

    def _total(self, like: Tensor) -> Tensor:
        """Memory of this worker's own for the sum of a small piece, always the same.  like: T[n]; out: T[n]"""
        if like.dtype not in self._totals:
            self._totals[like.dtype] = torch.empty(SMALL_BYTES // like.itemsize, dtype=like.dtype)
        return self._totals[like.dtype][:like.numel()]

    def _publish(self, block: int, piece: Piece) -> None:
        board = self.board
        slot = self._values(board.rank, block, piece)
        if len(piece.sources) > 1:
            torch.cat(piece.sources, out=slot)
        else:
            start, end = self.slice_of(board.rank, piece)
            if start:
                slot[:start].copy_(piece.sources[0][:start])
            if end < piece.length:
                slot[end:].copy_(piece.sources[0][end:])
        board.tell(POSTED, block + 1)

    def _reduce(self, block: int, piece: Piece) -> None:
        board = self.board
        start, end = self.slice_of(board.rank, piece)
        board.wait_all(POSTED, block + 1)
        parts = [self._values(rank, block, piece)[start:end] for rank in range(board.size)]
        if len(piece.sources) == 1:
            parts[board.rank] = piece.sources[0][start:end]
        add(parts, self._values(RESULT, block, piece)[start:end])
        board.tell(REDUCED, block + 1)

    def slice_of(self, rank: int, piece: Piece) -> tuple[int, int]:
        """The elements of a piece that worker `rank` adds."""
        share = -(-piece.length // self.board.size)
        share = -(-share // ALIGN) * ALIGN
        return min(rank * share, piece.length), min((rank + 1) * share, piece.length)

    # -- from one to all --------------------------------------------------------------------------------------
    def _offer(self, block: int, piece: Piece) -> None:
        if piece.owner == self.rank:
            torch.cat(piece.sources, out=self._values(RESULT, block, piece))
            self.board.tell(REDUCED, block + 1)

    def announce(self, names: list[int]) -> None:
        """On the leader: hands names (64 bits each) to the workers of this machine."""
        block = self.claim(1)
        self.make_room(block)
        self.board.write_numbers(block, [len(names), *names])
        self.board.tell(ARRIVED, block + 1)
        self.board.tell(DONE, block + 1)

    def hear(self) -> list[int]:
        """On the others: what the leader announces next."""
        block = self.claim(1)
        self.board.wait(ARRIVED, block + 1, 0)
        count, = self.board.read_numbers(block, 1)
        names = list(self.board.read_numbers(block, 1 + count)[1:])
        self.board.tell(DONE, block + 1)
        return names

    def meet(self) -> None:
        """Returns when all workers of the job have come here: what they did before is done everywhere."""
        block, board = self.claim(1), self.board
        if self.machines == 1:
            board.come(POSTED, block + 1)
            board.gather(POSTED, block + 1)
            board.tell(DONE, block + 1)
            return
        board.tell(POSTED, block + 1)
        if self.leaders is None:
            board.wait(ARRIVED, block + 1, 0)
        else:
            board.wait_all(POSTED, block + 1)
            self.leaders.gather(torch.zeros(1, dtype=torch.int64))
            board.tell(ARRIVED, block + 1)
        board.tell(DONE, block + 1)

    def _await_sum(self, block: int, piece: Piece) -> None:
        if self.machines == 1:
            self.board.wait_all(REDUCED, block + 1)
        else:
            self._exchanges.settle(block)

    def _await_spread(self, block: int, piece: Piece) -> None:
        if self.machines == 1:
            self.board.wait(REDUCED, block + 1, self.places[piece.owner].worker)
        else:
            self._exchanges.settle(block)


def values_of(block: Tensor, piece: Piece) -> Tensor:
    """The first elements of a block, as many and of the dtype as the piece has.  block: uint8[...]; out: T[length]"""
    return block.view(piece.sources[0].dtype)[:piece.length]
