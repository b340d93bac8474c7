"""Images from files and bytes, decoded by Pillow."""
from __future__ import annotations

import os
from io import BytesIO
from typing import Any

import numpy as np

from ..errors import FileFormatError, MXNetError
from ..ndarray import NDArray, array


def decode(content: Any, flag: int = 1, to_rgb: bool = True, where: str = "imdecode") -> np.ndarray:
    """The pixels of an encoded image.

    Args:
        content: the file's bytes, or a uint8 array of them.
        flag: 1: three channels; 0: grey; -1: as the file has it.
        to_rgb: channels red, green, blue; False: blue, green, red.
    Returns:
        uint8[H, W, C]
    Raises:
        FileFormatError: no image, or a damaged one.
    """
    try:
        from PIL import Image, UnidentifiedImageError
    except ImportError:
        raise MXNetError(f"{where}: decoding needs Pillow, which is not installed; do pip install pillow") from None
    if hasattr(content, "asnumpy"):
        content = content.asnumpy()
    data = content.tobytes() if isinstance(content, np.ndarray) else bytes(content)
    try:
        image = Image.open(BytesIO(data))
        mode = {0: "L", 1: "RGB"}.get(flag, "L" if image.mode in ("1", "L", "I", "I;16") else "RGB")
        pixels = np.asarray(image.convert(mode))
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError) as error:
        raise FileFormatError(f"{where}: these {len(data)} bytes are no image that Pillow can read, or a damaged one "
                              f"({error})") from error
    if mode == "L":
        return pixels[..., None]
    return pixels if to_rgb else pixels[..., ::-1]


def imdecode(buf: Any, flag: int = 1, to_rgb: bool = True, out: NDArray | None = None) -> NDArray:
    """The image in an encoded file's bytes, uint8[H, W, C]; see `decode`."""
    return _to_array(decode(buf, flag, bool(to_rgb)), out)


def imread(filename: str | os.PathLike, flag: int = 1, to_rgb: bool = True, out: NDArray | None = None) -> NDArray:
    """The image in a file, uint8[H, W, C]; see `decode`."""
    with open(filename, "rb") as stream:
        content = stream.read()
    return _to_array(decode(content, flag, bool(to_rgb), f"imread: {os.fspath(filename)}"), out)


def _to_array(pixels: np.ndarray, out: NDArray | None) -> NDArray:
    image = array(pixels, dtype="uint8")
    if out is None:
        return image
    out[:] = image
    return out
