"""What passes may know of an operator.  Passes decide by these traits, never by operator names."""
from __future__ import annotations

from collections.abc import Callable, Container, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any


class Recompute(Enum):
    """How dear it is to compute a value again: what memory mirroring asks."""

    CHEAP = "cheap"      # memory-bound: elementwise, normalization, pooling, copies
    COSTLY = "costly"    # compute-bound: convolution, matrix products, recurrences
    NEVER = "never"      # must run once: has an effect outside its outputs


CHEAP, COSTLY, NEVER = Recompute.CHEAP, Recompute.COSTLY, Recompute.NEVER


class Loop(Enum):
    """Where a compiler that fuses loops (Inductor) makes an operator's values."""

    NONE = "none"          # a kernel of its own, which reads arrays
    READS = "reads"        # loops of its own, in which what it reads may be made; its results are arrays
    APPLIED = "applied"    # the same, but its first output is made in the loop of what reads it, from what it reads and
    #                        from its other outputs or sums: a normalization
    MADE = "made"          # in the loop of what reads it


@dataclass(frozen=True)
class Traits:
    """recompute: see `Recompute`.
    inplace: pairs (input, output) that may share memory when the input dies at this operator.
    elementwise: out[i] depends on the inputs at i only (after broadcasting), any memory layout.
    view: the output may alias the first input's memory.
    reshape: the output is the first input's elements in the same order, under another shape.
    layout: "spatial" where the operator works on N, C, spatial... and is faster or neutral in channels-last.
    commutative: the two inputs may be exchanged.
    sum: the output is the sum of the two inputs, which have its shape.
    identity: of the attributes with defaults (and `training`), whether the output is the first input unchanged.
    shape_only: inputs of which only shape and dtype matter, so nobody needs to keep their values.
    opaque: hidden uint8 outputs are a library's own notes for the gradient: equal calls may give unequal bits there.
    shell: the output has a shape but memory of one element only.
    dynamic: the output's shape depends on the inputs' values, so it is known only when the operator has run.
    loop: what a compiler that fuses loops makes of the operator: see `Loop`.
    """

    recompute: Recompute = CHEAP
    inplace: tuple[tuple[int, int], ...] = ()
    elementwise: bool = False
    view: bool = False
    reshape: bool = False
    layout: str = ""
    commutative: bool = False
    sum: bool = False
    identity: Callable[[Mapping[str, Any]], bool] | None = None
    shape_only: Container[int] = ()
    opaque: bool = False
    shell: bool = False
    dynamic: bool = False
    loop: Loop = Loop.NONE

    @property
    def fuses(self) -> Loop:
        """`loop`, where it is not said: an elementwise operator and a view are made in the loop of what reads them."""
        return Loop.MADE if self.elementwise or self.view or self.reshape or self.identity is not None else self.loop
