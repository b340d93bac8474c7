"""RecurrentCell: one step of a recurrence, and its unrolling over a sequence."""
from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ... import ndarray
from ...ndarray import NDArray
from ..block import Block
from ..hybrid import HybridBlock
from ..nn import LeakyReLU
from .sequence import as_steps, as_tensor, batch_size_of, functions_for, last_valid, mask_after


class RecurrentCell(Block):
    """``output, states = cell(input, states)``: input [N, I], states a list; ``unroll`` runs it over a sequence."""

    def __init__(self, prefix: str | None = None, params: Any = None):
        super().__init__(prefix=prefix, params=params)
        self._modified = False
        self.reset()

    def reset(self) -> None:
        """Start counting steps anew, before a new sequence."""
        self._init_counter = -1
        self._counter = -1
        for cell in self._children.values():
            cell.reset()

    def state_info(self, batch_size: int = 0) -> list[dict]:
        """Shape and layout of each state."""
        raise NotImplementedError(f"{type(self).__name__}.state_info is not written")

    def begin_state(self, batch_size: int = 0, func: Callable | None = None, **kwargs: Any) -> list:
        """The states before the first step: zeros, or what ``func(name=, shape=, **kwargs)`` makes."""
        if self._modified:
            raise AssertionError(f"{self.name}.begin_state: this cell is wrapped by a modifier, which keeps its "
                                 f"states; got a call on the wrapped cell; call the modifier (ZoneoutCell, ...)")
        return [self._begin(info, func, kwargs) for info in self.state_info(batch_size)]

    def _begin(self, info: dict, func: Callable | None, kwargs: dict) -> Any:
        self._init_counter += 1
        if func is None or func is ndarray.zeros:
            return ndarray.zeros(info["shape"], **kwargs)
        return func(name=f"{self._prefix}begin_state_{self._init_counter}", **{**info, **kwargs})

    def _begin_for(self, inputs: Any, batch_size: int) -> list:
        """Begin states where the sequence is and of its kind."""
        first = inputs[0] if isinstance(inputs, list) else inputs
        if isinstance(first, NDArray):
            return self.begin_state(batch_size=batch_size, ctx=first.ctx, dtype=first.dtype)
        return self.begin_state(batch_size=0, func=functions_for(inputs).zeros)

    def unroll(self, length: int, inputs: Any, begin_state: list | None = None, layout: str = "NTC",
               merge_outputs: bool | None = None, valid_length: Any = None) -> tuple[Any, list]:
        """Run over `length` steps; returns the outputs and the last states.

        inputs: a tensor in `layout`, or a list of steps [N, C].
        merge_outputs: True for one tensor, False for a list of steps, None for what is at hand.
        valid_length: number[N]: steps after it are padding; outputs are zero there, states are those before it.
        """
        self.reset()
        steps = as_steps(inputs, length, layout)
        states = begin_state or self._begin_for(steps, batch_size_of(inputs, layout))
        outputs, history = [], []
        for step in steps:
            output, states = self(step, states)
            outputs.append(output)
            history.append(states)
        if valid_length is not None:
            states = [last_valid(list(each), valid_length) for each in zip(*history, strict=True)]
            return mask_after(outputs, length, valid_length, layout, merge_outputs is not False), states
        return as_tensor(outputs, layout) if merge_outputs else outputs, states

    def _get_activation(self, F: Any, inputs: Any, activation: Any, **kwargs: Any) -> Any:
        """Apply an activation given by name or as a block."""
        if activation in ("tanh", "relu", "sigmoid", "softsign"):  # operators of their own: so MXNet's files have them
            return getattr(F, activation)(inputs, **kwargs)
        if isinstance(activation, str):
            return F.Activation(inputs, act_type=activation, **kwargs)
        if isinstance(activation, LeakyReLU):
            return F.LeakyReLU(inputs, act_type="leaky", slope=activation._alpha, **kwargs)
        return activation(inputs, **kwargs)

    def forward(self, inputs: Any, states: list) -> tuple[Any, list]:
        """One step: the output [N, O] and the next states."""
        self._counter += 1
        return super().forward(inputs, states)


class HybridRecurrentCell(RecurrentCell, HybridBlock):
    """A recurrent cell that hybridizes."""

    def hybrid_forward(self, F: Any, x: Any, *args: Any, **kwargs: Any) -> Any:
        raise NotImplementedError(f"{type(self).__name__}.hybrid_forward is not written")
