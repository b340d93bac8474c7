"""An updater: an optimizer with the states of the parameters that it updates, for a Trainer or a kvstore."""
from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from ..ndarray import NDArray
from . import states as state_files
from .base import Optimizer
from .states import Parts


class Updater:
    """Called with index, gradient and weight (or lists of them), it updates the weight in place.

    States are made at a parameter's first update.  A kvstore may call it with lists: `takes_lists`.  One whose workers
    share out the elements of a parameter, which `is_elementwise` allows, calls `cut` once, then `count` and
    `update_parts`; the states of such parameters lie in `parts`.
    """

    def __init__(self, optimizer: Optimizer):
        self.optimizer = optimizer
        self.states: dict[Any, Any] = {}
        self.states_synced: dict[Any, bool] = {}
        self.parts: dict[Any, Parts] = {}

    @property
    def is_elementwise(self) -> bool:
        """Whether parameters may be updated in parts: the optimizer's own class says so."""
        return vars(type(self.optimizer)).get("is_elementwise", False)

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

    # -- in parts ---------------------------------------------------------------------------------------------
    def cut(self, key, shape: tuple[int, ...], spans: list[tuple[int, int]]) -> None:
        """From now on this updates elements `start` to `stop` of a parameter's array, for each span, and no others.

        shape: of the parameter.
        """
        whole = self.states.pop(key, None)
        self.parts[key] = Parts(tuple(shape))
        if whole is not None:
            self.parts[key].states.update({start: state_files.part_of(whole, start, stop) for start, stop in spans})

    def count(self, keys: list) -> None:
        """Counts an update of each parameter, which `update_parts` makes."""
        self.optimizer._set_current_context(0)
        self.optimizer._update_count(keys)

    def update_parts(self, keys: list, starts: list[int], grads: list, weights: list) -> None:
        """Updates parts of parameters in place.  grads, weights: T[n] each, from element `start` of the parameter on"""
        self.optimizer._set_current_context(0)
        states = []
        for key, start, weight in zip(keys, starts, weights, strict=True):
            mine = self.parts[key].states
            if start not in mine:
                mine[start] = self.optimizer.create_state_multi_precision(key, weight)
            states.append(mine[start])
        self.optimizer.update_counted(keys, weights, grads, states)

    def parts_of(self, key) -> bytes:
        """The parts of a parameter's state that are here, for `join`."""
        return state_files.dump({}, None, {key: self.parts[key]})

    def join(self, key, everybody: list[bytes] | None) -> None:
        """The parameter is no longer updated in parts.  everybody: what all `parts_of` gave; None: others update it"""
        del self.parts[key]
        if everybody is not None:
            whole = state_files.load(self.merge_states(everybody), self.optimizer)
            self.states.update(whole)
            self.states_synced.update(dict.fromkeys(whole, False))

    def sync_state_context(self, state: Any, context) -> Any:
        """The state with its arrays on `context`."""
        if isinstance(state, NDArray):
            return state.as_in_context(context)
        if isinstance(state, (list, tuple)):
            return type(state)(self.sync_state_context(part, context) for part in state)
        return state

    def get_states(self, dump_optimizer: bool = False) -> bytes:
        """The states (and, if asked, the optimizer's counts and settings) as bytes that hold no code."""
        return state_files.dump(self.states, self.optimizer if dump_optimizer else None, self.parts)

    @staticmethod
    def merge_states(parts: list[bytes]) -> bytes:
        """One `get_states` of those of several workers, each of which updated some of the parameters, or parts."""
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
        self.parts = {}


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
