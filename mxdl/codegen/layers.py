"""Kernels of blocked buffers: what each reads, needs and how it is called.  One object computes one group's node.

A layer's function takes (x, w, b, y, r, s): input, packed parameters and bias, output, side input of the tail, scratch;
every size in it is a constant, so that the compiler unrolls it for the shape.
"""
from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

from ..graph import Value
from ..ops.blocked import Convolve, Pool
from .geometry import BLOCK, Geometry, Margin

PLANES = 4      # input channels up to which a convolution reads planes
CACHE_BYTES = 1 << 21       # a core's second-level cache
#: of a core of some 200 GFLOP/s: what the cost model weighs work (FLOP) against memory (bytes) with
FLOPS_PER_BYTE = 8          # parameters stream from memory at 13 GB/s, for a part while sums are computed
TRANSFORM_FLOPS = 20        # what writing and reading a transformed element costs
FILTER_FLOPS = 200          # what transforming a filter of one channel costs as it is read
FILTER_TILES = 4            # tiles for which that is done once
GROUP = 64                  # filters whose products stay in the cache
NARROW = 196                # pixels up to which an image is narrow


class Pack(NamedTuple):
    """Parameters that `function`(source, to, *sizes) writes in the kernel's order, `floats` of them.  source: None for
    parameters that are absent (a bias of zeros).   sizes: numbers, or C expressions of an instruction set's widths."""

    function: str
    source: Value | None
    sizes: tuple[int | str, ...]
    floats: int


class Shapes(NamedTuple):
    """Of one image: C, H, W in; O, Y, X out."""

    channels: int
    height: int
    width: int
    filters: int
    out_height: int
    out_width: int


class Schedule(NamedTuple):
    """How a 3x3 convolution is computed.  tile: output pixels a side of a Winograd tile, 0 for the direct sum.
    tiles: how many are transformed at a time, 0 for as many as the cost model says.
    streamed: filters are transformed whenever they are read (tiles of 4 x 4, all at a time)."""

    tile: int = 0
    tiles: int = 0
    streamed: bool = False


class Layer(NamedTuple):
    """kernel: an INLINE function of kernels/*.c.in.   lanes: channels in a block of its input.   margin: what it reads
    around the input.   packs: parameters, then bias.   scratch: floats.   images: of a batch.
    tile, tiles: a Winograd tile's output pixels a side, and how many are transformed at a time; group: filters whose
    products are there at a time.   vectors: of filters in a register tile, a C expression.
    span: of a share of the tiles, see shares.py."""

    kernel: str
    form: Convolve | Pool
    shapes: Shapes
    images: int
    lanes: int = BLOCK
    margin: Margin = Margin()
    packs: tuple[Pack, ...] = ()
    scratch: int = 0
    tiles: int = 0
    tile: int = 0
    group: int = 0
    vectors: str = "TILE_V"
    span: tuple[int, int] | None = None

    def fitted(self, x: Geometry, y: Geometry, side: Geometry | None) -> Layer:
        """The layer with register tiles that fit its buffers."""
        if self.kernel != "conv_direct":
            return self
        pixels = self.shapes.out_height * self.shapes.out_width
        narrow = pixels <= NARROW and not (_is_row(self, x, y, side) and pixels % 14)   # 2 vectors by 14 pixels
        vectors = "(TILE_V > 2 ? TILE_V / 2 : TILE_V)" if narrow else "TILE_V"
        weight, *others = self.packs
        return self._replace(vectors=vectors, packs=(weight._replace(sizes=(*weight.sizes[:-1], vectors)), *others))

    def arguments(self, x: Geometry, y: Geometry, side: Geometry | None, post: int,
                  instance: Callable[[str, str], str]) -> str:
        """The call's arguments in the words of the layer's function; x, y and r point at first pixels.
        instance(kernel, definition): the name of a function that layers may share, made once."""
        if self.kernel == "conv_streamed":
            shared = _shared(self, x, side, post, instance)
        else:
            shared = _products(self, instance) if self.tile else ()
        return ", ".join(map(str, (*_ARGUMENTS[self.kernel](self, x, y, side, post), *shared)))


def convolution(form: Convolve, shapes: Shapes, images: int, weight: Value, bias: Value | None,
                choose: Choose) -> Layer | None:
    """The layer of a convolution, scheduled by `choose` where there is a choice; None where blocked buffers do not fit
    (odd groups)."""
    margin = _reach(form, shapes)
    channels, filters = shapes.channels, shapes.filters
    bias_pack = Pack("pack_bias", bias, (filters,), _whole(filters))
    taps = math.prod(form.kernel)

    def packed(groups: int, inner: int, lanes: int) -> tuple[Pack, ...]:
        sizes = (groups, filters // groups, inner, taps, lanes, "TILE_V")
        return (Pack("pack_conv", weight, sizes, _whole(filters) * inner * taps), bias_pack)
    if form.groups == channels == filters and channels > 1:
        pack = Pack("pack_depthwise", weight, (channels, taps), _whole(channels) * taps)
        return Layer("conv_depthwise", form, shapes, images, margin=margin, packs=(pack, bias_pack))
    if form.groups > 1:
        whole = channels // form.groups % BLOCK == 0 and filters // form.groups % BLOCK == 0
        return Layer("conv_direct", form, shapes, images, margin=margin,
                     packs=packed(form.groups, channels // form.groups, BLOCK)) if whole else None
    schedule = choose(form, shapes) if winograd_fits(form, shapes) else Schedule()
    if schedule.streamed:
        return _streamed(form, shapes, images, weight, bias_pack)
    if schedule.tile:
        return _winograd(form, shapes, images, weight, bias_pack, schedule)
    lanes = 1 if channels <= PLANES else BLOCK
    return Layer("conv_direct", form, shapes, images, lanes, margin, packed(1, channels, lanes))


def pooling(form: Pool, shapes: Shapes, images: int) -> Layer:
    return Layer("pool_blocked", form, shapes, images)


def _whole(channels: int) -> int:
    return -(-channels // BLOCK) * BLOCK


def _reach(form: Convolve, shapes: Shapes) -> Margin:
    """The rows and columns beyond the input that windows touch."""
    bottom, right = ((out - 1) * stride + (kernel - 1) * dilate - pad - (length - 1)
                     for out, stride, kernel, dilate, pad, length in zip(
                         shapes[4:], form.stride, form.kernel, form.dilate, form.pad, shapes[1:3], strict=True))
    return Margin(*form.pad, max(bottom, 0), max(right, 0))


Choose = Callable[[Convolve, Shapes], Schedule]


def winograd_fits(form: Convolve, shapes: Shapes) -> bool:
    least = min(shapes.channels, shapes.filters)
    return (form.kernel, form.stride, form.dilate, form.groups) == ((3, 3), (1, 1), (1, 1), 1) and least >= BLOCK


def direct(form: Convolve, shapes: Shapes) -> Schedule:
    """Without Winograd's algorithm, which rounds more."""
    return Schedule()


def cost_model(form: Convolve, shapes: Shapes) -> Schedule:
    costs = {schedule: _winograd_cost(shapes, schedule)
             for schedule in (Schedule(4), Schedule(2), Schedule(4, streamed=True))}
    products = 9 * shapes.channels * shapes.filters
    costs[Schedule()] = 2 * products * shapes.out_height * shapes.out_width + 4 * products * FLOPS_PER_BYTE
    return min(costs, key=lambda schedule: costs[schedule])


def _winograd_cost(shapes: Shapes, schedule: Schedule) -> float:
    tile = schedule.tile
    points, pairs = (tile + 2) ** 2, shapes.channels * shapes.filters
    tiles = _tiles(shapes, tile)
    work = points * tiles * (2 * pairs + (shapes.channels + shapes.filters) * TRANSFORM_FLOPS)
    if schedule.streamed:
        return work + pairs * (math.ceil(tiles / FILTER_TILES) * FILTER_FLOPS + 9 * 4 * FLOPS_PER_BYTE)
    return work + pairs * points * 4 * FLOPS_PER_BYTE


def _tiles(shapes: Shapes, tile: int) -> int:
    return math.prod(math.ceil(length / tile) for length in shapes[4:])


def _winograd(form: Convolve, shapes: Shapes, images: int, weight: Value, bias: Pack,
              schedule: Schedule) -> Layer:
    tile = schedule.tile
    deep, wide, points = _whole(shapes.channels), _whole(shapes.filters), (tile + 2) ** 2
    group = GROUP if wide % GROUP == 0 else wide
    room = CACHE_BYTES if streams(points * 4 * deep * wide) else CACHE_BYTES // 2
    tiles = schedule.tiles or winograd_tiles(_tiles(shapes, tile), points * 4 * (deep + group), room)
    sizes = (shapes.filters, shapes.channels, tile, group, tiles)
    pack = Pack("pack_winograd", weight, sizes, points * shapes.channels * wide)
    return Layer("conv_winograd", form, shapes, images, margin=_tiled(form, shapes, tile), packs=(pack, bias),
                 tile=tile, tiles=tiles, group=group, scratch=points * tiles * (deep + group))


def _streamed(form: Convolve, shapes: Shapes, images: int, weight: Value, bias: Pack) -> Layer:
    channels, tiles = shapes.channels, _tiles(shapes, 4)
    pack = Pack("pack_conv", weight, (1, shapes.filters, channels, 9, 1, 1), _whole(shapes.filters) * channels * 9)
    return Layer("conv_streamed", form, shapes, images, margin=_tiled(form, shapes, 4), packs=(pack, bias), tile=4,
                 tiles=tiles, scratch=36 * tiles * (_whole(channels) + BLOCK))


def _tiled(form: Convolve, shapes: Shapes, tile: int) -> Margin:
    """The rows and columns beyond the input that whole tiles read."""
    return Margin(*form.pad, *(max(tile * math.ceil(out / tile) + 2 - pad - length, 0) for out, pad, length in zip(
        shapes[4:], form.pad, shapes[1:3], strict=True)))


def streams(num_bytes: int) -> bool:
    """Whether parameters come from memory each time that they are read."""
    return num_bytes > CACHE_BYTES // 2


def _products(layer: Layer, instance: Callable[[str, str], str]) -> tuple[str, str]:
    """The functions that multiply a Winograd layer's transformed tiles: `tiles` of them, and those that are left."""
    shapes, points = layer.shapes, (layer.tile + 2) ** 2
    total = _tiles(shapes, layer.tile)
    if layer.span:
        total = layer.span[1] - layer.span[0]

    def products(count: int) -> str:
        sizes = (layer.tiles, shapes.channels, shapes.filters, layer.group, count)
        return instance("winograd_products", "(const float *v, const float *u, float *z) {\n"
                        f"    winograd_products({points}, v, u, z, {', '.join(map(str, sizes))});\n}}")
    return products(layer.tiles), products(total % layer.tiles or layer.tiles)


def _shared(layer: Layer, x: Geometry, side: Geometry | None, post: int,
            instance: Callable[[str, str], str]) -> tuple[str, str, str]:
    """The functions that gather, multiply and scatter the tiles of a streamed layer."""
    shapes, tiles = layer.shapes, layer.tiles
    tw = math.ceil(shapes.out_width / 4)
    r, rr = ("r", "rr") if side is not None else ("NULL", "0")
    gather = instance("streamed_gather", "(const float *x, float *v) {\n"
                      f"    streamed_gather(x, {x.block}, {x.row}, v, {tiles}, {tw}, {shapes.channels});\n}}")
    products = instance("streamed_products", "(const float *v, const float *w, float *z) {\n"
                        f"    streamed_products(v, w, z, {tiles}, {shapes.channels});\n}}")
    scatter = instance("streamed_scatter", "(const float *z, const float *b, float *y, ptrdiff_t yr, const float *r, "
                       "ptrdiff_t rr) {\n    (void)r;\n    (void)rr;\n"
                       f"    winograd_scatter(4, z, b, y, 0, yr, {r}, 0, {rr}, {tiles}, {tw}, 1, {shapes.out_height}, "
                       f"{shapes.out_width}, {post}, 0, {tiles});\n}}")
    return gather, products, scatter


def winograd_tiles(total: int, tile_bytes: int, room_bytes: int) -> int:
    """How many tiles are transformed at a time: as there is room, evenly, in multiples of seven."""
    runs = math.ceil(total / max(room_bytes // tile_bytes, 14))
    each = math.ceil(total / runs)
    return each if runs == 1 else math.ceil(each / 7) * 7


def _side(side: Geometry | None) -> tuple:
    return ("r", side.block, side.row) if side is not None else ("NULL", 0, 0)


def _is_row(layer: Layer, x: Geometry, y: Geometry, side: Geometry | None) -> bool:
    """Whether the rows of a 1x1 convolution's images lie together, so that they are one long row."""
    is_pointwise = (*layer.form.kernel, *layer.form.stride, *layer.form.pad) == (1, 1, 1, 1, 0, 0)
    return is_pointwise and all(g is None or g.margin == Margin() for g in (x, y, side))


def _conv_arguments(layer: Layer, x: Geometry, y: Geometry, side: Geometry | None, post: int) -> tuple:
    form, shapes = layer.form, layer.shapes
    start = f"x - {form.pad[0] * x.row + form.pad[1] * x.lanes}" if any(form.pad) else "x"
    oh, ow = shapes.out_height, shapes.out_width
    if layer.kernel == "conv_direct" and _is_row(layer, x, y, side):
        oh, ow = 1, oh * ow
    buffers = (start, x.block, x.row, "w", "b", "y", y.block, y.row, *_side(side))
    windows = (oh, ow, *form.kernel, *form.stride, *form.dilate, post)
    if layer.kernel == "conv_depthwise":
        return (*buffers, shapes.channels, *windows)
    each = (shapes.channels // form.groups, layer.lanes, shapes.filters // form.groups)
    return (*buffers, *each, *windows, layer.vectors)


def _winograd_arguments(layer: Layer, x: Geometry, y: Geometry, side: Geometry | None, post: int) -> tuple:
    shift = (1 - layer.form.pad[0]) * x.row + (1 - layer.form.pad[1]) * x.lanes
    start = f"x + {shift}" if shift else "x"
    if layer.kernel == "conv_streamed":
        return (start, "w", "b", "y", y.block, y.row, *_side(side), "s", layer.shapes.channels, layer.shapes.filters,
                layer.tiles)
    return (start, x.block, x.row, "w", "b", "y", y.block, y.row, *_side(side), "s", layer.shapes.channels,
            layer.shapes.filters, layer.shapes.out_height, layer.shapes.out_width, layer.tile, layer.tiles, layer.group,
            post, *(layer.span or ()))


def _pool_arguments(layer: Layer, x: Geometry, y: Geometry, side: Geometry | None, post: int) -> tuple:
    form, shapes = layer.form, layer.shapes
    return ("x", x.block, x.row, "y", y.block, y.row, shapes.channels, shapes.height, shapes.width,
            shapes.out_height, shapes.out_width, *form.kernel, *form.stride, *form.pad,
            ("max", "avg", "sum").index(form.kind), int(form.include_pad))


_ARGUMENTS = {"conv_direct": _conv_arguments, "conv_depthwise": _conv_arguments, "conv_winograd": _winograd_arguments,
              "conv_winograd_share": _winograd_arguments, "conv_streamed": _winograd_arguments,
              "pool_blocked": _pool_arguments}
