"""Children called on the same input, their outputs concatenated."""
from __future__ import annotations

from typing import Any

from .... import ndarray
from ...hybrid import HybridBlock
from ...nn import HybridSequential, Sequential


class Concurrent(Sequential):
    """Calls every child on x and concatenates the outputs along `axis`."""

    def __init__(self, axis: int = -1, prefix: str | None = None, params: Any = None):
        super().__init__(prefix=prefix, params=params)
        self.axis = axis

    def forward(self, x: Any) -> Any:
        return ndarray.concat(*[block(x) for block in self._children.values()], dim=self.axis)


class HybridConcurrent(HybridSequential):
    """Calls every child on x and concatenates the outputs along `axis`; hybridizes."""

    def __init__(self, axis: int = -1, prefix: str | None = None, params: Any = None):
        super().__init__(prefix=prefix, params=params)
        self.axis = axis

    def hybrid_forward(self, F: Any, x: Any) -> Any:
        return F.concat(*[block(x) for block in self._children.values()], dim=self.axis)


class Identity(HybridBlock):
    """x: the branch that does nothing."""

    def hybrid_forward(self, F: Any, x: Any) -> Any:
        return x
