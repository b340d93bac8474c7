"""Data sets of image files: a folder for each class, a list, or a RecordIO file.  Images are decoded when asked for."""
from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from .... import image, recordio
from ....errors import FileFormatError
from ..dataset import Dataset, RecordFileDataset

ENDINGS = (".jpg", ".jpeg", ".png")


class ImageFolderDataset(Dataset):
    """Images in folders, one folder for each class: root/cat/1.jpg, root/dog/2.jpg.

    synsets: names of the classes, sorted.   items: (file, number of the class).

    Args:
        flag: 1: three channels; 0: grey.
        transform: of (image, label).
    """

    def __init__(self, root: str | os.PathLike, flag: int = 1, transform: Callable | None = None):
        self._root = os.path.expanduser(root)
        self._flag = flag
        self._transform = transform
        self.synsets: list[str] = []
        self.items: list[tuple[str, int]] = []
        for folder in sorted(Path(self._root).iterdir()):
            if folder.is_dir():
                self.items += [(file, len(self.synsets)) for file in self._images(folder)]
                self.synsets.append(folder.name)
            else:
                warnings.warn(f"ImageFolderDataset: {folder} is no folder of a class and is left out", stacklevel=2)

    @staticmethod
    def _images(folder: Path) -> list[str]:
        files = sorted(folder.iterdir())
        others = [file.name for file in files if file.suffix.lower() not in ENDINGS]
        if others:
            warnings.warn(f"ImageFolderDataset: {folder} holds files that are no images ({others[0]}, ...); "
                          f"{len(others)} are left out", stacklevel=3)
        return [str(file) for file in files if file.suffix.lower() in ENDINGS]

    def __getitem__(self, idx: int) -> Any:
        file, label = self.items[idx]
        pixels = image.imread(file, self._flag)
        return (pixels, label) if self._transform is None else self._transform(pixels, label)

    def __len__(self) -> int:
        return len(self.items)


class ImageListDataset(Dataset):
    """Images named in a list.

    Args:
        root: the folder that file names are relative to.
        imglist: a file of lines ``index<TAB>label[<TAB>label...]<TAB>file``, or a list of [label(s), file].
        flag: 1: three channels; 0: grey.
    """

    def __init__(self, root: str | os.PathLike = ".", imglist: str | os.PathLike | Sequence | None = None,
                 flag: int = 1):
        if imglist is None:
            raise ValueError("ImageListDataset: give imglist, a file or a list of [label, file]")
        self._root = os.path.expanduser(root)
        self._flag = flag
        self.items = _read_list(imglist) if isinstance(imglist, (str, os.PathLike)) else [
            (str(file), _label(labels)) for *labels, file in imglist]

    def __getitem__(self, idx: int) -> Any:
        file, label = self.items[idx]
        return image.imread(os.path.join(self._root, file), self._flag), label

    def __len__(self) -> int:
        return len(self.items)


def _read_list(path: str | os.PathLike) -> list[tuple[str, Any]]:
    items = []
    for number, line in enumerate(Path(path).read_text().splitlines(), 1):
        try:
            _, label, *more, file = line.strip().split("\t")
            items.append((file, _label([float(field) for field in (label, *more)])))
        except ValueError:
            raise FileFormatError(f"{path}: line {number} is not 'index<TAB>label<TAB>file'; got {line!r}") from None
    return items


def _label(labels: Sequence) -> Any:
    """One number, or float32[K] for several."""
    flat = np.asarray(labels, np.float32).ravel()
    return float(flat[0]) if len(flat) == 1 else flat


class ImageRecordDataset(RecordFileDataset):
    """The images of a RecordIO file, with the labels of their headers: a float, or float32[K] for several.

    Args:
        flag: 1: three channels; 0: grey.
        transform: of (image, label).
    """

    def __init__(self, filename: str | os.PathLike, flag: int = 1, transform: Callable | None = None):
        super().__init__(filename)
        self._flag = flag
        self._transform = transform

    def __getitem__(self, idx: int) -> Any:
        header, content = recordio.unpack(super().__getitem__(idx))
        pixels = image.imdecode(content, self._flag)
        return (pixels, header.label) if self._transform is None else self._transform(pixels, header.label)
