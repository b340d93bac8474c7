"""Constants: what a block needs beside its parameters and never trains."""
from __future__ import annotations

import warnings
from typing import Any

from ..ndarray import NDArray
from .parameter import Parameter, as_array


class Constant(Parameter):
    """A parameter that never changes: no gradient, value given at construction."""

    def __init__(self, name: str, value: Any):
        self.value = as_array(value, None)
        super().__init__(name, grad_req="null", shape=self.value.shape, dtype=self.value.dtype)

    def __repr__(self) -> str:
        return f"Constant {self.name} (shape={self.shape}, dtype={self.dtype})"

    def _initial_value(self, init: Any, default_init: Any) -> NDArray:
        return self.value.astype(self._dtype)

    @property
    def grad_req(self) -> str:
        return "null"

    @grad_req.setter
    def grad_req(self, req: str) -> None:
        if req != "null":
            warnings.warn(f"Constant {self.name!r}: never gets a gradient; got grad_req={req!r}, which changes "
                          f"nothing; use a Parameter to train it", stacklevel=2)
        self._grad_req = "null"
