"""Many arrays as one stream of elements, cut into blocks: small arrays share a block, large ones fill several."""
from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from torch import Tensor

NOBODY = -1


@dataclass
class Piece:
    """One block's worth of the stream.

    length: elements.   sources: parts of arrays, T[n] each, together `length` long.
    targets: for each source the parts of arrays that its result goes to: one a device, or none.
    owner: the worker that the sum goes to, or that the values come from; NOBODY: all workers get the sum.
    residuals: what compression left of earlier gradients, float32[n] for each source.
    in_place: the sources are the targets.   memo: views of blocks that were cut as the sources are, by address; kept
    over calls where calls repeat.
    """

    owner: int = NOBODY
    length: int = 0
    sources: list[Tensor] = field(default_factory=list)
    targets: list[list[Tensor]] = field(default_factory=list)
    residuals: list[Tensor] = field(default_factory=list)
    in_place: bool = False
    memo: dict[int, tuple[Tensor, ...]] = field(default_factory=dict)

    @property
    def is_wanted(self) -> bool:
        return self.in_place or any(self.targets)

    @property
    def is_in_place(self) -> bool:
        """Whether each source is its only target."""
        return self.in_place or all(len(targets) == 1 and targets[0].data_ptr() == source.data_ptr()
                                    for source, targets in zip(self.sources, self.targets, strict=True))

    def split(self, values: Tensor) -> tuple[Tensor, ...]:
        """Stretches of `values` as long as the sources.  values: T[length]"""
        address = values.data_ptr()
        if address not in self.memo:
            self.memo[address] = values.split([source.numel() for source in self.sources])
        return self.memo[address]


class Span(NamedTuple):
    """Where a piece lies among arrays: from element `start` of array `first` to element `stop` of array `last`."""

    first: int
    start: int
    last: int
    stop: int
    length: int


def outline(sizes: list[int], length: int) -> list[Span]:
    """The pieces of a stream of arrays of these sizes; every piece but the last has `length` elements."""
    spans: list[Span] = []
    filled = first = start = 0
    for position, size in enumerate(sizes):
        at = 0
        while at < size:
            if not filled:
                first, start = position, at
            take = min(size - at, length - filled)
            at += take
            filled += take
            last = position, at
            if filled == length:
                spans.append(Span(first, start, *last, filled))
                filled = 0
    if filled:
        spans.append(Span(first, start, *last, filled))
    return spans


def within(arrays: list[Tensor], sizes: list[int], span: Span) -> list[Tensor]:
    """The parts of arrays that a span covers, T[n] each.  arrays: contiguous, T[*S] each, of these sizes."""
    first, start, last, stop, _ = span
    if first == last:
        array = arrays[first].view(-1)
        return [array if stop - start == sizes[first] else array[start:stop]]
    parts = [array if array.dim() == 1 else array.view(-1) for array in arrays[first:last + 1]]
    if start:
        parts[0] = parts[0][start:]
    if stop < sizes[last]:
        parts[-1] = parts[-1][:stop]
    return parts


def cut(sources: list[Tensor], targets: list[list[Tensor]], length: int, owner: int = NOBODY,
        residuals: list[Tensor] | None = None) -> list[Piece]:
    """The pieces of a stream; every piece but the last has `length` elements.

    sources: T[n] each, contiguous.   targets: for each source the arrays, T[n], that its result goes to.
    """
    sizes = [source.numel() for source in sources]
    return [_piece(span, sources, targets, sizes, owner, residuals) for span in outline(sizes, length)]


def _piece(span: Span, sources: list[Tensor], targets: list[list[Tensor]], sizes: list[int], owner: int,
           residuals: list[Tensor] | None) -> Piece:
    piece = Piece(owner, span.length)
    for position in range(span.first, span.last + 1):
        if not sizes[position]:
            continue
        start = span.start if position == span.first else 0
        stop = span.stop if position == span.last else sizes[position]

        def part(array: Tensor, start: int = start, stop: int = stop) -> Tensor:
            return array if stop - start == array.numel() else array[start:stop]
        piece.sources.append(part(sources[position]))
        piece.targets.append([part(target) for target in targets[position]])
        if residuals is not None:
            piece.residuals.append(part(residuals[position]))
    return piece


def read(values: Tensor, piece: Piece) -> None:
    """Copies consecutive stretches of `values` into the targets of a piece."""
    if len(piece.sources) == 1:
        for target in piece.sources if piece.in_place else piece.targets[0]:
            target.copy_(values)
    elif piece.in_place:
        torch._foreach_copy_(piece.sources, piece.split(values))
    elif piece.is_wanted:
        pairs = [(target, part) for targets, part in zip(piece.targets, piece.split(values), strict=True)
                 for target in targets]
        torch._foreach_copy_(*map(list, zip(*pairs, strict=True)))
