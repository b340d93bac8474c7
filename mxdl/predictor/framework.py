"""MXNet's pair of files, run by the framework itself."""
from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ..errors import FileFormatError
from ..executor import CachedOp
from ..ndarray import array, load
from ..symbol import load as load_symbol
from .tensor import Tensor


class FrameworkModel:
    """`PREFIX-symbol.json` with the latest `PREFIX-0000.params`."""

    def __init__(self, prefix: str, weights: Path | None):
        digits = "[0-9]" * 4
        files = [weights] if weights else sorted(Path(prefix).parent.glob(f"{Path(prefix).name}-{digits}.params"))
        if not files:
            raise FileFormatError(f"Predictor: {prefix}: no parameters; got no {prefix}-0000.params; name them")
        self._graph = load_symbol(f"{prefix}-symbol.json").graph()
        self._parameters = {key.split(":", 1)[-1]: value for key, value in load(str(files[-1])).items()}
        self._run = CachedOp(self._graph)
        self.inputs = [Tensor(n.name, None, "float32") for n in self._graph.inputs if n.name not in self._parameters]
        self.task = None
        self.outputs = [Tensor(v.node.name, None, "float32") for v in self._graph.outputs]

    def run(self, arrays: Sequence[np.ndarray]) -> list[np.ndarray]:
        """The outputs, in predict mode."""
        given = {t.name: array(value) for t, value in zip(self.inputs, arrays, strict=True)} | self._parameters
        return [result.asnumpy() for result in self._run(*(given[n.name] for n in self._graph.inputs))]
