"""An updater: an optimizer with the states of the parameters that it updates, for a Trainer or a kvstore."""
from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from ..ndarray import NDArray
from . import states as state_files
from .base import Optimizer


class Updater:
    """Called with index, gradient and weight (or lists of them), it updates the weight in place.

    States are made at a parameter's first update.  A kvstore may call it with lists: `takes_lists`.
    """

    def __init__(self, optimizer: Optimizer):
        self.optimizer = optimizer
        self.states: dict[Any, Any] = {}
        self.states_synced: dict[Any, bool] = {}

    @property
    def takes_lists(self) -> bool:
        return self.optimizer.takes_lists

    @property
    def aggregate_updates(self) -> bool:
        """MXNet's name of `takes_lists`."""
        return self.takes_lists

    def __call__(self, index, grad, weight) -> None:
        if not isinstance(index, (list, tuple)):
            index, grad, weight = [index], [grad], [weight]
        if not index:
            return
        self.optimizer._set_current_context(weight[0].context.device_id)
        states = [self._state(key, array) for key, array in zip(index, weight, strict=True)]
        if self.takes_lists:
            self.optimizer.update_multi_precision(list(index), list(weight), list(grad), states)
            return
        for one in zip(index, weight, grad, states, strict=True):
            self.optimizer.update_multi_precision(*one)

    def _state(self, key, weight: NDArray) -> Any:
        if key not in self.states:
            self.states[key] = self.optimizer.create_state_multi_precision(key, weight)
        elif not self.states_synced[key]:      # loaded: it lies on the CPU
            self.states[key] = self.sync_state_context(self.states[key], weight.context)
        self.states_synced[key] = True
        return self.states[key]

    @property
    def is_lazy(self) -> bool:
        """Whether `update_rows` leaves other rows as they are; not with an optimizer's ``lazy_update=False``."""
        return getattr(self.optimizer, "lazy_update", True)

    def update_rows(self, index, ids: torch.Tensor, grad: NDArray, weight: NDArray) -> None:
        """Updates rows of a weight and of its states: decay, momentum and the like of the other rows stand still.

        ids: int64[n], distinct.   grad: T[n, *S].   weight: T[N, *S]
        """
        if not self.is_lazy:
            whole = torch.zeros_like(weight._data, dtype=grad._data.dtype).index_copy_(0, ids, grad._data)
            return self(index, NDArray._wrap(whole, weight.context), weight)
        self.optimizer._set_current_context(weight.context.device_id)
        state = self._state(index, weight)
        rows, some = _rows(weight, ids), _rows(state, ids)
        if self.takes_lists:
            self.optimizer.update_multi_precision([index], [rows], [grad], [some])
        else:
            self.optimizer.update_multi_precision(index, rows, grad, some)
        _put_rows((weight, state), (rows, some), ids)

    def sync_state_context(self, state: Any, context) -> Any:
        """The state with its arrays on `context`."""
        if isinstance(state, NDArray):
            return state.as_in_context(context)
        if isinstance(state, (list, tuple)):
            return type(state)(self.sync_state_context(part, context) for part in state)
        return state

    def get_states(self, dump_optimizer: bool = False) -> bytes:
        """The states (and, if asked, the optimizer's counts and settings) as bytes that hold no code."""
        return state_files.dump(self.states, self.optimizer if dump_optimizer else None)

    @staticmethod
    def merge_states(parts: list[bytes]) -> bytes:
        """One `get_states` of those of several workers, each of which updated some of the parameters."""
        return state_files.merge(parts)

    def set_states(self, states: bytes | Mapping) -> None:
        """Takes what `get_states` gave; the optimizer's counts and settings too, where they are in it.

        Raises FileFormatError where the bytes are not such, or belong to another optimizer.
        """
        if isinstance(states, Mapping):
            self.states = dict(states)
        else:
            self.states = state_files.load(states, self.optimizer)
        self.states_synced = dict.fromkeys(self.states, False)


def _rows(state: Any, ids: torch.Tensor) -> Any:
    """A copy of rows `ids` of each array."""
    if isinstance(state, NDArray):
        return NDArray._wrap(state._data.index_select(0, ids), state.context)
    return tuple(_rows(part, ids) for part in state) if isinstance(state, (list, tuple)) else state


def _put_rows(state: Any, some: Any, ids: torch.Tensor) -> None:
    if isinstance(state, NDArray):
        state._data.index_copy_(0, ids, some._data)
    elif isinstance(state, (list, tuple)):
        for part, piece in zip(state, some, strict=True):
            _put_rows(part, piece, ids)


def get_updater(optimizer: Optimizer) -> Updater:
    """An updater of `optimizer` without states."""
    return Updater(optimizer)
