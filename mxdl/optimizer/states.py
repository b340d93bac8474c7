"""An optimizer's states as bytes, written and read without running code from the file.

The bytes are torch's format of tensors, numbers, strings, lists and dicts, read with ``weights_only``; MXNet's own
state files are Python pickles, which run whatever they contain, and are refused.
"""
from __future__ import annotations

import io
import math
import pickle
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch

from ..device import cpu
from ..errors import FileFormatError
from ..lr_scheduler import LRScheduler
from ..ndarray import NDArray
from .base import Optimizer

#: what an optimizer has that is no number: made anew by whoever makes the optimizer
_NOT_STORED = ("param_dict", "sym_info", "lr_scheduler", "idx2name", "_index_update_count")
_PLAIN = (bool, int, float, str, type(None))


@dataclass
class Parts:
    """What is here of the state of a parameter that several processes update.

    shape: of the parameter.   states: of parts, whose arrays are T[n], by the first element of each.
    """

    shape: tuple[int, ...]
    states: dict[int, Any] = field(default_factory=dict)


def part_of(state: Any, start: int, stop: int) -> Any:
    """A copy of elements `start` to `stop` of each array of a state."""
    if isinstance(state, NDArray):
        return NDArray._wrap(state._data.reshape(-1)[start:stop].clone(), state.context)
    return tuple(part_of(one, start, stop) for one in state) if isinstance(state, (list, tuple)) else state


def dump(states: dict, optimizer: Optimizer | None, parts: Mapping[Any, Parts] | None = None) -> bytes:
    """States by parameter index, whole or in parts, and an optimizer's attributes, as bytes."""
    content: dict[str, Any] = {"states": {key: _to_tensors(state) for key, state in states.items()}}
    if parts:
        content["parts"] = {key: {"shape": one.shape, "states": {start: _to_tensors(state) for start, state
                                                                 in one.states.items()}} for key, one in parts.items()}
    if optimizer is not None:
        content["optimizer"] = type(optimizer).__name__
        content["attributes"] = _plain_attributes(optimizer)
        if isinstance(optimizer.lr_scheduler, LRScheduler):
            content["scheduler"] = type(optimizer.lr_scheduler).__name__
            content["scheduler_attributes"] = _plain_attributes(optimizer.lr_scheduler)
    stream = io.BytesIO()
    torch.save(content, stream)
    return stream.getvalue()


def load(content: bytes, optimizer: Optimizer) -> dict:
    """The states in `content`; attributes in it are set on `optimizer` and its scheduler.  Raises FileFormatError."""
    try:
        found = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
        states = {key: _to_arrays(state) for key, state in found["states"].items()}
    except (pickle.UnpicklingError, RuntimeError, EOFError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise FileFormatError(f"optimizer states: these {len(content)} bytes are no states that mxdl wrote, or are "
                              f"damaged ({str(error).splitlines()[0] if str(error) else type(error).__name__}); "
                              f"save them again") from error
    if found.get("parts"):
        raise FileFormatError(f"optimizer states: these {len(content)} bytes are one worker's, of parts of parameters "
                              f"{list(found['parts'])[:3]}; save them by the store, which puts all workers' together")
    if "optimizer" in found:
        if found["optimizer"] != type(optimizer).__name__:
            raise FileFormatError(f"optimizer states: they belong to {found['optimizer']}; got an optimizer "
                                  f"{type(optimizer).__name__} to load them into")
        _set_attributes(optimizer, found["attributes"])
        if found.get("scheduler") == type(optimizer.lr_scheduler).__name__:
            _set_attributes(optimizer.lr_scheduler, found["scheduler_attributes"])
    return states


def merge(parts: list[bytes]) -> bytes:
    """One file of what several processes dumped, each of which updated some of the parameters, or parts of them.

    Attributes are the first one's; each parameter's count of updates is the one of the process that updated it.
    """
    found = [torch.load(io.BytesIO(part), map_location="cpu", weights_only=True) for part in parts]
    whole = found[0]
    for part in found[1:]:
        whole["states"].update(part["states"])
        if "attributes" in whole:
            _merge_counts(whole["attributes"], part["attributes"])
    whole["states"].update(_joined([part.get("parts", {}) for part in found]))
    whole.pop("parts", None)
    stream = io.BytesIO()
    torch.save(whole, stream)
    return stream.getvalue()


def _joined(everybody: list[dict[Any, dict[str, Any]]]) -> dict[Any, Any]:
    """Whole states, of parameters whose parts several processes had.  One that nobody updated yet has none."""
    states: dict[Any, dict[int, Any]] = {}
    shapes: dict[Any, tuple[int, ...]] = {}
    for parts in everybody:
        for key, one in parts.items():
            shapes[key] = one["shape"]
            states.setdefault(key, {}).update(one["states"])
    return {key: _join(key, [some[start] for start in sorted(some)], shapes[key])
            for key, some in states.items() if some}


def _join(key: Any, parts: list[Any], shape: tuple[int, ...]) -> Any:
    """One state of its parts, in order.  Raises FileFormatError where some are missing."""
    if isinstance(parts[0], tuple):
        return tuple(_join(key, list(column), shape) for column in zip(*parts, strict=True))
    if not isinstance(parts[0], dict):
        return parts[0]
    whole = torch.cat([part["array"] for part in parts])
    if whole.numel() != math.prod(shape):
        raise FileFormatError(f"optimizer states: parameter {key!r} of shape {shape} has {math.prod(shape)} elements; "
                              f"the workers together had {whole.numel()}; every worker has to save")
    return {"array": whole.view(shape)}


def _merge_counts(into: dict[str, Any], other: dict[str, Any]) -> None:
    into["num_update"] = max(into["num_update"], other["num_update"])
    for device, counts in other["_all_index_update_counts"].items():
        known = into["_all_index_update_counts"].setdefault(device, {})
        known.update({index: max(count, known.get(index, 0)) for index, count in counts.items()})


def _set_attributes(target: Any, attributes: dict[str, Any]) -> None:
    vars(target).update(attributes)
    if isinstance(target, Optimizer):
        target._set_current_context(0)


def _plain_attributes(source: Any) -> dict[str, Any]:
    return {name: value for name, value in vars(source).items() if name not in _NOT_STORED and is_plain(value)}


def is_plain(value: Any) -> bool:
    """Whether a value is made of numbers, texts, lists and dicts only."""
    if isinstance(value, dict):
        return all(is_plain(part) for pair in value.items() for part in pair)
    if isinstance(value, (list, tuple)):
        return all(map(is_plain, value))
    return isinstance(value, _PLAIN)


def _to_tensors(state: Any) -> Any:
    if isinstance(state, NDArray):
        return {"array": state._data.detach().cpu().clone()}
    if isinstance(state, (list, tuple)):
        return tuple(map(_to_tensors, state))
    if isinstance(state, _PLAIN):
        return state
    raise TypeError(f"optimizer states: a state is made of NDArrays, numbers and tuples; got {type(state).__name__}")


def _to_arrays(state: Any) -> Any:
    if isinstance(state, dict):
        return NDArray._wrap(state["array"], cpu())
    return tuple(map(_to_arrays, state)) if isinstance(state, tuple) else state
