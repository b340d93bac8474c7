"""Sums of compressed gradients: every worker sends its own payload, every worker decodes a slice of all of them.

    publish   every worker encodes its block, with what earlier ones left out, into its slot
    exchange  the leaders tell each other the payloads of their machines' workers
              (votes whose result is one bit: each counts a share of them and tells the results)
    reduce    worker r of a machine decodes slice r of all workers' payloads and adds them, in the order of ranks
    collect   every worker copies the result block into its arrays
"""
from __future__ import annotations

import torch
from torch import Tensor

from .bucket import Piece, cut, read
from .collective import Machine, values_of
from .collective_network import Leaders
from .compression import Codec
from .shared_memory import ARRIVED, DONE, POSTED, REDUCED, Board

PAYLOAD_VALUES = 1 << 18     # of a block: part of the wire format


class Coded:
    """Compressed sums over a `Machine`'s blocks.

    payloads: memory for the payloads of all workers of the job, in blocks as many as the machine's board has; on one
    machine that is the board itself.
    """

    def __init__(self, machine: Machine, codec: Codec, payloads: Board):
        self.machine, self.codec, self.payloads, self.board = machine, codec, payloads, machine.board
        self._counts = [sum(place.machine == number for place in machine.places) for number in range(machine.machines)]
        self._is_vote = machine.machines > 2 and codec.is_one_bit(len(machine.places))
        self._here = [rank for rank, place in enumerate(machine.places) if place.machine == machine.number]
        self.sent_bytes = 0      # payloads of this worker

    def close(self) -> None:
        """Lets go of the payloads' memory, once this machine's workers form another group."""
        if self.payloads is not self.board:
            self.payloads.close()

    def allreduce(self, sources: list[Tensor], targets: list[list[Tensor]], residuals: list[Tensor]) -> None:
        """Writes what the codec makes of all workers' sources into the targets.

        sources, targets, residuals: flat float32 arrays.
        """
        pieces = cut(sources, targets, PAYLOAD_VALUES, residuals=residuals)
        first = self.machine.claim(len(pieces))
        reduce_lag, collect_lag = self.board.blocks // 4, self.board.blocks // 2
        for step in range(len(pieces) + collect_lag):
            if step < len(pieces):
                self.machine.make_room(first + step)
                self._publish(first + step, pieces[step])
                self._exchange(first + step, pieces[step])
            if 0 <= (position := step - reduce_lag) < len(pieces):
                self._reduce(first + position, pieces[position])
            if (position := step - collect_lag) >= 0:
                self._collect(first + position, pieces[position])

    def _publish(self, block: int, piece: Piece) -> None:
        payload = self._payload(self.machine.rank, block, piece)
        if len(piece.sources) == 1:
            self.codec.encode(piece.sources[0], piece.residuals[0], payload)
        else:
            residual = torch.cat(piece.residuals)
            self.codec.encode(torch.cat(piece.sources), residual, payload)
            torch._foreach_copy_(piece.residuals, residual.split([part.numel() for part in piece.residuals]))
        self.sent_bytes += payload.nbytes
        self.board.tell(POSTED, block + 1)

    def _payload(self, rank: int, block: int, piece: Piece) -> Tensor:
        return self.payloads.slot(rank, block)[:self.codec.payload_bytes(piece.length)]

    def _exchange(self, block: int, piece: Piece) -> None:
        leaders = self.machine.leaders
        if leaders is None:
            return
        self.board.wait_all(POSTED, block + 1)
        (self._vote if self._is_vote else self._tell_all)(leaders, block, piece)
        self.board.tell(ARRIVED, block + 1)

    def _tell_all(self, leaders: Leaders, block: int, piece: Piece) -> None:
        """Brings all machines' payloads here."""
        mine = torch.cat([self._payload(rank, block, piece) for rank in self._here])
        each = leaders.exchange(mine, [count * self.codec.payload_bytes(piece.length) for count in self._counts])
        for number, payloads in enumerate(each):
            ranks = [rank for rank, place in enumerate(self.machine.places) if place.machine == number]
            for rank, payload in zip(ranks, payloads.chunk(len(ranks)), strict=True):
                if number != self.machine.number:
                    self._payload(rank, block, piece).copy_(payload)

    def _vote(self, leaders: Leaders, block: int, piece: Piece) -> None:
        """Counts the votes of this machine's share of the block and brings all results here, as worker 0's payload."""
        whole = self.codec.payload_bytes(piece.length)
        share = -(-whole // leaders.machines)
        bounds = [(min(whole, number * share), min(whole, (number + 1) * share)) for number in range(leaders.machines)]
        mine = [self._payload(rank, block, piece) for rank in self._here]
        parts = [torch.cat([payload[start:end] for payload in mine]) for start, end in bounds]
        start, end = bounds[leaders.place]
        votes = leaders.swap(parts, [count * (end - start) for count in self._counts])
        values = min(piece.length, 8 * end) - min(piece.length, 8 * start)
        total, result = torch.zeros(values), torch.empty(end - start, dtype=torch.uint8)
        for count, payloads in zip(self._counts, votes, strict=True):
            for payload in payloads.chunk(count) if values else ():
                self.codec.add(payload, values, 0, total)
        self.codec.finish(total)
        self.codec.encode_result(total, result)
        results = leaders.exchange(result, [stop - begin for begin, stop in bounds])
        self._payload(0, block, piece).copy_(torch.cat(results))

    def _reduce(self, block: int, piece: Piece) -> None:
        if self.machine.machines == 1:
            self.board.wait_all(POSTED, block + 1)
        elif self.machine.leaders is None:
            self.board.wait(ARRIVED, block + 1, 0)
        start, end = self.machine.slice_of(self.board.rank, piece)
        total = values_of(self.board.result(block), piece)[start:end].zero_()
        for rank in range(1 if self._is_vote else len(self.machine.places)):
            self.codec.add(self._payload(rank, block, piece), piece.length, start, total)
        self.codec.finish(total)
        self.board.tell(REDUCED, block + 1)

    def _collect(self, block: int, piece: Piece) -> None:
        self.board.wait_all(REDUCED, block + 1)
        read(values_of(self.board.result(block), piece), piece)
        self.board.tell(DONE, block + 1)
