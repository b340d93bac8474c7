"""Cells that change another cell: dropout, zoneout, residual connections."""
from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .cell import HybridRecurrentCell
from .sequence import as_steps, as_tensor, functions_for, is_tensor, mask_after


class DropoutCell(HybridRecurrentCell):
    """Dropout on the inputs; it has no state.   axes: along these, one draw is shared."""

    def __init__(self, rate: float, axes: tuple[int, ...] = (), prefix: str | None = None, params: Any = None):
        super().__init__(prefix=prefix, params=params)
        if not isinstance(rate, (int, float)):
            raise AssertionError(f"DropoutCell: rate is a probability; got {rate!r}")
        self._rate, self._axes = rate, axes

    def _alias(self) -> str:
        return "dropout"

    def __repr__(self) -> str:
        return f"{type(self).__name__}(rate={self._rate}, axes={self._axes})"

    def state_info(self, batch_size: int = 0) -> list[dict]:
        return []

    def hybrid_forward(self, F: Any, inputs: Any, states: list) -> tuple[Any, list]:
        if self._rate > 0:
            inputs = F.Dropout(inputs, p=self._rate, axes=self._axes, name=f"t{self._counter}_fwd")
        return inputs, states

    def unroll(self, length: int, inputs: Any, begin_state: list | None = None, layout: str = "NTC",
               merge_outputs: bool | None = None, valid_length: Any = None) -> tuple[Any, list]:
        self.reset()
        if merge_outputs:
            inputs = as_tensor(inputs, layout)
        if is_tensor(inputs) and merge_outputs is not False:
            return self.hybrid_forward(functions_for(inputs), inputs, begin_state or [])
        return super().unroll(length, inputs, begin_state, layout, merge_outputs, None)


class ModifierCell(HybridRecurrentCell):
    """The base of cells around `base_cell`, whose parameters they use."""

    def __init__(self, base_cell: HybridRecurrentCell):
        if base_cell._modified:
            raise AssertionError(f"{type(self).__name__}: a cell takes one modifier; got {base_cell.name}, which has "
                                 f"one; wrap that modifier instead")
        base_cell._modified = True
        super().__init__(prefix=base_cell.prefix + self._alias(), params=None)
        self.base_cell = base_cell

    @property
    def params(self) -> Any:
        return self.base_cell.params

    def state_info(self, batch_size: int = 0) -> list[dict]:
        return self.base_cell.state_info(batch_size)

    def begin_state(self, batch_size: int = 0, func: Callable | None = None, **kwargs: Any) -> list:
        self.base_cell._modified = False
        try:
            return self.base_cell.begin_state(batch_size=batch_size, func=func, **kwargs)
        finally:
            self.base_cell._modified = True

    def hybrid_forward(self, F: Any, inputs: Any, states: list) -> tuple[Any, list]:
        raise NotImplementedError(f"{type(self).__name__}.hybrid_forward is not written")

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.base_cell})"


class ZoneoutCell(ModifierCell):
    """Keeps each output and state as it was with a probability, in training (arXiv 1606.01305)."""

    def __init__(self, base_cell: HybridRecurrentCell, zoneout_outputs: float = 0.0, zoneout_states: float = 0.0):
        if type(base_cell).__name__ == "BidirectionalCell":
            raise AssertionError("ZoneoutCell: needs a cell that runs step by step; got a BidirectionalCell; wrap the "
                                 "two cells in it")
        super().__init__(base_cell)
        self.zoneout_outputs, self.zoneout_states = zoneout_outputs, zoneout_states

    def __repr__(self) -> str:
        return (f"{type(self).__name__}(p_out={self.zoneout_outputs}, p_state={self.zoneout_states}, "
                f"{self.base_cell})")

    def _alias(self) -> str:
        return "zoneout"

    def reset(self) -> None:
        super().reset()
        self._previous = None

    def hybrid_forward(self, F: Any, inputs: Any, states: list) -> tuple[Any, list]:
        output, next_states = self.base_cell(inputs, states)
        if self.zoneout_outputs:
            before = F.zeros_like(output) if self._previous is None else self._previous
            output = F.where(self._mask(F, self.zoneout_outputs, output), output, before)
        self._previous = output
        if self.zoneout_states:
            next_states = [F.where(self._mask(F, self.zoneout_states, new), new, old)
                           for new, old in zip(next_states, states, strict=True)]
        return output, next_states

    @staticmethod
    def _mask(F: Any, rate: float, like: Any) -> Any:
        return F.Dropout(F.ones_like(like), p=rate)


class ResidualCell(ModifierCell):
    """Adds the inputs to the outputs."""

    def hybrid_forward(self, F: Any, inputs: Any, states: list) -> tuple[Any, list]:
        output, states = self.base_cell(inputs, states)
        return F.elemwise_add(output, inputs, name=f"t{self._counter}_fwd"), states

    def unroll(self, length: int, inputs: Any, begin_state: list | None = None, layout: str = "NTC",
               merge_outputs: bool | None = None, valid_length: Any = None) -> tuple[Any, list]:
        self.reset()
        self.base_cell._modified = False
        try:
            outputs, states = self.base_cell.unroll(length, inputs, begin_state, layout, merge_outputs, valid_length)
        finally:
            self.base_cell._modified = True
        F = functions_for(outputs)
        merge = is_tensor(outputs) if merge_outputs is None else merge_outputs
        if valid_length is not None:
            inputs = mask_after(inputs, length, valid_length, layout, merge)
        if merge:
            return F.elemwise_add(outputs, as_tensor(inputs, layout)), states
        steps = zip(as_steps(outputs, length, layout), as_steps(inputs, length, layout), strict=True)
        return [F.elemwise_add(output, x) for output, x in steps], states
