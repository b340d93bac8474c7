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
from .schedules import (
    CACHE_BYTES,
    HALVED_TILES,
    PLANES,
    Choose,
    Schedule,
    Shapes,
    halved,
    halves_fit,
    num_tiles,
    streams,
    winograd_fits,
    winograd_tiles,
)

GROUP = 64                  # filters whose products stay in the cache
NARROW = 196                # pixels up to which an image is narrow


class Pack(NamedTuple):
    """Parameters that `function`(source, to, *sizes) writes in the kernel's order, `floats` of them.  source: None for
    parameters that are absent (a bias of zeros).   sizes: numbers, or C expressions of an instruction set's widths."""

    function: str
    source: Value | None
    sizes: tuple[int | str, ...]
    floats: int


class Layer(NamedTuple):
    """kernel: an INLINE function of kernels/*.c.in.   lanes: channels in a block of its input.   margin: what it reads
    around the input.   packs: parameters, then bias.   scratch: floats.   images: of a batch.
    halved: whether its input's pixels hold two rows and columns of the image (form and shapes are of that then).
    tile, side, tiles: a Winograd tile's output and input pixels a side, and how many are transformed at a time; group:
    filters whose products are there at a time.   vectors: of filters in a register tile, a C expression.
    span: of a share of the tiles, see shares.py."""

    kernel: str
    form: Convolve | Pool
    shapes: Shapes
    images: int
    lanes: int = BLOCK
    margin: Margin = Margin()
    packs: tuple[Pack, ...] = ()
    scratch: int = 0
    halved: bool = False
    tiles: int = 0
    tile: int = 0
    side: int = 0
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
            shared = _parts(self, side, post, instance) if self.tile else ()
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
    fits = winograd_fits(form, shapes) or halves_fit(form, shapes)
    schedule = choose(form, shapes) if fits else Schedule()
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


def _winograd(form: Convolve, shapes: Shapes, images: int, weight: Value, bias: Pack,
              schedule: Schedule) -> Layer:
    tile, is_halved = schedule.tile, halves_fit(form, shapes)
    odd = (form.pad[0] % 2, form.pad[1] % 2)
    if is_halved:
        form, shapes = halved(form, shapes)
    side = tile + form.kernel[0] - 1
    deep, wide, points = _whole(shapes.channels), _whole(shapes.filters), side ** 2
    group = GROUP if wide % GROUP == 0 else wide
    room = CACHE_BYTES if streams(points * 4 * deep * wide) else CACHE_BYTES // 2
    total = num_tiles(shapes, tile)
    few = min(HALVED_TILES, total) if is_halved else 0
    tiles = schedule.tiles or few or winograd_tiles(total, points * 4 * (deep + group), room)
    pack = Pack("pack_halved" if is_halved else "pack_winograd", weight,
                (shapes.filters, shapes.channels, *(odd if is_halved else (side,)), group, tiles),
                points * shapes.channels * wide)
    return Layer("conv_winograd", form, shapes, images, margin=_tiled(form, shapes, tile), packs=(pack, bias),
                 halved=is_halved, tile=tile, side=side, tiles=tiles, group=group,
                 scratch=points * tiles * (deep + group))


def _streamed(form: Convolve, shapes: Shapes, images: int, weight: Value, bias: Pack) -> Layer:
    channels, tiles = shapes.channels, num_tiles(shapes, 4)
    pack = Pack("pack_conv", weight, (1, shapes.filters, channels, 9, 1, 1), _whole(shapes.filters) * channels * 9)
    return Layer("conv_streamed", form, shapes, images, margin=_tiled(form, shapes, 4), packs=(pack, bias), tile=4,
                 side=6, tiles=tiles, scratch=36 * tiles * (_whole(channels) + BLOCK))


def _tiled(form: Convolve, shapes: Shapes, tile: int) -> Margin:
    """The rows and columns beyond the input that whole tiles read."""
    return Margin(*form.pad, *(
        max(tile * math.ceil(out / tile) + kernel - 1 - pad - length, 0)
        for out, kernel, pad, length in zip(shapes[4:], form.kernel, form.pad, shapes[1:3], strict=True)))


def _parts(layer: Layer, side: Geometry | None, post: int, instance: Callable[[str, str], str]) -> tuple[str, ...]:
    """The functions of a Winograd layer that others of its shape share: those that gather tiles, multiply `tiles` of
    them, and those that are left, and scatter them."""
    shapes, first, last = layer.shapes, *_span(layer)
    tw = math.ceil(shapes.out_width / layer.tile)

    def products(count: int) -> str:
        sizes = (layer.tiles, shapes.channels, shapes.filters, layer.group, count)
        return instance("winograd_products", "(const float *v, const float *u, float *z) {\n"
                        f"    winograd_products({layer.side ** 2}, v, u, z, {', '.join(map(str, sizes))});\n}}")
    gather = instance("winograd_gather", "(const float *x, ptrdiff_t xb, ptrdiff_t xr, float *v, int first, "
                      f"int count) {{\n    winograd_gather({layer.side}, x, xb, xr, v, {layer.tiles}, {tw}, "
                      f"({shapes.channels} + VW - 1) / VW, first, count);\n}}")
    vectors = f"winograd_group({shapes.filters}, {layer.group})"
    others = products((last - first) % layer.tiles or layer.tiles)
    return gather, products(layer.tiles), others, _scatter(layer, vectors, side, post, instance)


def _scatter(layer: Layer, vectors: str, side: Geometry | None, post: int, instance: Callable[[str, str], str]) -> str:
    """The function that makes outputs of the products of `vectors` vectors of filters."""
    shapes = layer.shapes
    arguments = (layer.side, "z, b, y, yb, yr", "NULL, 0, 0" if side is None else "r, rb, rr", layer.tiles,
                 math.ceil(shapes.out_width / layer.tile), vectors, shapes.out_height, shapes.out_width, post,
                 "first, count")
    return instance("winograd_scatter", "(const float *z, const float *b, float *y, ptrdiff_t yb, ptrdiff_t yr, "
                    "const float *r, ptrdiff_t rb, ptrdiff_t rr, int first, int count) {\n    (void)r;\n    (void)rb;\n"
                    f"    (void)rr;\n    winograd_scatter({', '.join(map(str, arguments))});\n}}")


def _span(layer: Layer) -> tuple[int, int]:
    """Its tiles: the first, and the one behind the last."""
    return layer.span or (0, num_tiles(layer.shapes, layer.tile))


def _shared(layer: Layer, x: Geometry, side: Geometry | None, post: int,
            instance: Callable[[str, str], str]) -> tuple[str, str, str]:
    """The functions that gather, multiply and scatter the tiles of a streamed layer."""
    shapes, tiles = layer.shapes, layer.tiles
    tw = math.ceil(shapes.out_width / 4)
    gather = instance("streamed_gather", "(const float *x, float *v) {\n"
                      f"    streamed_gather(x, {x.block}, {x.row}, v, {tiles}, {tw}, {shapes.channels});\n}}")
    products = instance("streamed_products", "(const float *v, const float *w, float *z) {\n"
                        f"    streamed_products(v, w, z, {tiles}, {shapes.channels});\n}}")
    return gather, products, _scatter(layer, "1", side, post, instance)


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
    return (start, x.block, x.row, "w", "b", "y", y.block, y.row, *_side(side), "s", layer.side ** 2,
            layer.shapes.channels, layer.shapes.filters, layer.tiles, layer.group, *_span(layer))


def _pool_arguments(layer: Layer, x: Geometry, y: Geometry, side: Geometry | None, post: int) -> tuple:
    form, shapes = layer.form, layer.shapes
    return ("x", x.block, x.row, "y", y.block, y.row, shapes.channels, shapes.height, shapes.width,
            shapes.out_height, shapes.out_width, *form.kernel, *form.stride, *form.pad,
            ("max", "avg", "sum").index(form.kind), int(form.include_pad))


_ARGUMENTS = {"conv_direct": _conv_arguments, "conv_depthwise": _conv_arguments, "conv_winograd": _winograd_arguments,
              "conv_streamed": _winograd_arguments,
              "pool_blocked": _pool_arguments}
