"""Many arrays as one stream of elements, cut into blocks: small arrays share a block, large ones fill several."""
from __future__ import annotations

from dataclasses import dataclass, field

from torch import Tensor

NOBODY = -1


@dataclass
class Piece:
    """One block's worth of the stream.

    length: elements.   sources: parts of arrays, T[n] each, together `length` long.
    targets: for each source the parts of arrays that its result goes to: one a device, or none.
    owner: the worker that the sum goes to, or that the values come from; NOBODY: all workers get the sum.
    residuals: what compression left of earlier gradients, float32[n] for each source.
    """

    owner: int = NOBODY
    length: int = 0
    sources: list[Tensor] = field(default_factory=list)
    targets: list[list[Tensor]] = field(default_factory=list)
    residuals: list[Tensor] = field(default_factory=list)

    @property
    def is_wanted(self) -> bool:
        return any(self.targets)


def cut(sources: list[Tensor], targets: list[list[Tensor]], length: int, owner: int = NOBODY,
        residuals: list[Tensor] | None = None) -> list[Piece]:
    """The pieces of a stream; every piece but the last has `length` elements.

    sources: T[n] each, contiguous.   targets: for each source the arrays, T[n], that its result goes to.
    """
    pieces = [piece := Piece(owner)]
    for position, source in enumerate(sources):
        start, end = 0, source.numel()
        while start < end:
            if piece.length == length:
                pieces.append(piece := Piece(owner))
            take = min(end - start, length - piece.length)
            whole = take == end
            piece.sources.append(source if whole else source.narrow(0, start, take))
            piece.targets.append(targets[position] if whole else
                                 [target.narrow(0, start, take) for target in targets[position]])
            if residuals is not None:
                piece.residuals.append(residuals[position].narrow(0, start, take))
            piece.length += take
            start += take
    return pieces if pieces[0].length else []

