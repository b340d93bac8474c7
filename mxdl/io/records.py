"""Batches of images out of RecordIO files: read, decoded and augmented by threads, ahead of the loop that uses them."""
from __future__ import annotations

import os
import random
import warnings
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np
import torch

from .. import recordio
from ..errors import FileFormatError
from ..image.codec import decode
from ..ndarray import NDArray
from ..ops.resize import resize_images
from .batch import DataBatch, DataDesc
from .iterator import DataIter


class ImageRecordIter(DataIter):
    """Images of a RecordIO file: float32[N, C, H, W] of (pixel - mean) / std * scale, red, green, blue.

    Args:
        path_imgrec: the records.   path_imgidx: their index; default the file is read through once.
        data_shape: (C, H, W) of an image, C 1 or 3.
        label_width: numbers a label has.
        resize: make the shorter side this long first; -1: leave it.
        rand_crop, rand_mirror: cut the part of data_shape out at random, else in the middle; mirror every other image.
        random_resized_crop, min_random_area, max_random_area, min_aspect_ratio, max_aspect_ratio: cut out a part of
            random area and shape, resized to data_shape.
        mean_r, mean_g, mean_b, std_r, std_g, std_b, scale: see above.
        shuffle, seed: draw the order anew for each pass.
        num_parts, part_index: take one of several parts of the records.
        round_batch: fill the last batch up from the start (`pad` says by how many), else leave the rest out.
        preprocess_threads, prefetch_buffer: threads that decode, and batches that they make ahead.
        dtype: of the data; "uint8" gives pixels as they are.
    """

    def __init__(self, path_imgrec: str | os.PathLike, data_shape: Sequence[int], batch_size: int,
                 path_imgidx: str | os.PathLike = "", label_width: int = 1, resize: int = -1, rand_crop: bool = False,
                 rand_mirror: bool = False, random_resized_crop: bool = False, min_random_area: float = 1.0,
                 max_random_area: float = 1.0, min_aspect_ratio: float = 0.75, max_aspect_ratio: float = 4 / 3,
                 mean_r: float = 0.0, mean_g: float = 0.0, mean_b: float = 0.0, std_r: float = 1.0,
                 std_g: float = 1.0, std_b: float = 1.0, scale: float = 1.0, shuffle: bool = False, seed: int = 0,
                 num_parts: int = 1, part_index: int = 0, round_batch: bool = True, preprocess_threads: int = 4,
                 prefetch_buffer: int = 4, dtype: str = "float32", data_name: str = "data",
                 label_name: str = "softmax_label", **ignored: Any):
        super().__init__(batch_size)
        if ignored:
            warnings.warn(f"ImageRecordIter: options that are not built are ignored: {', '.join(ignored)}",
                          stacklevel=2)
        self._channels, self._height, self._width = data_shape
        if self._channels not in (1, 3):
            raise ValueError(f"ImageRecordIter: data_shape is (C, H, W) with C 1 or 3; got {tuple(data_shape)}")
        self._path = os.fspath(path_imgrec)
        self._offsets = np.array_split(_offsets(self._path, path_imgidx), num_parts)[part_index]
        if not len(self._offsets):
            raise FileFormatError(f"ImageRecordIter: part {part_index} of {num_parts} of {self._path} has no records")
        self._label_width = label_width
        self._resize, self._rand_crop, self._rand_mirror = resize, rand_crop, rand_mirror
        self._area = (min_random_area, max_random_area) if random_resized_crop else None
        self._ratio = (min_aspect_ratio, max_aspect_ratio)
        self._mean = torch.tensor([mean_r, mean_g, mean_b][:self._channels], dtype=torch.float32)[:, None, None]
        self._factor = scale / torch.tensor([std_r, std_g, std_b][:self._channels])[:, None, None]
        self._dtype = getattr(torch, dtype)
        self._shuffle, self._round_batch = shuffle, round_batch
        self._orders, self._draws = np.random.default_rng(seed), random.Random(seed)
        label_shape = (batch_size,) if label_width == 1 else (batch_size, label_width)
        self.provide_data = [DataDesc(data_name, (batch_size, *data_shape), np.dtype(dtype).type)]
        self.provide_label = [DataDesc(label_name, label_shape)]
        self._ahead = max(1, prefetch_buffer)
        self._threads = ThreadPoolExecutor(max(1, preprocess_threads), thread_name_prefix="mxdl-images")
        self._waiting: deque[tuple[list[Future], int]] = deque()
        self._file = open(self._path, "rb")
        self.reset()

    def __len__(self) -> int:
        rounded = self.batch_size - 1 if self._round_batch else 0
        return (len(self._offsets) + rounded) // self.batch_size

    def reset(self) -> None:
        while self._waiting:
            for future in self._waiting.pop()[0]:
                future.cancel()
        self._order = self._orders.permutation(len(self._offsets)) if self._shuffle else np.arange(len(self._offsets))
        self._next = 0
        self._read_ahead()

    def _read_ahead(self) -> None:
        while len(self._waiting) < self._ahead and self._next < len(self):
            first = self._next * self.batch_size
            chosen = self._order.take(range(first, first + self.batch_size), mode="wrap")
            pad = max(0, first + self.batch_size - len(self._offsets))
            # random choices are drawn here, in order, so that they do not depend on which thread is first
            self._waiting.append(([self._threads.submit(self._sample, int(self._offsets[number]),
                                                        random.Random(self._draws.getrandbits(64)))
                                   for number in chosen], pad))
            self._next += 1

    def next(self) -> DataBatch:
        if not self._waiting:
            raise StopIteration
        futures, pad = self._waiting.popleft()
        self._read_ahead()
        images, labels = zip(*(future.result() for future in futures), strict=True)
        data = torch.stack(images)
        if self._dtype != torch.uint8:
            data = ((data.float() - self._mean) * self._factor).to(self._dtype)
        label = torch.tensor(np.stack(labels))
        return DataBatch([NDArray.from_torch(data)],
                         [NDArray.from_torch(label[:, 0] if self._label_width == 1 else label)], pad)

    def _sample(self, offset: int, draws: random.Random) -> tuple[torch.Tensor, np.ndarray]:
        """(uint8[C, H, W], float32[label_width]) of the record at a byte offset."""
        header, content = recordio.unpack(recordio.record_at(self._file.fileno(), offset, self._path))
        where = f"ImageRecordIter: {self._path}, record at byte {offset}"
        label = np.atleast_1d(np.asarray(header.label, np.float32))
        if len(label) < self._label_width:
            raise FileFormatError(f"{where}: has {len(label)} labels; label_width={self._label_width} are asked for")
        pixels = torch.from_numpy(np.array(decode(content, 1 if self._channels == 3 else 0, where=where)))
        image = self._augmented(pixels, draws)
        return image.movedim(-1, 0), label[:self._label_width]

    def _augmented(self, pixels: torch.Tensor, draws: random.Random) -> torch.Tensor:
        rows, columns = pixels.shape[:2]
        if self._resize > 0:
            short = min(rows, columns)
            rows, columns = rows * self._resize // short, columns * self._resize // short
            pixels = resize_images(pixels, rows, columns, 1)
        if self._area is not None:
            pixels = self._random_part(pixels, draws)
        elif rows < self._height or columns < self._width:
            pixels = resize_images(pixels, max(rows, self._height), max(columns, self._width), 1)
        free = pixels.shape[0] - self._height, pixels.shape[1] - self._width
        top, left = (draws.randint(0, n) for n in free) if self._rand_crop else (n // 2 for n in free)
        pixels = pixels[top:top + self._height, left:left + self._width]
        return pixels.flip(1) if self._rand_mirror and draws.random() < 0.5 else pixels

    def _random_part(self, pixels: torch.Tensor, draws: random.Random) -> torch.Tensor:
        rows, columns = pixels.shape[:2]
        for _ in range(10):
            area, ratio = draws.uniform(*self._area) * rows * columns, draws.uniform(*self._ratio)
            width, height = round((area * ratio) ** 0.5), round((area / ratio) ** 0.5)
            if 0 < width <= columns and 0 < height <= rows:
                top, left = draws.randint(0, rows - height), draws.randint(0, columns - width)
                pixels = pixels[top:top + height, left:left + width]
                break
        return resize_images(pixels, self._height, self._width, 1)


def ImageRecordUInt8Iter(**options: Any) -> ImageRecordIter:
    """`ImageRecordIter` whose data is uint8, as decoded."""
    return ImageRecordIter(**{**options, "dtype": "uint8"})


def _offsets(path: str, index: str | os.PathLike) -> np.ndarray:
    """Byte offsets of the records: from the index, else from the file itself."""
    if index:
        with recordio.MXIndexedRecordIO(index, path, "r") as reader:
            return np.array([reader.idx[key] for key in reader.keys], np.int64)
    found = []
    with recordio.MXRecordIO(path, "r") as reader:
        position = reader.tell()
        while reader.read() is not None:
            found.append(position)
            position = reader.tell()
    return np.array(found, np.int64)
