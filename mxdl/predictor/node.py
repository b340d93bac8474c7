"""An exported script, run by Node in a process of its own."""
from __future__ import annotations

import json
import shutil
import struct
import subprocess
from collections.abc import Sequence
from importlib import resources
from pathlib import Path

import numpy as np

from ..errors import FileFormatError, OperatorError
from ..types import numpy_dtype
from .tensor import Tensor


class NodeModel:
    """A .js file that `mxdl export --to js` wrote."""

    def __init__(self, path: Path, weights: Path | None):
        node = shutil.which("node")
        if node is None:
            raise FileFormatError(f"Predictor: {path}: no node here; got a script, which Node runs; install Node")
        script = resources.files(__package__).joinpath("node.js.in").read_text()
        arguments = [str(path.resolve()), *([str(weights.resolve())] if weights else [])]
        self._name = path.name
        self._process = subprocess.Popen([node, "-e", script, *arguments], stdin=subprocess.PIPE,
                                         stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self._status(FileFormatError)
        facts = json.loads(self._process.stdout.readline())
        self.inputs, self.outputs = ([Tensor(t["name"], tuple(t["shape"]), t["dtype"]) for t in facts[side]]
                                     for side in ("inputs", "outputs"))
        self.task = facts.get("task")

    def _read(self, count: int) -> bytes:
        found = self._process.stdout.read(count)
        if len(found) != count:
            said = self._process.stderr.read().decode(errors="replace").strip().splitlines()
            raise FileFormatError(f"Predictor: {self._name}: Node ended early; got {said[-1] if said else 'no word'}")
        return found

    def _status(self, error: type[Exception]) -> None:
        if self._read(1) != b"\0":
            text = self._read(struct.unpack("<I", self._read(4))[0]).decode()
            raise error(f"Predictor: {text}")

    def run(self, arrays: Sequence[np.ndarray]) -> list[np.ndarray]:
        """The outputs."""
        for value in arrays:
            self._process.stdin.write(value.tobytes())
        self._process.stdin.flush()
        self._status(OperatorError)
        results = []
        for t in self.outputs:
            empty = np.empty(t.shape or (), numpy_dtype(t.dtype))
            results.append(np.frombuffer(self._read(empty.nbytes), empty.dtype).reshape(empty.shape).copy())
        return results

    def __del__(self) -> None:
        process = getattr(self, "_process", None)
        if process is not None:
            process.kill()
            for stream in (process.stdin, process.stdout, process.stderr):
                stream.close()
            process.wait()
