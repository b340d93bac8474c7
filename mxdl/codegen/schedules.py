"""How each convolution is computed: by direct sums or by which of Winograd's tiles, as a model of the costs says."""
from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

from ..ops.blocked import Convolve
from .geometry import BLOCK

PLANES = 4      # input channels up to which a convolution reads planes, or pixels of two rows and columns
CACHE_BYTES = 1 << 21       # a core's second-level cache
#: of a core of some 200 GFLOP/s: what the cost model weighs work (FLOP) against memory (bytes) with
FLOPS_PER_BYTE = 8          # parameters stream from memory at 13 GB/s, for a part while sums are computed
TRANSFORM_FLOPS = 20        # what writing and reading a transformed element costs
FILTER_FLOPS = 200          # what transforming a filter of one channel costs as it is read
FILTER_TILES = 4            # tiles for which that is done once
HALVED_TILES = 14           # at a time, of a few channels: their products are longer than the filters


class Shapes(NamedTuple):
    """Of one image: C, H, W in; O, Y, X out."""

    channels: int
    height: int
    width: int
    filters: int
    out_height: int
    out_width: int


class Schedule(NamedTuple):
    """How a convolution with a choice is computed.  tile: output pixels a side of a Winograd tile, 0 for direct sums.
    tiles: how many are transformed at a time, 0 for as many as the cost model says.
    streamed: filters are transformed whenever they are read (tiles of 4 x 4, all at a time)."""

    tile: int = 0
    tiles: int = 0
    streamed: bool = False


Choose = Callable[[Convolve, Shapes], Schedule]


def winograd_fits(form: Convolve, shapes: Shapes) -> bool:
    least = min(shapes.channels, shapes.filters)
    return (form.kernel, form.stride, form.dilate, form.groups) == ((3, 3), (1, 1), (1, 1), 1) and least >= BLOCK


def halves_fit(form: Convolve, shapes: Shapes) -> bool:
    """Whether it is one of 4 x 4 taps and stride 1 over pixels that hold two rows and columns, in one block: for these
    F(4x4) is the one way beside direct sums."""
    return (form.kernel, form.stride, form.dilate, form.groups) == ((7, 7), (2, 2), (1, 1), 1) and (
        shapes.channels <= PLANES and shapes.filters >= BLOCK)


def direct(form: Convolve, shapes: Shapes) -> Schedule:
    """Without Winograd's algorithm, which rounds more."""
    return Schedule()


def cost_model(form: Convolve, shapes: Shapes) -> Schedule:
    if halves_fit(form, shapes):
        costs = {Schedule(4): _winograd_cost(halved(form, shapes)[1], Schedule(4), 7)}
    else:
        costs = {schedule: _winograd_cost(shapes, schedule, schedule.tile + 2)
                 for schedule in (Schedule(4), Schedule(2), Schedule(4, streamed=True))}
    products = math.prod(form.kernel) * shapes.channels * shapes.filters
    costs[Schedule()] = 2 * products * shapes.out_height * shapes.out_width + 4 * products * FLOPS_PER_BYTE
    return min(costs, key=lambda schedule: costs[schedule])


def _winograd_cost(shapes: Shapes, schedule: Schedule, side: int) -> float:
    points, pairs = side ** 2, shapes.channels * shapes.filters
    tiles = num_tiles(shapes, schedule.tile)
    work = points * tiles * (2 * pairs + (shapes.channels + shapes.filters) * TRANSFORM_FLOPS)
    if schedule.streamed:
        return work + pairs * (math.ceil(tiles / FILTER_TILES) * FILTER_FLOPS + 9 * 4 * FLOPS_PER_BYTE)
    return work + pairs * points * 4 * FLOPS_PER_BYTE


def num_tiles(shapes: Shapes, tile: int) -> int:
    return math.prod(math.ceil(length / tile) for length in shapes[4:])


def halved(form: Convolve, shapes: Shapes) -> tuple[Convolve, Shapes]:
    """The convolution over pixels that hold two rows and columns of the image (kernels/blocked.c.in, to_halved)."""
    top, left = (math.ceil(pad / 2) for pad in form.pad)
    return (Convolve((4, 4), (1, 1), (top, left), (1, 1), 1),
            shapes._replace(channels=4 * shapes.channels, height=math.ceil(shapes.height / 2),
                            width=math.ceil(shapes.width / 2)))


def streams(num_bytes: int) -> bool:
    """Whether parameters come from memory each time that they are read."""
    return num_bytes > CACHE_BYTES // 2


def winograd_tiles(total: int, tile_bytes: int, room_bytes: int) -> int:
    """How many tiles are transformed at a time: as there is room, evenly, in multiples of seven."""
    runs = math.ceil(total / max(room_bytes // tile_bytes, 14))
    each = math.ceil(total / runs)
    return each if runs == 1 else math.ceil(each / 7) * 7
