"""Values: torch tensors, or arrays of a class that hands its tensor out and takes one in without a copy.

Such a class has ``to_torch()`` and a static ``from_torch(tensor)``; an updater is then given arrays of that class.
"""
from __future__ import annotations

from typing import Any

from torch import Tensor

from .errors import KVStoreError


def as_tensor(where: str, key: int | str, value: Any) -> Tensor:
    """The tensor of a value, sharing its memory.  Raises KVStoreError where it has none."""
    if isinstance(value, Tensor):
        return value
    if hasattr(value, "to_torch"):
        return value.to_torch()
    raise KVStoreError(f"{where}: key {key!r} needs an array; got {type(value).__name__}")


def kind_of(value: Any) -> type | None:
    """The class that an updater of this value expects; None: plain tensors."""
    return None if isinstance(value, Tensor) or not hasattr(type(value), "from_torch") else type(value)


def as_kind(tensor: Tensor, kind: type | None) -> Any:
    """The tensor as an array of `kind`, sharing memory."""
    return tensor if kind is None else kind.from_torch(tensor)  # type: ignore[attr-defined]
