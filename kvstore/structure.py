"""Nested states as a JSON text and a list of tensors, and back: how an optimizer's states travel and are kept."""
from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from .array_bytes import dtype_name, dtype_of, shape_of
from .errors import FrameError, KVStoreError

PLAIN = (bool, int, float, str, type(None))
MAX_DEPTH = 32


def flatten(value: Any) -> tuple[dict[str, Any], list[Tensor]]:
    """{"tree": ..., "arrays": [[dtype, shape], ...]} and the arrays.

    In the tree an array is {"a": position}, a tuple {"t": [...]}, a list {"l": [...]}, a dict
    {"d": [[key, value], ...]}; numbers, texts, booleans and None stand for themselves.  Raises KVStoreError for
    anything else.
    """
    tensors: list[Tensor] = []

    def write(part: Any) -> Any:
        if isinstance(part, Tensor):
            tensors.append(part.detach().cpu())
            return {"a": len(tensors) - 1}
        if isinstance(part, (tuple, list)):
            return {"t" if isinstance(part, tuple) else "l": [write(one) for one in part]}
        if isinstance(part, dict):
            return {"d": [[write(key), write(one)] for key, one in part.items()]}
        if isinstance(part, PLAIN):
            return part
        raise KVStoreError(f"states: made of arrays, numbers, texts, lists and dicts; got {type(part).__name__}")
    tree = write(value)
    return {"tree": tree, "arrays": [[dtype_name(one.dtype), list(one.shape)] for one in tensors]}, tensors


def kinds(skeleton: dict[str, Any]) -> list[tuple[tuple[int, ...], torch.dtype]]:
    """Shapes and dtypes of the arrays of a skeleton that came by the wire.  Raises FrameError."""
    arrays = skeleton.get("arrays")
    if not isinstance(arrays, list) or not all(isinstance(one, list) and len(one) == 2 for one in arrays):
        raise FrameError("states: no list of arrays")
    return [(shape_of(shape), dtype_of(name)) for name, shape in arrays]


def rebuild(skeleton: dict[str, Any], tensors: list[Tensor]) -> Any:
    """What `flatten` took apart, with copies of the arrays.  Raises FrameError."""
    def read(part: Any, depth: int) -> Any:
        if depth > MAX_DEPTH:
            raise FrameError("states: nested too deeply")
        if isinstance(part, PLAIN):
            return part
        if not isinstance(part, dict) or len(part) != 1:
            raise FrameError("states: not a tree of states")
        (mark, inner), = part.items()
        if mark == "a" and isinstance(inner, int) and 0 <= inner < len(tensors):
            return tensors[inner].clone()
        if mark in ("t", "l") and isinstance(inner, list):
            found = [read(one, depth + 1) for one in inner]
            return tuple(found) if mark == "t" else found
        if mark == "d" and isinstance(inner, list) and all(isinstance(one, list) and len(one) == 2 for one in inner):
            return {_key(read(key, depth + 1)): read(one, depth + 1) for key, one in inner}
        raise FrameError("states: not a tree of states")
    return read(skeleton.get("tree"), 0)


def _key(value: Any) -> Any:
    if not isinstance(value, PLAIN):
        raise FrameError("states: a key is a number or a text")
    return value
