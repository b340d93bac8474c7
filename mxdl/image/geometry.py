"""Resizing, cropping and turning images.  Sizes are (width, height); interp: 0 nearest, 1 bilinear, 2 bicubic, 3 area,
4 Lanczos, 9 bicubic to enlarge and area to shrink, 10 drawn at random.  Random choices come from Python's generator."""
from __future__ import annotations

import math
import random
from typing import Any

import torch

from .. import ndarray
from ..ndarray import NDArray
from ..ops.image import rotated
from ..ops.resize import AREA, BICUBIC

Size = tuple[int, int]


def imresize(src: NDArray, w: int, h: int, interp: int = 1, out: NDArray | None = None) -> NDArray:
    """The image as width w and height h."""
    method = _interpolation(interp, src.shape[:2], (h, w))
    return ndarray._internal._cvimresize(src, w=w, h=h, interp=method, out=out)


def _interpolation(interp: int, old: tuple, new: tuple) -> int:
    """The method meant by 9 and 10; the others as they are."""
    if interp == 9:
        if new[0] > old[0] and new[1] > old[1]:
            return BICUBIC
        return AREA if new[0] < old[0] and new[1] < old[1] else 1
    if interp == 10:
        return random.randint(0, 4)
    if interp not in range(5):
        raise ValueError(f"imresize: interp is one of 0, 1, 2, 3, 4, 9, 10; got {interp}")
    return interp


def scale_down(src_size: Size, size: Size) -> Size:
    """`size` made smaller, its shape kept, so that it fits into `src_size`."""
    (source_width, source_height), (width, height) = src_size, size
    if source_height < height:
        width, height = width * source_height / height, source_height
    if source_width < width:
        width, height = source_width, height * source_width / width
    return int(width), int(height)


def resize_short(src: NDArray, size: int, interp: int = 2) -> NDArray:
    """The image with its shorter side of length `size`, its shape kept."""
    height, width = src.shape[:2]
    if height > width:
        return imresize(src, size, size * height // width, interp)
    return imresize(src, size * width // height, size, interp)


def fixed_crop(src: NDArray, x0: int, y0: int, w: int, h: int, size: Size | None = None, interp: int = 2) -> NDArray:
    """The rectangle with corner (x0, y0), width w and height h; resized to `size` where that is given."""
    part = ndarray.image.crop(src, x=x0, y=y0, width=w, height=h)
    return part if size is None or (w, h) == tuple(size) else imresize(part, *size, interp)


def center_crop(src: NDArray, size: Size, interp: int = 2) -> tuple[NDArray, tuple[int, int, int, int]]:
    """The middle of the image, (x0, y0, w, h) of it; shrunk where the image is smaller than `size`, then resized."""
    height, width = src.shape[:2]
    w, h = scale_down((width, height), size)
    x0, y0 = (width - w) // 2, (height - h) // 2
    return fixed_crop(src, x0, y0, w, h, size, interp), (x0, y0, w, h)


def random_crop(src: NDArray, size: Size, interp: int = 2) -> tuple[NDArray, tuple[int, int, int, int]]:
    """As `center_crop`, at a place drawn at random."""
    height, width = src.shape[:2]
    w, h = scale_down((width, height), size)
    x0, y0 = random.randint(0, width - w), random.randint(0, height - h)
    return fixed_crop(src, x0, y0, w, h, size, interp), (x0, y0, w, h)


def random_size_crop(src: NDArray, size: Size, area: Any, ratio: tuple[float, float], interp: int = 2,
                     **kwargs: Any) -> tuple[NDArray, tuple[int, int, int, int]]:
    """A rectangle drawn at random, resized to `size`; `center_crop` where ten draws do not fit into the image.

    Args:
        area: (least, greatest) share of the image's area; a number is the least.
        ratio: (least, greatest) width / height.
    """
    height, width = src.shape[:2]
    if "min_area" in kwargs:
        area = kwargs.pop("min_area")
    low, high = (area, 1.0) if isinstance(area, (int, float)) else area
    for _ in range(10):
        wanted = random.uniform(low, high) * height * width
        shape = math.exp(random.uniform(math.log(ratio[0]), math.log(ratio[1])))
        w, h = round(math.sqrt(wanted * shape)), round(math.sqrt(wanted / shape))
        if 0 < w <= width and 0 < h <= height:
            x0, y0 = random.randint(0, width - w), random.randint(0, height - h)
            return fixed_crop(src, x0, y0, w, h, size, interp), (x0, y0, w, h)
    return center_crop(src, size, interp)


def color_normalize(src: NDArray, mean: Any, std: Any = None) -> NDArray:
    """(src - mean) / std, with numbers or arrays that broadcast to src."""
    centred = src - mean if mean is not None else src
    return centred / std if std is not None else centred


def imrotate(src: NDArray, rotation_degrees: Any, zoom_in: bool = False, zoom_out: bool = False) -> NDArray:
    """Images turned about their centre, black outside.

    Args:
        src: float32[C, H, W] or float32[N, C, H, W].
        rotation_degrees: counter-clockwise; for several images a number or one for each.
        zoom_in: enlarge until no black is seen.   zoom_out: shrink until all is seen.
    """
    if zoom_in and zoom_out:
        raise ValueError("imrotate: zoom_in and zoom_out exclude each other; got both")
    if src._data.dtype != torch.float32:
        raise TypeError(f"imrotate: needs float32 channels first; got {src.dtype.__name__}; use ToTensor before")
    if src.ndim not in (3, 4):
        raise ValueError(f"imrotate: needs float32[C, H, W] or float32[N, C, H, W]; got shape {src.shape}")
    images = src.to_torch() if src.ndim == 4 else src.to_torch()[None]
    degrees = rotation_degrees.asnumpy().ravel().tolist() if isinstance(rotation_degrees, NDArray) else rotation_degrees
    degrees = list(degrees) if isinstance(degrees, (list, tuple)) else [degrees] * len(images)
    if len(degrees) != len(images):
        raise ValueError(f"imrotate: {len(images)} images need as many angles; got {len(degrees)}")
    turned = torch.cat([rotated(image[None], float(angle), zoom_in, zoom_out)
                        for image, angle in zip(images, degrees, strict=True)])
    return NDArray.from_torch(turned if src.ndim == 4 else turned[0])


def random_rotate(src: NDArray, angle_limits: tuple[float, float], zoom_in: bool = False,
                  zoom_out: bool = False) -> NDArray:
    """`imrotate` by angles drawn from [least, greatest], one for each image."""
    count = src.shape[0] if src.ndim == 4 else 1
    return imrotate(src, [random.uniform(*angle_limits) for _ in range(count)], zoom_in, zoom_out)


def copyMakeBorder(src: NDArray, top: int, bot: int, left: int, right: int, type: int = 0, value: float = 0.0,
                   values: tuple[float, ...] = ()) -> NDArray:
    """The image with a border of one colour, `values` per channel or `value` for all.  Only type 0 (constant)."""
    if type != 0:
        raise ValueError(f"copyMakeBorder: type 0 (a constant border) is what there is; got {type}")
    height, width, channels = src.shape
    image = src.to_torch()
    framed = image.new_empty((height + top + bot, width + left + right, channels))
    framed[:] = torch.tensor(list(values) or [value] * channels).to(framed.dtype)
    framed[top:top + height, left:left + width] = image
    return NDArray.from_torch(framed)
