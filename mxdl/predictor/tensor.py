"""What a model says of its inputs and outputs."""
from __future__ import annotations

from typing import NamedTuple


class Tensor(NamedTuple):
    """An input or output.   shape: None where any will do."""

    name: str
    shape: tuple[int, ...] | None
    dtype: str
