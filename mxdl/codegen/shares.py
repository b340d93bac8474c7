"""How the work of a step is parted among threads: into as many shares as there are threads, fixed at export.

Every element is summed in the same order whichever share computes it, so that an answer has the same bits with any
number of threads.  A convolution is parted by rows of its output; by filters where rows are few or its parameters
stream from memory; Winograd's by tiles.
"""
from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

from ..errors import OperatorError
from .geometry import BLOCK, FLOAT_BYTES, Geometry, Margin
from .layers import Layer
from .schedules import streams

#: operations below which waiting for each other costs as much as a second thread saves (some 5 us)
PAYS = 1 << 20
MOST_THREADS = 64
WIDEST = 64         # filters of the widest register tile: shares of filters hold whole tiles
FEWEST_ROWS = 7     # of a share, so that register tiles of several rows stay whole


def require_threads(count: int) -> None:
    """Raises OperatorError where there cannot be so many."""
    if not 1 <= count <= MOST_THREADS:
        raise OperatorError(f"export to C: threads that compute a call; got {count}; give 1 to {MOST_THREADS}")


class Share(NamedTuple):
    """What one share computes: a layer of fewer rows, filters or tiles, and how many floats on each pointer begins."""

    layer: Layer
    x: int = 0
    w: int = 0
    b: int = 0
    y: int = 0
    r: int = 0
    s: int = 0


def ranges(total: int, count: int) -> list[tuple[int, int]]:
    """range(total) in at most `count` even parts: (first, behind the last) of each."""
    count = max(min(total, count), 1)
    return [(i * total // count, (i + 1) * total // count) for i in range(count)]


def parted(total: int, threads: int, operations: float, make: Callable[[int, int], str]) -> list[str]:
    """The statements make(first, behind the last) of the shares of `total` units; one where that is too little work."""
    return [make(*span) for span in ranges(total, threads if operations >= PAYS else 1)]


def of_layer(layer: Layer, x: Geometry, y: Geometry, side: Geometry | None, threads: int) -> list[Share]:
    """The shares of a layer without groups of channels."""
    if threads == 1 or operations(layer) < PAYS:
        return [Share(layer)]
    if layer.kernel == "conv_winograd":
        return _by_tiles(layer, threads)
    if layer.kernel == "conv_streamed":
        scratch = layer.scratch // threads
        return [share._replace(layer=share.layer._replace(scratch=scratch), s=i * scratch)
                for i, share in enumerate(_by_filters(layer, y, side, threads))]
    if layer.kernel == "conv_direct":
        rows = layer.shapes.out_height
        long = x.margin == y.margin == (side or y).margin == Margin() and layer.form.kernel == (1, 1)
        few = rows * layer.shapes.out_width < threads * FEWEST_ROWS * 8 if long else rows < threads * FEWEST_ROWS
        if few or streams(layer.packs[0].floats * FLOAT_BYTES):
            return _by_filters(layer, y, side, threads)
        return _by_rows(layer, x, y, side, threads)
    return _by_channels(layer, x, y, side, threads)


def operations(layer: Layer) -> float:
    shapes, taps = layer.shapes, math.prod(layer.form.kernel)
    inner = shapes.channels if layer.kernel in ("conv_direct", "conv_winograd", "conv_streamed") else 1
    return 2 * taps * inner * math.prod(shapes[3:]) * layer.images / getattr(layer.form, "groups", 1) * (
        shapes.filters if layer.kernel == "conv_depthwise" else 1)


def for_threads(layer: Layer, threads: int) -> Layer:
    """A Winograd layer that transforms as many tiles at a time as a share has, each share in a scratch of its own."""
    if layer.kernel == "conv_streamed":
        return layer._replace(scratch=layer.scratch * threads)
    if threads == 1 or layer.kernel != "conv_winograd":
        return layer
    tiles = min(layer.tiles, -(-_tiles(layer) // threads))
    pack, bias = layer.packs
    return layer._replace(tiles=tiles, packs=(pack._replace(sizes=(*pack.sizes[:-1], tiles)), bias),
                          scratch=layer.scratch // layer.tiles * tiles * threads)


def _tiles(layer: Layer) -> int:
    return math.prod(math.ceil(length / layer.tile) for length in layer.shapes[4:])


def _by_tiles(layer: Layer, threads: int) -> list[Share]:
    scratch = layer.scratch // threads
    return [Share(layer._replace(span=span), s=i * scratch)
            for i, span in enumerate(ranges(_tiles(layer), threads))]


def _by_rows(layer: Layer, x: Geometry, y: Geometry, side: Geometry | None, threads: int) -> list[Share]:
    stride = layer.form.stride[0]
    return [Share(layer._replace(shapes=layer.shapes._replace(out_height=last - first)), x=first * stride * x.row,
                  y=first * y.row, r=first * side.row if side else 0)
            for first, last in ranges(layer.shapes.out_height, threads)]


def _by_filters(layer: Layer, y: Geometry, side: Geometry | None, threads: int) -> list[Share]:
    filters, depth, blocks = layer.shapes.filters, layer.shapes.channels * math.prod(layer.form.kernel), WIDEST // BLOCK
    return [Share(layer._replace(shapes=layer.shapes._replace(filters=min(last * WIDEST, filters) - first * WIDEST)),
                  w=first * WIDEST * depth, b=first * WIDEST, y=first * blocks * y.block,
                  r=first * blocks * side.block if side else 0)
            for first, last in ranges(-(-filters // WIDEST), threads)]


def _by_channels(layer: Layer, x: Geometry, y: Geometry, side: Geometry | None, threads: int) -> list[Share]:
    """Of depthwise convolutions and pooling."""
    channels, taps = layer.shapes.channels, math.prod(layer.form.kernel)
    return [Share(layer._replace(shapes=layer.shapes._replace(channels=min(last * BLOCK, channels) - first * BLOCK)),
                  x=first * x.block, w=first * taps * BLOCK, b=first * BLOCK, y=first * y.block,
                  r=first * side.block if side else 0)
            for first, last in ranges(-(-channels // BLOCK), threads)]


def walk(steps: Sequence[Sequence[str]], threads: int) -> list[str]:
    """The forward pass as every thread walks through it: its shares of a step, or all of it by the first thread, then
    it meets the others."""
    if threads == 1:
        return [statement for step in steps for statement in step]
    lines: list[str] = []
    alone: list[str] = []

    def together() -> None:
        if alone:
            lines.extend(["if (!me) {", *(f"    {statement}" for statement in alone), "}", "meet_(team);"])
            alone.clear()
    for step in steps:
        if len(step) == 1:
            alone.append(step[0])
            continue
        together()
        lines.append(f"for (int share = me; share < {len(step)}; share += members) switch (share) {{")
        lines.extend(f"case {i}: {{ {statement} }} break;" for i, statement in enumerate(step))
        lines.extend(["}", "meet_(team);"])
    together()
    return lines
