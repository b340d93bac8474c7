"""The optimizer on a server: built from a registered name and JSON, never from anything that could carry code."""
from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from torch import Tensor

from .errors import KVStoreError
from .keys import Key


class ServerUpdater(Protocol):
    """What a server runs on what is pushed; all arrays are torch tensors on the CPU."""

    def update(self, keys: list[Key], grads: list[Tensor], weights: list[Tensor]) -> None:
        """Changes the weights in place."""

    def update_rows(self, key: Key, ids: Tensor, grad: Tensor, weight: Tensor) -> None:
        """Changes the rows `ids` (int64[n], distinct) of one weight in place; grad: T[n, ...]."""

    def set_settings(self, settings: dict[str, Any]) -> None:
        """Takes over numbers that changed: the learning rate, the scale of gradients."""

    def get_states(self) -> dict[str, Any]:
        """States and counts: tensors, numbers, lists and dicts."""

    def set_states(self, states: dict[str, Any]) -> None:
        """Takes what `get_states` gave."""


Build = Callable[[str, dict[str, Any]], ServerUpdater]
_builders: list[Build] = []


def register_builder(build: Build) -> Build:
    """Decorator: `build(name, settings)` makes the updater of an optimizer; it raises ValueError for unknown names."""
    _builders[:] = [build]
    return build


def build_updater(name: str, settings: dict[str, Any]) -> ServerUpdater:
    """The updater that a worker asked for.  Raises KVStoreError."""
    if not _builders:
        raise KVStoreError(f"set_optimizer: this server knows no optimizers; got {name!r}; start it by "
                           f"python -m mxdl.tools.parameter_server")
    try:
        return _builders[0](name, settings)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise KVStoreError(f"set_optimizer: this server cannot make {name!r}: {error}") from error


def describe(optimizer: Any) -> tuple[str, dict[str, Any]]:
    """The registered name and the settings (JSON) of an optimizer.  Raises KVStoreError where it cannot tell them."""
    if not hasattr(optimizer, "describe"):
        raise KVStoreError(f"set_optimizer: an optimizer that runs on servers has describe(); got "
                           f"{type(optimizer).__name__}; use one of mxdl.optimizer")
    return optimizer.describe()
