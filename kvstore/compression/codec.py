"""What a codec can do, and codecs by name."""
from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from ..errors import KVStoreError

ALIGN = 16      # values: payloads can be read from any multiple of it on


class Codec(Protocol):
    """Turns float32 values into bytes and back.  All arrays are flat and on the CPU."""

    def payload_bytes(self, length: int) -> int:
        """Bytes that `length` values take."""

    def encode(self, values: Tensor, residual: Tensor, payload: Tensor) -> None:
        """Writes values + residual into `payload` as far as it goes, and what does not go into `residual`.

        values, residual: float32[n]; payload: uint8[payload_bytes(n)]
        """

    def add(self, payload: Tensor, length: int, start: int, total: Tensor) -> None:
        """total += values start..start + len(total) of a payload of `length` values.  `start`: a multiple of ALIGN"""

    def finish(self, total: Tensor) -> None:
        """Makes, in place, the result of the sum of all payloads."""

    def settle(self, result: Tensor, state: dict[str, Tensor]) -> None:
        """The last word on a key's whole result, in place; `state` is kept for the key."""

    def is_one_bit(self, workers: int) -> bool:
        """Whether what `finish` makes of so many payloads can be a payload itself: then that is all that comes back."""

    def encode_result(self, result: Tensor, payload: Tensor) -> None:
        """Writes such a result as the payload of one worker, whose sum `finish` leaves as it is."""


class Plain:
    """A codec whose result is the sum itself."""

    def finish(self, total: Tensor) -> None:
        """The sum is the result."""

    def settle(self, result: Tensor, state: dict[str, Tensor]) -> None:
        """Nothing more."""

    def is_one_bit(self, workers: int) -> bool:
        return False

    def encode_result(self, result: Tensor, payload: Tensor) -> None:
        raise NotImplementedError(f"{type(self).__name__}: its sums are no payload")


_kinds: dict[str, Callable[..., Codec]] = {}


def register(*names: str):
    """Decorator: ``create`` calls the class or function for these names, with the other parameters as keywords."""
    def add(klass):
        _kinds.update(dict.fromkeys(names, klass))
        return klass
    return add


def create(params: dict[str, Any]) -> Codec:
    """The codec that ``{"type": name, setting: value, ...}`` describes; settings may be strings, as in MXNet.

    Raises KVStoreError for unknown names and settings.
    """
    settings = dict(params)
    name = settings.pop("type", None)
    if name not in _kinds:
        raise KVStoreError(f"set_gradient_compression: type is one of {', '.join(_kinds)}; got {name!r}")
    known = inspect.signature(_kinds[name]).parameters
    if unknown := set(settings) - set(known):
        raise KVStoreError(f"set_gradient_compression: {name} takes {', '.join(known) or 'no settings'}; got "
                           f"{', '.join(sorted(unknown))}")
    return _kinds[name](**settings)


def decoded(codec: Codec, values: Tensor, residual: Tensor) -> Tensor:
    """What the others get of `values`, and what is left for the next time in `residual`.  float32[n] each"""
    payload = torch.empty(codec.payload_bytes(len(values)), dtype=torch.uint8)
    codec.encode(values, residual, payload)
    total = torch.zeros_like(values)
    codec.add(payload, len(values), 0, total)
    return total


def pack(bits: Tensor, payload: Tensor) -> None:
    """Bits, the first in the highest place of the first byte; the last byte is filled with zeros.  bits: bool[n]"""
    packed = torch.from_numpy(np.packbits(bits.numpy()))
    payload[:len(packed)].copy_(packed)
    payload[len(packed):].zero_()


def number(where: str, value: Any, at_least: float, below: float = float("inf")) -> float:
    """`value` as a number.  Raises KVStoreError outside at_least <= value < below."""
    try:
        found = float(value)
    except (TypeError, ValueError):
        found = float("nan")
    if not at_least <= found < below:
        raise KVStoreError(f"set_gradient_compression: {where} is a number from {at_least:g} to below {below:g}; got "
                           f"{value!r}")
    return found
