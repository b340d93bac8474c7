"""What lower layers ask of higher ones, by name: the package's front (mxdl/__init__.py), which stands above all
layers, says where each is found, so that no layer imports one above it."""
from __future__ import annotations

import importlib
from collections.abc import Callable

_places: dict[str, str] = {}


def connect(name: str, place: str) -> None:
    """`place`: "module:function"; the module loads when the function is first asked for."""
    _places[name] = place


def find(name: str) -> Callable:
    """The function connected under `name`."""
    module, function = _places[name].split(":")
    return getattr(importlib.import_module(module), function)
