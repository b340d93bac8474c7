"""A model in any form that mxdl exports, called like the net: `Predictor("model.c")(x)`."""
from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from ..errors import FileFormatError, OperatorError
from ..ndarray import NDArray, array
from ..types import numpy_dtype
from .framework import FrameworkModel
from .library import SharedLibrary, compiled
from .node import NodeModel
from .tensor import Tensor as Tensor


class Predictor:
    """A model in `NAME.c`, `NAME.so` (.dylib, .dll), `NAME.js`, or `NAME-symbol.json` with its .params.

    A .c file is compiled once for each content, by the system's compiler; a .js file runs in Node.   weights: the file
    of parameters, where they are not inside.   Call it with the inputs in order, or by name; it returns a list of
    NDArrays.   Raises FileFormatError, ToolchainError, OperatorError for inputs that do not fit.
    """

    def __init__(self, path: str | Path, weights: str | Path | None = None):
        self.path = Path(path)
        self._results: list[NDArray] | None = None
        self._model = _open(self.path, None if weights is None else Path(weights))
        self.inputs: list[Tensor] = self._model.inputs
        self.outputs: list[Tensor] = self._model.outputs
        self.task: dict[str, Any] | None = self._model.task   # what they mean, where a recipe's run was exported

    def __call__(self, *arrays: Any, **named: Any) -> list[NDArray]:
        given = dict(zip((t.name for t in self.inputs), arrays, strict=False)) | named
        wanted = [t.name for t in self.inputs]
        if len(arrays) > len(wanted) or sorted(given) != sorted(wanted):
            raise OperatorError(f"{self.path.name}: the inputs are {', '.join(wanted)}; "
                                f"got {', '.join(given) or 'none'}")
        ready = [_as_input(self.path.name, t, given[t.name]) for t in self.inputs]
        self._results = [array(result, dtype=result.dtype) for result in self._model.run(ready)]
        return self._results

    def forward(self, **named: Any) -> None:
        """As MXNet's own Predictor: inputs by name; `get_output` gives the answers."""
        self(**named)

    def get_output(self, index: int) -> NDArray:
        """Output `index` of the last call."""
        if self._results is None:
            raise OperatorError(f"{self.path.name}: get_output before any call; got no inputs; call forward first")
        return self._results[index]


def _as_input(where: str, wanted: Tensor, given: Any) -> np.ndarray:
    value = given.asnumpy() if isinstance(given, NDArray) else np.asarray(given)
    if wanted.shape is not None and value.shape != wanted.shape:
        raise OperatorError(f"{where}: input {wanted.name} has the shape {wanted.shape}; got {value.shape}; "
                            f"export the model for that shape, or reshape the array")
    return np.ascontiguousarray(value, numpy_dtype(wanted.dtype))


def _open(path: Path, weights: Path | None):
    if path.suffix == ".js":
        return NodeModel(path, weights)
    if path.suffix == ".c":
        return SharedLibrary(compiled(path), weights)
    if path.suffix in (".so", ".dylib", ".dll"):
        return SharedLibrary(path, weights)
    if path.name.endswith("-symbol.json") or Path(f"{path}-symbol.json").is_file():
        return FrameworkModel(str(path).removesuffix("-symbol.json"), weights)
    raise FileFormatError(f"Predictor: {path}: not a model; got a name that ends in {path.suffix or 'nothing'}; "
                          f"give a .c, .so, .js or -symbol.json file")
