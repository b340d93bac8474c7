"""An optimizer as a registered name and JSON, and back: how it travels to parameter servers.  No code travels.

Settings are what the optimizer's attributes say: numbers, texts, lists of them; the schedule by its class name; the
multipliers of Gluon parameters by index.  Counts of updates belong to the states, which stay on the servers.
"""
from __future__ import annotations

from typing import Any

import torch

from .. import lr_scheduler
from ..device import cpu
from ..kvstore.server_updater import register_builder
from ..ndarray import NDArray
from .base import Optimizer
from .states import is_plain
from .updater import Updater

#: attributes that are told in another way, or belong to the states
_APART = ("param_dict", "sym_info", "lr_scheduler", "num_update", "_all_index_update_counts", "_index_update_count")
MAX_STATES = 8
_COUNTS = ("num_update", "_all_index_update_counts")


class Multipliers:
    """Stands for a Gluon parameter on a server."""

    def __init__(self, lr_mult: float, wd_mult: float):
        self.lr_mult, self.wd_mult = lr_mult, wd_mult


def describe(optimizer: Optimizer) -> tuple[str, dict[str, Any]]:
    """The registered name and the settings, made of what JSON knows.  Raises ValueError where that is not enough."""
    name = type(optimizer).__name__.lower()
    if Optimizer.opt_registry.get(name) is not type(optimizer):
        raise ValueError(f"describe: {type(optimizer).__name__} is not registered, so servers cannot make it; decorate "
                         f"it with mx.optimizer.register")
    settings = {key: _to_json(value, f"{name}.{key}") for key, value in vars(optimizer).items() if key not in _APART}
    settings["param_dict"] = [[index, float(one.lr_mult), float(one.wd_mult)]
                              for index, one in optimizer.param_dict.items()]
    settings["lr_scheduler"] = _scheduler(optimizer.lr_scheduler)
    return name, settings


def build(name: str, settings: dict[str, Any]) -> ServerUpdater:
    """The updater of a described optimizer.  Raises ValueError for an unknown name or settings that are none."""
    klass = Optimizer.opt_registry.get(name)
    if klass is None:
        raise ValueError(f"no optimizer is called {name!r} here; an optimizer of your own must be registered in the "
                         f"servers' process too (mxdl launch --server-import FILE)")
    optimizer = klass()
    apply_settings(optimizer, settings)
    return ServerUpdater(optimizer)


def apply_settings(optimizer: Optimizer, settings: dict[str, Any]) -> None:
    """Sets attributes from what `describe` told."""
    for key, value in settings.items():
        if key == "param_dict":
            optimizer.param_dict = {index: Multipliers(lr_mult, wd_mult) for index, lr_mult, wd_mult in value}
        elif key == "lr_scheduler":
            optimizer.lr_scheduler = _make_scheduler(value)
        elif key == "num_states" and not (isinstance(value, int) and 0 <= value <= MAX_STATES):
            raise ValueError(f"an optimizer has 0 to {MAX_STATES} states a weight; got {value!r}")
        elif not key.isidentifier() or key in _APART or callable(getattr(type(optimizer), key, None)):
            raise ValueError(f"{type(optimizer).__name__} has no setting {key!r}")
        else:
            setattr(optimizer, key, _from_json(value))


def _scheduler(scheduler: Any) -> list[Any] | None:
    if scheduler is None:
        return None
    name = type(scheduler).__name__
    if getattr(lr_scheduler, name, None) is not type(scheduler):
        raise ValueError(f"describe: the schedule {name} is not one of mxdl.lr_scheduler, so servers cannot make it; "
                         f"set the learning rate from the worker instead (trainer.set_learning_rate)")
    return [name, {key: _to_json(value, f"{name}.{key}") for key, value in vars(scheduler).items()}]


def _make_scheduler(told: Any) -> Any:
    if told is None:
        return None
    name, attributes = told
    klass = getattr(lr_scheduler, name, None)
    if not (isinstance(klass, type) and issubclass(klass, lr_scheduler.LRScheduler)):
        raise ValueError(f"no schedule is called {name!r}")
    scheduler = klass.__new__(klass)
    for key, value in attributes.items():
        setattr(scheduler, key, _from_json(value))
    return scheduler


def _to_json(value: Any, where: str) -> Any:
    """Dicts become {"d": pairs}, for JSON's keys are texts only."""
    if isinstance(value, dict):
        return {"d": [[_to_json(key, where), _to_json(one, where)] for key, one in value.items()]}
    if isinstance(value, (list, tuple)):
        return [_to_json(one, where) for one in value]
    if not is_plain(value):
        raise ValueError(f"describe: {where} cannot travel to a server: it is a {type(value).__name__}; use numbers, "
                         f"texts, lists and dicts")
    return value


def _from_json(value: Any) -> Any:
    if isinstance(value, dict):
        return {_from_json(key): _from_json(one) for key, one in value["d"]}
    return [_from_json(one) for one in value] if isinstance(value, list) else value


class ServerUpdater:
    """An optimizer with its states on a parameter server: torch tensors in and out."""

    def __init__(self, optimizer: Optimizer):
        self._updater = Updater(optimizer)

    def update(self, keys: list, grads: list[torch.Tensor], weights: list[torch.Tensor]) -> None:
        """Changes the weights in place."""
        if self._updater.takes_lists:
            self._updater(keys, list(map(_array, grads)), list(map(_array, weights)))
            return
        for key, grad, weight in zip(keys, grads, weights, strict=True):
            self._updater(key, _array(grad), _array(weight))

    def update_rows(self, key: Any, ids: torch.Tensor, grad: torch.Tensor, weight: torch.Tensor) -> None:
        """Changes the rows `ids` of a weight; ids: int64[n], distinct;  grad: T[n, ...]."""
        self._updater.update_rows(key, ids, _array(grad), _array(weight))

    def set_settings(self, settings: dict[str, Any]) -> None:
        apply_settings(self._updater.optimizer, settings)

    def get_states(self) -> dict[str, Any]:
        """States and counts as tensors, numbers, tuples and dicts."""
        optimizer = self._updater.optimizer
        return {"states": {key: _tensors(state) for key, state in self._updater.states.items()},
                "counts": {name: getattr(optimizer, name) for name in _COUNTS}}

    def set_states(self, states: dict[str, Any]) -> None:
        """Takes what `get_states` gave."""
        counts = {name: states["counts"][name] for name in _COUNTS}
        self._updater.set_states({key: _arrays(state) for key, state in states["states"].items()})
        vars(self._updater.optimizer).update(counts)
        self._updater.optimizer._set_current_context(0)


def _array(tensor: torch.Tensor) -> NDArray:
    return NDArray._wrap(tensor, cpu())


def _tensors(state: Any) -> Any:
    if isinstance(state, NDArray):
        return state._data
    return tuple(map(_tensors, state)) if isinstance(state, (list, tuple)) else state


def _arrays(state: Any) -> Any:
    if isinstance(state, torch.Tensor):
        return _array(state)
    return tuple(map(_arrays, state)) if isinstance(state, tuple) else state


register_builder(build)
