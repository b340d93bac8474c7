"""Samples: small inputs that stand in an operator's entry and drive every generic test."""
from __future__ import annotations

import zlib
from typing import Any

import numpy as np

from ..types import numpy_dtype


class Sample:
    """Inputs given as shapes (drawn in [low, high)), as (shape, dtype) pairs or as arrays, and attributes.

    differentiable: indices of the inputs to check gradients of; default all floating inputs.
    training: run in training mode.   tolerance: relative tolerance where the default 1e-5 is too tight.
    resizable: the tests may also cut axes to length 1 and 0 (False: the shapes mean something, such as a square).
    symmetric: the inputs are symmetric matrices, whose elements move in pairs when gradients are checked.
    parity: "" where MXNet computes this too; else why its answer is no reference (it crashes, it leaks).
    """

    __slots__ = ("attrs", "differentiable", "high", "inputs", "low", "parity", "resizable", "symmetric",
                 "tolerance", "training")

    def __init__(self, *inputs: Any, low: float = -1.0, high: float = 1.0,
                 differentiable: tuple[int, ...] | None = None, training: bool = False,
                 tolerance: float | None = None, resizable: bool = True, symmetric: bool = False, parity: str = "",
                 **attrs: Any):
        self.inputs = inputs
        self.low, self.high = low, high
        self.differentiable = differentiable
        self.training = training
        self.tolerance = tolerance
        self.resizable = resizable
        self.symmetric = symmetric
        self.parity = parity
        self.attrs = attrs

    def arrays(self) -> list[np.ndarray]:
        """The inputs as NumPy arrays, the same at every call."""
        rng = np.random.default_rng(zlib.crc32(repr(self).encode()))
        return [self._array(spec, rng) for spec in self.inputs]

    def _array(self, spec: Any, rng: np.random.Generator) -> np.ndarray:
        if isinstance(spec, np.ndarray):
            return spec
        shape, dtype = spec if len(spec) == 2 and isinstance(spec[0], tuple) else (spec, "float32")
        dtype = numpy_dtype(dtype)
        if np.issubdtype(dtype, np.floating):
            return rng.uniform(self.low, self.high, shape).astype(dtype)
        return rng.integers(int(self.low), max(int(self.high), int(self.low) + 1), shape).astype(dtype)

    def __repr__(self) -> str:
        inputs = ", ".join(f"array{i.shape}" if isinstance(i, np.ndarray) else str(i) for i in self.inputs)
        attrs = "".join(f", {name}={value}" for name, value in self.attrs.items())
        return f"Sample({inputs}{attrs}{', training' if self.training else ''})"
