"""Which machine updates which elements of which key: large arrays are cut into stripes, so that every machine has an
equal share of each; a small one is one stripe.  Every worker computes the same answer by itself.
"""
from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from torch import Tensor

from .bucket import Piece
from .keys import Key

WHOLE_BYTES = 1 << 15       # arrays of fewer bytes are not cut
SLICE_BYTES = 1 << 19       # of stripes that go together, one a machine, so that something urgent can pass behind them
ALIGN = 64                  # elements: stripes begin where vectors of any kernel do, which keeps results to the bit


class Stripe(NamedTuple):
    """Elements `start` to `stop` of a key's flat array, which this machine updates."""

    machine: int
    start: int
    stop: int


@dataclass
class StripePiece(Piece):
    """A piece whose sources are the gradients of stripes, and whose targets, one for each, the weights.

    names: of each source the key and the stripe.
    """

    names: list[tuple[Key, Stripe]] = field(default_factory=list)

    def add(self, name: tuple[Key, Stripe], gradient: Tensor, weight: Tensor) -> None:
        self.names.append(name)
        self.sources.append(gradient)
        self.targets.append([weight])
        self.length += gradient.numel()

    def of_machines(self, arrays: Sequence[Tensor], machines: int) -> list[list[Tensor]]:
        """Arrays, one for each source, by the machine that updates the stripe."""
        found: list[list[Tensor]] = [[] for _ in range(machines)]
        for (_, stripe), array in zip(self.names, arrays, strict=True):
            found[stripe.machine].append(array)
        return found


class Stripes:
    """loads: bytes that each machine updates."""

    def __init__(self, machines: int, most_bytes: int):
        self.loads = [0] * machines
        self._most_bytes = min(most_bytes, max(WHOLE_BYTES, SLICE_BYTES // machines))
        self._stripes: dict[Key, list[Stripe]] = {}
        self._shares: dict[Key, int] = {}       # elements of a key's stripes, but of the last

    def add(self, key: Key, length: int, itemsize: int) -> None:
        """A new key, of `length` elements."""
        machines = len(self.loads)
        share, first = max(1, length), 0
        if length * itemsize < WHOLE_BYTES:
            first = min(range(machines), key=lambda machine: self.loads[machine])
        else:
            rounds = -(-length * itemsize // (machines * self._most_bytes))
            share = -(-length // (machines * rounds))
            share = min(-(-share // ALIGN) * ALIGN, self._most_bytes // itemsize)
        stripes = self._stripes[key] = [Stripe((first + number) % machines, start, min(start + share, length))
                                        for number, start in enumerate(range(0, length, share))]
        self._shares[key] = share
        for stripe in stripes:
            self.loads[stripe.machine] += (stripe.stop - stripe.start) * itemsize

    def of(self, key: Key) -> list[Stripe]:
        return self._stripes[key]

    def slice_elements(self, key: Key) -> int:
        """Of a key's parts that take every machine's stripes alike."""
        return len(self.loads) * self._shares[key]

    def pieces(self, arrays: Sequence[tuple[Key, int, Tensor, Tensor]], length: int) -> list[StripePiece]:
        """The stripes of keys, as many in a piece as fit `length` elements.

        arrays: key, first element, gradient T[n] from there on, whole weight.
        """
        pieces: list[StripePiece] = []
        for key, first, gradient, weight in arrays:
            share, stop = self._shares[key], first + gradient.numel()
            for stripe in self._stripes[key][first // share:-(-stop // share)]:
                if not pieces or pieces[-1].length + stripe.stop - stripe.start > length:
                    pieces.append(StripePiece())
                pieces[-1].add((key, stripe), gradient[stripe.start - first:stripe.stop - first],
                               weight[stripe.start:stripe.stop])
        return pieces
