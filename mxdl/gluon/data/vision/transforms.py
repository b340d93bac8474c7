"""Transforms of images: blocks on T[H, W, C] (most also take T[N, H, W, C]); `ToTensor` makes float32[C, H, W].

``dataset.transform_first(Compose([Resize(224), ToTensor()]))``
"""
from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

from .... import image
from ...block import Block
from ...hybrid import HybridBlock
from ...nn import Sequential

Size = int | tuple[int, int]


def _pair(size: Size) -> tuple[int, int]:
    return (size, size) if isinstance(size, int) else tuple(size)


class Compose(Sequential):
    """Transforms one after the other."""

    def __init__(self, transforms: Sequence[Block]):
        super().__init__()
        for transform in transforms:
            self.add(transform)


class RandomApply(Sequential):
    """A transform, or several one after the other, with probability `p`."""

    def __init__(self, transforms: Block | Sequence[Block], p: float = 0.5):
        super().__init__()
        self.transforms = transforms
        self.p = p
        for transform in [transforms] if isinstance(transforms, Block) else transforms:
            self.add(transform)

    def forward(self, x: Any, *args: Any) -> Any:
        return super().forward(x, *args) if random.random() < self.p else x


class Cast(HybridBlock):
    """The values in another dtype."""

    def __init__(self, dtype: Any = "float32"):
        super().__init__()
        self._dtype = dtype

    def hybrid_forward(self, F, x):
        return F.cast(x, dtype=self._dtype)


class ToTensor(HybridBlock):
    """uint8[H, W, C] of 0..255 as float32[C, H, W] of 0..1."""

    def hybrid_forward(self, F, x):
        return F.image.to_tensor(x)


class Normalize(HybridBlock):
    """(x - mean) / std for each channel of float[C, H, W]."""

    def __init__(self, mean: float | Sequence[float] = 0.0, std: float | Sequence[float] = 1.0):
        super().__init__()
        self._mean, self._std = (value if isinstance(value, (int, float)) else tuple(value) for value in (mean, std))

    def hybrid_forward(self, F, x):
        return F.image.normalize(x, mean=self._mean, std=self._std)


class Resize(HybridBlock):
    """The image as size = (width, height); one number: a square, or the shorter side with `keep_ratio`.

    Args:
        interpolation: 0 nearest, 1 bilinear, 2 bicubic, 3 area, 4 Lanczos.
    """

    def __init__(self, size: Size, keep_ratio: bool = False, interpolation: int = 1):
        super().__init__()
        self._size = size
        self._keep_ratio = keep_ratio
        self._interpolation = interpolation

    def hybrid_forward(self, F, x):
        return F.image.resize(x, size=self._size, keep_ratio=self._keep_ratio, interp=self._interpolation)


class CropResize(HybridBlock):
    """The rectangle with corner (x, y), resized to `size` where that is given."""

    def __init__(self, x: int, y: int, width: int, height: int, size: Size | None = None,
                 interpolation: int | None = None):
        super().__init__()
        self._rectangle = {"x": x, "y": y, "width": width, "height": height}
        self._size = size
        self._interpolation = 1 if interpolation is None else interpolation

    def hybrid_forward(self, F, x):
        part = F.image.crop(x, **self._rectangle)
        return part if self._size is None else F.image.resize(part, size=self._size, interp=self._interpolation)


class CenterCrop(Block):
    """The middle of the image, enlarged where the image is smaller than `size`."""

    def __init__(self, size: Size, interpolation: int = 1):
        super().__init__()
        self._size = _pair(size)
        self._interpolation = interpolation

    def forward(self, x):
        return image.center_crop(x, self._size, self._interpolation)[0]


class RandomResizedCrop(Block):
    """A rectangle drawn at random, resized to `size`.

    Args:
        scale: (least, greatest) share of the image's area.
        ratio: (least, greatest) width / height.
    """

    def __init__(self, size: Size, scale: tuple[float, float] = (0.08, 1.0),
                 ratio: tuple[float, float] = (3 / 4, 4 / 3), interpolation: int = 1):
        super().__init__()
        self._arguments = (_pair(size), scale, ratio, interpolation)

    def forward(self, x):
        return image.random_size_crop(x, *self._arguments)[0]


class RandomCrop(Block):
    """A part of `size` at a place drawn at random, after a border of `pad` black pixels on each side."""

    def __init__(self, size: Size, pad: int = 0, interpolation: int = 1):
        super().__init__()
        self._size = _pair(size)
        self._pad = pad
        self._interpolation = interpolation

    def forward(self, x):
        if self._pad:
            x = image.copyMakeBorder(x, *[self._pad] * 4)
        return image.random_crop(x, self._size, self._interpolation)[0]


class RandomFlipLeftRight(HybridBlock):
    """Left and right exchanged with probability `p`."""

    def __init__(self, p: float = 0.5):
        super().__init__()
        self._p = p

    def hybrid_forward(self, F, x):
        return F.image.random_flip_left_right(x, p=self._p)


class RandomFlipTopBottom(HybridBlock):
    """Top and bottom exchanged with probability `p`."""

    def __init__(self, p: float = 0.5):
        super().__init__()
        self._p = p

    def hybrid_forward(self, F, x):
        return F.image.random_flip_top_bottom(x, p=self._p)


class _RandomFactor(HybridBlock):
    """Something times a factor drawn from [max(0, 1 - reach), 1 + reach)."""

    _operator = ""

    def __init__(self, reach: float):
        super().__init__()
        self._factors = {"min_factor": max(0.0, 1 - reach), "max_factor": 1 + reach}

    def hybrid_forward(self, F, x):
        return getattr(F.image, self._operator)(x, **self._factors)


class RandomBrightness(_RandomFactor):
    """The image times a factor from [max(0, 1 - brightness), 1 + brightness)."""

    _operator = "random_brightness"

    def __init__(self, brightness: float):
        super().__init__(brightness)


class RandomContrast(_RandomFactor):
    """Distances from the mean grey times a factor from [max(0, 1 - contrast), 1 + contrast)."""

    _operator = "random_contrast"

    def __init__(self, contrast: float):
        super().__init__(contrast)


class RandomSaturation(_RandomFactor):
    """Distances from each pixel's grey times a factor from [max(0, 1 - saturation), 1 + saturation)."""

    _operator = "random_saturation"

    def __init__(self, saturation: float):
        super().__init__(saturation)


class RandomHue(HybridBlock):
    """Hues turned by a part of the colour wheel from [-hue, hue)."""

    def __init__(self, hue: float):
        super().__init__()
        self._hue = hue

    def hybrid_forward(self, F, x):
        return F.image.random_hue(x, min_factor=-self._hue, max_factor=self._hue)


class RandomColorJitter(HybridBlock):
    """Brightness, contrast, saturation and hue changed at random, in an order drawn too."""

    def __init__(self, brightness: float = 0, contrast: float = 0, saturation: float = 0, hue: float = 0):
        super().__init__()
        self._reaches = {"brightness": brightness, "contrast": contrast, "saturation": saturation, "hue": hue}

    def hybrid_forward(self, F, x):
        return F.image.random_color_jitter(x, **self._reaches)


class RandomLighting(HybridBlock):
    """Noise along ImageNet's directions of colour variation, normal with standard deviation `alpha`."""

    def __init__(self, alpha: float):
        super().__init__()
        self._alpha = alpha

    def hybrid_forward(self, F, x):
        return F.image.random_lighting(x, alpha_std=self._alpha)


class Rotate(Block):
    """The image turned about its centre, black outside.  x: float32[C, H, W] or float32[N, C, H, W]

    Args:
        rotation_degrees: counter-clockwise.
        zoom_in: enlarge until no black is seen.   zoom_out: shrink until all is seen.
    """

    def __init__(self, rotation_degrees: float, zoom_in: bool = False, zoom_out: bool = False):
        super().__init__()
        self._arguments = (rotation_degrees, zoom_in, zoom_out)

    def forward(self, x):
        return image.imrotate(x, *self._arguments)


class RandomRotation(Block):
    """The image turned by an angle drawn from `angle_limits`, with probability `rotate_with_proba`; see `Rotate`."""

    def __init__(self, angle_limits: tuple[float, float], zoom_in: bool = False, zoom_out: bool = False,
                 rotate_with_proba: float = 1.0):
        super().__init__()
        lower, upper = angle_limits
        if lower >= upper:
            raise ValueError(f"RandomRotation: angle_limits are (least, greatest); got {angle_limits}")
        if not 0 <= rotate_with_proba <= 1:
            raise ValueError(f"RandomRotation: rotate_with_proba is from 0 to 1; got {rotate_with_proba}")
        self._arguments = (angle_limits, zoom_in, zoom_out)
        self._probability = rotate_with_proba

    def forward(self, x):
        return image.random_rotate(x, *self._arguments) if random.random() < self._probability else x
