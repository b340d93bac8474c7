"""Where the elements of a value lie: as one plain array, or in a buffer of blocked channels with a halo of zeros."""
from __future__ import annotations

from typing import NamedTuple

from ..graph import Value

BLOCK = 16      # channels of a pixel that lie together: BLOCK in kernels/simd.c.in
FLOAT_BYTES = 4


class Margin(NamedTuple):
    """Rows and columns of zeros around an image: what windows reach beyond it."""

    top: int = 0
    left: int = 0
    bottom: int = 0
    right: int = 0

    def joined(self, other: Margin) -> Margin:
        """The least margin that holds both."""
        return Margin(*map(max, self, other))


class Storage(NamedTuple):
    """A place in memory of `value`.  form: "plain" (the framework's order), "blocked" (blocks of BLOCK channels),
    "planes" (blocks of one channel), "halved" (blocks whose pixels hold two rows and columns), "scratch" (what the
    kernel that computes the value needs meanwhile)."""

    value: Value
    form: str


class Geometry(NamedTuple):
    """A buffer [images][blocks of `lanes` channels][rows][columns][lanes].  Strides and sizes count floats."""

    images: int
    channels: int
    height: int
    width: int
    margin: Margin = Margin()
    lanes: int = BLOCK

    @property
    def row(self) -> int:
        return (self.margin.left + self.width + self.margin.right) * self.lanes

    @property
    def block(self) -> int:
        return (self.margin.top + self.height + self.margin.bottom) * self.row

    @property
    def blocks(self) -> int:
        return -(-self.channels // self.lanes)

    @property
    def image(self) -> int:
        return self.blocks * self.block

    @property
    def origin(self) -> int:
        """The first pixel inside the margin."""
        return self.margin.top * self.row + self.margin.left * self.lanes

    @property
    def num_bytes(self) -> int:
        return self.images * self.image * FLOAT_BYTES

    @property
    def is_plain(self) -> bool:
        """Whether the elements lie as in a plain array (the padding channels after them, if any, aside)."""
        whole = self.images == 1 or self.channels % self.lanes == 0
        return self.margin == Margin() and (self.lanes == 1 or self.height * self.width == 1 and whole)
