"""An exported C file as a shared library, called through its functions."""
from __future__ import annotations

import ctypes
import hashlib
import json
import re
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from .. import config
from ..codegen import toolchain
from ..errors import FileFormatError, OperatorError
from ..types import numpy_dtype
from .tensor import Tensor


def compiled(source: Path) -> Path:
    """The shared library of an exported C file, made at the first call for its content and compiler."""
    command = [*toolchain.system(), "-O3", "-shared", "-fPIC"]
    key = hashlib.sha256(source.read_bytes() + " ".join(command).encode()).hexdigest()[:20]
    library = config.home_folder() / "compiled" / f"{source.stem}-{key}.so"
    if not library.exists():
        library.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=library.parent) as scratch:   # renamed when whole: others may be at it too
            made = Path(scratch, library.name)
            toolchain.run([*command, source.resolve(), "-o", made, "-lm", "-lpthread"])
            made.replace(library)
    return library


class SharedLibrary:
    """An exported C file, compiled."""

    def __init__(self, path: Path, weights: Path | None):
        names = set(re.findall(rb"\0([A-Za-z]\w*)_get_output\0", path.read_bytes()))
        if len(names) != 1:
            raise FileFormatError(f"Predictor: {path}: not one exported model; got {len(names)} in it; "
                                  f"compile the file that mxdl export wrote, alone")
        self._prefix, self._library = names.pop().decode(), ctypes.CDLL(str(path.resolve()))
        self.inputs, self.outputs = self._tensors("input"), self._tensors("output")
        self.task = json.loads("".join(self._task_parts()) or "null")
        why = ctypes.c_char_p()
        if weights is None:
            self._handle = self._call("create_from", ctypes.c_void_p, None, ctypes.c_size_t(0), ctypes.byref(why))
        else:
            self._handle = self._call("open", ctypes.c_void_p, str(weights).encode(), ctypes.byref(why))
        if not self._handle:
            raise FileFormatError(f"Predictor: {path}: {(why.value or b'').decode()}")

    def _call(self, name: str, result: Any, *arguments: Any) -> Any:
        function = getattr(self._library, f"{self._prefix}_{name}")
        function.restype = result
        return function(*arguments)

    def _task_parts(self) -> Iterator[str]:
        """What the file says of its inputs and outputs; nothing where it was exported before files said it."""
        part = 0
        while hasattr(self._library, f"{self._prefix}_task") and (text := self._call("task", ctypes.c_char_p, part)):
            yield text.decode()
            part += 1

    def _tensors(self, side: str) -> list[Tensor]:
        found = []
        for i in range(self._call(f"num_{side}s", ctypes.c_int)):
            name, shape, dtype = (self._call(f"{side}_{what}", ctypes.c_char_p, i).decode()
                                  for what in ("name", "shape", "dtype"))
            found.append(Tensor(name, tuple(map(int, shape.split(","))) if shape else (), dtype))
        return found

    def _check(self, status: int) -> None:
        if status:
            text = self._call("last_error", ctypes.c_char_p, ctypes.c_void_p(self._handle))
            raise OperatorError(f"{self._prefix}: {text.decode()}")

    def run(self, arrays: Sequence[np.ndarray]) -> list[np.ndarray]:
        """The outputs."""
        handle = ctypes.c_void_p(self._handle)
        for i, value in enumerate(arrays):
            self._check(self._call("set_input", ctypes.c_int, handle, i, ctypes.c_void_p(value.ctypes.data),
                                   ctypes.c_size_t(value.size)))
        self._check(self._call("forward", ctypes.c_int, handle))
        results = [np.empty(t.shape or (), numpy_dtype(t.dtype)) for t in self.outputs]
        for i, value in enumerate(results):
            self._check(self._call("get_output", ctypes.c_int, handle, i, ctypes.c_void_p(value.ctypes.data),
                                   ctypes.c_size_t(value.size)))
        return results

    def __del__(self) -> None:
        if getattr(self, "_handle", None):
            self._call("free", None, ctypes.c_void_p(self._handle))
