"""Many arrays as one stream of elements, cut into blocks: small arrays share a block, large ones fill several."""
from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


@dataclass
class Piece:
    """One block's worth of the stream.

    length: elements.   sources: parts of arrays, T[n] each, together `length` long.
    targets: for each array of results of this worker (a device each) the parts that this block fills.
    """

    length: int
    sources: list[Tensor]
    targets: list[list[Tensor]]


def cut(sources: list[Tensor], targets: list[list[Tensor]], length: int) -> list[Piece]:
    """The pieces of a stream; every piece but the last has `length` elements.

    sources: T[n] each, contiguous.   targets: lists of arrays as long as `sources`; each list is filled alike.
    """
    pieces: list[Piece] = []
    piece = Piece(0, [], [[] for _ in targets])
    for position, source in enumerate(sources):
        start, end = 0, source.numel()
        while start < end:
            take = min(end - start, length - piece.length)
            piece.sources.append(_part(source, start, take))
            for parts, arrays in zip(piece.targets, targets, strict=True):
                parts.append(_part(arrays[position], start, take))
            piece.length += take
            start += take
            if piece.length == length:
                pieces.append(piece)
                piece = Piece(0, [], [[] for _ in targets])
    return [*pieces, piece] if piece.length else pieces


def _part(array: Tensor, start: int, length: int) -> Tensor:
    return array if length == array.numel() else array.narrow(0, start, length)
