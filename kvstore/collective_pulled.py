"""Sums over the workers of a machine that can read each other's memory: no array is copied to shared memory.

    post     every worker writes where its arrays lie
    add      worker r reads its part of everybody's arrays, chunk by chunk, and adds them where its own result goes
    pull     every worker reads the others' parts of the sum from where they added them

An array is read once and written once by its owner, and the workers meet three times a round, however long it is.  The
order of additions is that of the workers, as in collective.py: the same bits.
"""
from __future__ import annotations

import time
from collections.abc import Iterable
from functools import lru_cache
from itertools import groupby
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .bucket import Piece
from .errors import KVStoreError
from .peer_memory import MOST_STRETCHES, STRETCH_BYTES, PeerMemory, Stretches, stretches
from .shared_memory import DONE, LOOK_S, POSTED, REDUCED, Board

CHUNK_BYTES = 1 << 18     # what is added at once: it and what is read meanwhile stay in a core's cache
LINE_BYTES = 64             # parts begin at a cache line of the stream
LEAST_BYTES = 1 << 20       # of a sum: below, copies cost less than calls of the kernel
GONE_S = 2.0                # how long a process whose memory is gone may take to be seen as dead


class Chunk(NamedTuple):
    """What is added at once: stretches of the stream from number `first` on.  places: their array, first element and
    elements.
    """

    first: int
    places: list[tuple[int, int, int]]
    dtype: torch.dtype
    num_bytes: int


class Layout(NamedTuple):
    """A stream of arrays, cut where arrays and chunks end.

    array, offset, length: of every stretch, its array and the bytes before and in it, int64[n].
    chunks: of every worker, those that it adds.   parts: of every worker, the stretches of its chunks, int64[m].
    """

    array: NDArray[np.int64]
    offset: NDArray[np.int64]
    length: NDArray[np.int64]
    chunks: list[list[Chunk]]
    parts: list[NDArray[np.int64]]


class PulledSums:
    """board: of the machine.   memories: of its workers, by place."""

    def __init__(self, board: Board, memories: list[PeerMemory]):
        self._board, self._memories = board, memories
        self._buffers = Buffer(), Buffer()

    def takes(self, pieces: list[Piece]) -> bool:
        """Whether it is worth it; the same on all workers."""
        num_arrays = num_bytes = 0
        for piece in pieces:
            num_arrays += len(piece.sources)
            num_bytes += piece.length * piece.sources[0].itemsize
        return num_bytes >= LEAST_BYTES and 8 * (1 + 2 * num_arrays) <= self._board.block_bytes

    def allreduce(self, pieces: list[Piece], block: int) -> bool:
        """Writes the sums of each piece's sources into its targets.  False: some worker wants none, so nothing is done.

        block: one that nobody uses any more.
        """
        board = self._board
        sources = [source for piece in pieces for source in piece.sources if source.numel()]
        targets = sources if all(piece.in_place for piece in pieces) else _first_targets(pieces)
        tables = self._meet(block, sources, targets)
        if tables is None:
            board.tell(DONE, block + 1)
            return False
        lengths, dtypes = (tuple(getattr(source, what) for source in sources) for what in ("nbytes", "dtype"))
        layout = _layout(lengths, dtypes, board.size)
        origins, sums = ([stretches(table[layout.array] + layout.offset, layout.length) for table in kind]
                         for kind in tables)
        for chunk in layout.chunks[board.rank]:
            self._add(chunk, origins, sources, targets)
        board.tell(REDUCED, block + 1)
        for step in range(1, board.size):
            self._pull((board.rank + step) % board.size, block, layout, sums)
        _copy_to_others(pieces)
        board.tell(DONE, block + 1)
        board.wait_all(DONE, block + 1)      # what they read may change from here on
        return True

    def _meet(self, block: int, sources: list[Tensor], targets: list[Tensor]
              ) -> tuple[list[NDArray[np.int64]], list[NDArray[np.int64]]] | None:
        """Tells the others where this worker's arrays lie.  out: addresses of everybody's sources, of their targets"""
        board, count = self._board, len(sources)
        mine = [len(targets) == count, *(array.data_ptr() for array in (*sources, *targets))]
        slots = [board.slot(rank, block).numpy().view(np.int64)[:1 + 2 * count] for rank in range(board.size)]
        slots[board.rank][:len(mine)] = mine
        board.come(POSTED, block + 1)
        board.gather(POSTED, block + 1)
        if not all(slot[0] for slot in slots):
            return None
        return [slot[1:1 + count] for slot in slots], [slot[1 + count:] for slot in slots]

    def _add(self, chunk: Chunk, origins: list[Stretches], sources: list[Tensor], targets: list[Tensor]) -> None:
        """Adds everybody's values of a chunk, into this worker's targets."""
        last, places = self._board.size - 1, chunk.places
        mine, out = _within(sources, places), _within(targets, places)
        total = self._buffers[0].values(chunk)
        first = self._part(0, chunk, origins, mine)
        for rank in range(1, last + 1):
            into = out[0] if rank == last and len(out) == 1 else total
            torch.add(first if rank == 1 else total, self._part(rank, chunk, origins, mine), out=into)
        if len(out) > 1:
            torch._foreach_copy_(out, total.split([length for _, _, length in places]))

    def _part(self, rank: int, chunk: Chunk, origins: list[Stretches], mine: list[Tensor]) -> Tensor:
        """What a worker has of a chunk.  out: T[n], in a buffer (worker 0: the first) unless one array here has it"""
        buffer = self._buffers[rank > 0]
        if rank == self._board.rank:
            return mine[0] if len(mine) == 1 else torch.cat(mine, out=buffer.values(chunk))
        count, at = len(chunk.places), origins[rank].ctypes.data + STRETCH_BYTES * chunk.first
        if count <= MOST_STRETCHES:
            self._read(rank, at, count, buffer.stretch_at, 1, chunk.num_bytes)
        else:
            there = origins[rank][chunk.first:chunk.first + count]
            lengths = there[:, 1]
            self._read_many(rank, there, stretches(buffer.address + np.cumsum(lengths) - lengths, lengths))
        return buffer.values(chunk)

    def _pull(self, rank: int, block: int, layout: Layout, sums: list[Stretches]) -> None:
        """Reads what another worker added."""
        self._board.wait(REDUCED, block + 1, rank)
        part = layout.parts[rank]
        self._read_many(rank, sums[rank][part], sums[self._board.rank][part])

    def _read_many(self, rank: int, there: Stretches, here: Stretches) -> None:
        """Reads stretches that are as long there as here."""
        for first in range(0, len(there), MOST_STRETCHES):
            count = min(MOST_STRETCHES, len(there) - first)
            skip = STRETCH_BYTES * first
            self._read(rank, there.ctypes.data + skip, count, here.ctypes.data + skip, count,
                       int(here[first:first + count, 1].sum()))

    def _read(self, rank: int, there: int, there_count: int, here: int, here_count: int, num_bytes: int) -> None:
        """Raises DeadWorkerError where that worker is gone, KVStoreError where it lives."""
        memory = self._memories[rank]
        try:
            done = memory.read(there, there_count, here, here_count)
            if done == num_bytes:
                return
            cause = OSError(f"{done} of {num_bytes} bytes are there")
        except OSError as error:
            cause = error
        until = time.monotonic() + GONE_S      # its memory goes before its lock
        while time.monotonic() < until:
            self._board.look(rank)
            time.sleep(LOOK_S)
        raise KVStoreError(f"kvstore: the memory of worker {self._board.ranks[rank]} (process {memory.pid}) cannot be "
                           f"read any more: {cause}; set MXDL_READ_PEERS=0 to sum through shared memory") from cause


class Buffer:
    """Memory for a chunk."""

    def __init__(self) -> None:
        self._bytes = torch.empty(CHUNK_BYTES, dtype=torch.uint8)
        self.address = self._bytes.data_ptr()
        self._stretch = stretches([self.address], [CHUNK_BYTES])
        self.stretch_at = self._stretch.ctypes.data
        self._views: dict[tuple[torch.dtype, int], Tensor] = {}

    def values(self, chunk: Chunk) -> Tensor:
        """out: T[n] of the chunk's length"""
        key = chunk.dtype, chunk.num_bytes
        if key not in self._views:
            self._views[key] = self._bytes[:chunk.num_bytes].view(chunk.dtype)
        return self._views[key]


def _first_targets(pieces: Iterable[Piece]) -> list[Tensor]:
    """Of every source that has elements, the first array that its sum goes to; none where one has no such array."""
    found = []
    for piece in pieces:
        for source, targets in zip(piece.sources, [[one] for one in piece.sources] if piece.in_place else piece.targets,
                                   strict=True):
            if source.numel() and not targets:
                return []
            if source.numel():
                found.append(targets[0])
    return found


def _copy_to_others(pieces: list[Piece]) -> None:
    """The sum is in the first target of each source: the others get it from there."""
    for piece in pieces:
        if not piece.in_place:
            for targets in piece.targets:
                for other in targets[1:]:
                    other.copy_(targets[0])


def _within(arrays: list[Tensor], places: list[tuple[int, int, int]]) -> list[Tensor]:
    """Stretches of arrays.  places: array, first element, elements"""
    return [arrays[array][start:start + length] for array, start, length in places]


@lru_cache(maxsize=256)
def _layout(lengths: tuple[int, ...], dtypes: tuple[torch.dtype, ...], size: int) -> Layout:
    """lengths: bytes of the arrays.   size: workers, each of which adds as much of every dtype's arrays as another."""
    starts = np.concatenate([[0], np.cumsum(lengths)])
    bounds, owners, kinds = [0], [], []
    for dtype, group in groupby(range(len(lengths)), key=lambda array: dtypes[array]):
        end = bounds[-1] + sum(lengths[array] for array in group)
        share = -(-(end - bounds[-1]) // (size * LINE_BYTES)) * LINE_BYTES
        begin = bounds[-1]
        for rank in range(size):
            until = min(begin + (rank + 1) * share, end)
            while bounds[-1] < until:
                bounds.append(min(bounds[-1] + CHUNK_BYTES, until))
                owners.append(rank)
                kinds.append(dtype)
    cuts = np.union1d(starts, bounds)
    array = np.searchsorted(starts, cuts[:-1], "right") - 1
    chunk = np.searchsorted(bounds, cuts[:-1], "right") - 1
    edges = np.searchsorted(chunk, range(len(owners) + 1))
    offset, length = cuts[:-1] - starts[array], np.diff(cuts)
    chunks: list[list[Chunk]] = [[] for _ in range(size)]
    for number, (owner, dtype) in enumerate(zip(owners, kinds, strict=True)):
        here = slice(edges[number], edges[number + 1])
        places = zip(array[here].tolist(), (offset[here] // dtype.itemsize).tolist(),
                     (length[here] // dtype.itemsize).tolist(), strict=True)
        chunks[owner].append(Chunk(int(edges[number]), list(places), dtype, bounds[number + 1] - bounds[number]))
    parts = [np.flatnonzero(np.asarray(owners)[chunk] == rank) for rank in range(size)]
    return Layout(array, offset, length, chunks, parts)
