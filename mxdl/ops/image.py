"""Operators on images: T[..., H, W, C] with values 0..255, or float[..., C, H, W] after `_image_to_tensor`.

Colours are red, green, blue.  Whole numbers are computed in float32, held within their range and cut, as in MXNet.
"""
from __future__ import annotations

import math

import torch
from torch import Tensor

from ..errors import ShapeError
from . import resize as resizing
from .operator import NOT_DIFFERENTIABLE, operator
from .resize import to_pixels
from .samples import Sample
from .traits import CHEAP, Traits

PIXELS = Traits(recompute=CHEAP)
GREY = (0.299, 0.587, 0.114)
#: ImageNet's directions of colour variation, scaled by their spread (Krizhevsky et al. 2012)
LIGHTING = ((55.46 * -0.5675, 4.794 * 0.7192, 1.148 * 0.4009),
            (55.46 * -0.5808, 4.794 * -0.0045, 1.148 * -0.8140),
            (55.46 * -0.5836, 4.794 * -0.6948, 1.148 * 0.4203))
PICTURE = torch.randint(0, 256, (4, 6, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(1)).numpy()
RANDOM = "the random draws are mxdl's own"


def image_operator(name: str, *samples: Sample, **entry):
    """An operator on pixels that has no gradient."""
    entry.setdefault("gradient", NOT_DIFFERENTIABLE)
    return operator(f"_image_{name}", aliases=(f"_npx__image_{name}",), traits=PIXELS, samples=list(samples), **entry)


def pixels(**attrs) -> Sample:
    """A sample on a small picture."""
    return Sample(PICTURE, differentiable=(), resizable=False, **attrs)


def floats(**attrs) -> Sample:
    """A sample on the same picture in float32."""
    return Sample(PICTURE.astype("float32"), differentiable=(), resizable=False, **attrs)


def factors(parity: str = "") -> list[Sample]:
    """Samples with a factor that is fixed, to be compared with MXNet, and with one that is drawn."""
    return [pixels(min_factor=1.3, max_factor=1.3, parity=parity),
            pixels(min_factor=0.7, max_factor=1.3, parity=RANDOM)]


def draw(seed: int, low: float, high: float, count: int = 1) -> list[float]:
    """Numbers uniform on [low, high)."""
    generator = torch.Generator().manual_seed(seed)
    numbers = torch.rand(count, generator=generator, dtype=torch.float64, device="cpu")
    return (numbers * (high - low) + low).tolist()


@image_operator("to_tensor", pixels())
def to_tensor(data):
    """data / 255 with channels first.  data: T[..., H, W, C];  out: float32[..., C, H, W]"""
    return data.movedim(-1, -3).to(torch.float32, memory_format=torch.contiguous_format) / 255


@image_operator("normalize", Sample((3, 4, 5), low=0.0, mean=(0.1, 0.2, 0.3), std=(0.5, 0.6, 0.7), resizable=False),
                Sample((2, 3, 4, 5), mean=(0.5,), std=(2.0,), resizable=False), gradient=None)
def normalize(data, *, mean: tuple[float, ...] = (0.0,), std: tuple[float, ...] = (1.0,)):
    """(data - mean) / std per channel, or for all by one number.  data, out: float[..., C, H, W]"""
    return (data - data.new_tensor(mean)[:, None, None]) / data.new_tensor(std)[:, None, None]


@image_operator("crop", pixels(x=1, y=2, width=3, height=2))
def crop(data, *, x: int, y: int, width: int, height: int):
    """The rectangle whose left upper corner is (x, y).  data: T[..., H, W, C];  out: T[..., height, width, C]"""
    rows, columns = data.shape[-3:-1]
    if not (0 <= x and 0 <= y and x + width <= columns and y + height <= rows):
        raise ShapeError(f"crop: the rectangle x={x}, y={y}, width={width}, height={height} is not inside the image of "
                         f"width {columns} and height {rows}")
    return data[..., y:y + height, x:x + width, :].clone()


@image_operator("resize", floats(size=(3,)), floats(size=(7, 3)), floats(size=(3,), keep_ratio=True),
                floats(size=(9, 7), interp=2), pixels(size=(12, 8), interp=0),
                pixels(size=(5, 3), parity="OpenCV adds up whole numbers in fixed point: one level more or less"))
def resize(data, *, size: tuple[int, ...], keep_ratio: bool = False, interp: int = 1):
    """The image as size = (width, height), or as one length: of the square, or of the shorter side with keep_ratio.

    interp: 0 nearest, 1 bilinear, 2 bicubic, 3 area, 4 Lanczos.  data: T[..., H, W, C]
    """
    if len(size) == 2:
        width, height = size
    else:
        width = height = size[0]
        if keep_ratio:
            rows, columns = data.shape[-3:-1]
            width, height = (width, rows * width // columns) if rows > columns else (columns * height // rows, height)
    return resizing.resize_images(data, height, width, interp)


@operator("_cvimresize", traits=PIXELS, gradient=NOT_DIFFERENTIABLE, samples=[floats(w=3, h=6)])
def cvimresize(src, *, w: int, h: int, interp: int = 1):
    """The image as width w and height h; see `_image_resize`.  src: T[H, W, C]"""
    return resizing.resize_images(src, h, w, interp)


@image_operator("flip_left_right", pixels())
def flip_left_right(data):
    """Left and right exchanged."""
    return data.flip(-2)


@image_operator("flip_top_bottom", pixels())
def flip_top_bottom(data):
    """Top and bottom exchanged."""
    return data.flip(-3)


@image_operator("random_flip_left_right", pixels(), parity=RANDOM)
def random_flip_left_right(data, *, p: float = 0.5, seed: int = 0):
    """Left and right exchanged with probability p."""
    return data.flip(-2) if draw(seed, 0, 1)[0] < p else data.clone()


@image_operator("random_flip_top_bottom", pixels(), parity=RANDOM)
def random_flip_top_bottom(data, *, p: float = 0.5, seed: int = 0):
    """Top and bottom exchanged with probability p."""
    return data.flip(-3) if draw(seed, 0, 1)[0] < p else data.clone()


def brightened(images: Tensor, factor: float) -> Tensor:
    """images: float32[..., H, W, C]"""
    return images * factor


def contrasted(images: Tensor, factor: float) -> Tensor:
    """Away from the mean grey of the image."""
    mean = grey(images).mean(dim=(-3, -2, -1), keepdim=True)
    return images * factor + mean * (1 - factor)


def saturated(images: Tensor, factor: float) -> Tensor:
    """Away from each pixel's grey."""
    return images if images.shape[-1] == 1 else images * factor + grey(images) * (1 - factor)


def grey(images: Tensor) -> Tensor:
    """float32[..., H, W, C] -> float32[..., H, W, 1]"""
    return images if images.shape[-1] == 1 else (images * images.new_tensor(GREY)).sum(dim=-1, keepdim=True)


def hue_turned(images: Tensor, turns: float) -> Tensor:
    """Each pixel's hue turned round the colour wheel, its lightness and saturation (HLS) kept."""
    if images.shape[-1] == 1:
        return images
    scaled = images / 255
    high, low = scaled.amax(dim=-1), scaled.amin(dim=-1)
    spread = high - low
    red, green, blue = scaled.unbind(dim=-1)
    safe = torch.where(spread > 0, spread, torch.ones_like(spread))
    sixths = torch.where(high == red, (green - blue) / safe, torch.where(
        high == green, (blue - red) / safe + 2, (red - green) / safe + 4))
    hue = sixths / 6 + turns
    # a channel falls off from `high` to `low` over a sixth of the wheel
    channels = [low + spread * ((((hue + shift) % 1) * 6 - 3).abs() - 1).clamp(0, 1)
                for shift in (0.0, -1 / 3, -2 / 3)]
    turned = torch.stack(channels, dim=-1) * 255
    return torch.where((spread > 0)[..., None], turned, images)


def lit(images: Tensor, alpha: list[float]) -> Tensor:
    """Plus `alpha` along ImageNet's directions of colour variation."""
    return images if images.shape[-1] == 1 else images + images.new_tensor(LIGHTING) @ images.new_tensor(alpha)


def changed(data: Tensor, function, *arguments) -> Tensor:
    """`function` of the image in float32, as pixels of its dtype again."""
    return to_pixels(function(data.float(), *arguments), data.dtype)


@image_operator("random_brightness", *factors())
def random_brightness(data, *, min_factor: float, max_factor: float, seed: int = 0):
    """data * factor, factor uniform on [min_factor, max_factor)."""
    return changed(data, brightened, draw(seed, min_factor, max_factor)[0])


@image_operator("random_contrast", *factors())
def random_contrast(data, *, min_factor: float, max_factor: float, seed: int = 0):
    """data away from its mean grey by a factor uniform on [min_factor, max_factor)."""
    return changed(data, contrasted, draw(seed, min_factor, max_factor)[0])


@image_operator("random_saturation", *factors("MXNet takes 0.114 * blue for grey"))
def random_saturation(data, *, min_factor: float, max_factor: float, seed: int = 0):
    """data away from each pixel's grey by a factor uniform on [min_factor, max_factor)."""
    return changed(data, saturated, draw(seed, min_factor, max_factor)[0])


@image_operator("random_hue", floats(min_factor=0.1, max_factor=0.1, tolerance=1e-4),
                pixels(min_factor=-0.3, max_factor=0.3, parity=RANDOM))
def random_hue(data, *, min_factor: float, max_factor: float, seed: int = 0):
    """Hues turned by a part of the wheel uniform on [min_factor, max_factor)."""
    return changed(data, hue_turned, draw(seed, min_factor, max_factor)[0])


@image_operator("random_color_jitter", pixels(brightness=0.1, contrast=0.2, saturation=0.3, hue=0.1), parity=RANDOM)
def random_color_jitter(data, *, brightness: float, contrast: float, saturation: float, hue: float, seed: int = 0):
    """Brightness, contrast, saturation and hue changed at random, in an order drawn too; 0: not."""
    steps = [(brightened, 1.0, brightness), (contrasted, 1.0, contrast), (saturated, 1.0, saturation),
             (hue_turned, 0.0, hue)]
    order = torch.randperm(len(steps), generator=torch.Generator().manual_seed(seed), device="cpu").tolist()
    factors = draw(seed, -1, 1, len(steps))
    for position in order:
        function, middle, reach = steps[position]
        if reach:
            factor = middle + reach * factors[position]
            data = changed(data, function, factor if function is hue_turned else max(factor, 0.0))
    return data.clone() if not (brightness or contrast or saturation or hue) else data


@image_operator("adjust_lighting", pixels(alpha=(0.1, 0.2, -0.1)))
def adjust_lighting(data, *, alpha: tuple[float, ...]):
    """data plus alpha along ImageNet's three directions of colour variation."""
    return changed(data, lit, list(alpha))


@image_operator("random_lighting", pixels(), parity=RANDOM)
def random_lighting(data, *, alpha_std: float = 0.05, seed: int = 0):
    """`adjust_lighting` with alpha normal with standard deviation alpha_std."""
    generator = torch.Generator().manual_seed(seed)
    return changed(data, lit, (torch.randn(3, generator=generator, device="cpu") * alpha_std).tolist())


def rotated(images: Tensor, degrees: float, zoom_in: bool = False, zoom_out: bool = False) -> Tensor:
    """Images turned about their centre (counter-clockwise for positive degrees), black outside, bilinear.

    zoom_in: no black is seen;  zoom_out: all of the image is seen.   images, out: float[N, C, H, W]
    """
    height, width = images.shape[-2:]
    angle = math.radians(degrees)
    cos, sin = math.cos(angle), math.sin(angle)
    scale = 1.0
    if zoom_in or zoom_out:
        covered = (abs(cos) + abs(sin) * height / width, abs(cos) + abs(sin) * width / height)
        scale = max(covered) if zoom_out else 1 / max(covered)
    shape = max(height - 1, 1) / max(width - 1, 1)      # from corner to corner, in pixels
    table = torch.tensor([[[cos * scale, -sin * scale * shape, 0], [sin * scale / shape, cos * scale, 0]]],
                         dtype=images.dtype)
    grid = torch.nn.functional.affine_grid(table.expand(len(images), 2, 3), list(images.shape), align_corners=True)
    return torch.nn.functional.grid_sample(images, grid.to(images.device), align_corners=True)
