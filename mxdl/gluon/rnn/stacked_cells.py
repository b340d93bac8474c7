"""Cells made of cells: one on top of the other, or one in each direction."""
from __future__ import annotations

from typing import Any

from ..block import indent
from .cell import HybridRecurrentCell, RecurrentCell
from .sequence import as_steps, as_tensor, batch_size_of, functions_for, is_tensor, mask_after, reversed_steps


class _Several:
    """What all of them share: the states of their cells, one after the other."""

    def state_info(self, batch_size: int = 0) -> list[dict]:
        return [info for cell in self._children.values() for info in cell.state_info(batch_size)]

    def begin_state(self, batch_size: int = 0, func: Any = None, **kwargs: Any) -> list:
        if self._modified:
            raise AssertionError(f"{self.name}.begin_state: this cell is wrapped by a modifier, which keeps its "
                                 f"states; got a call on the wrapped cell; call the modifier (ZoneoutCell, ...)")
        return [state for cell in self._children.values()
                for state in cell.begin_state(batch_size=batch_size, func=func, **kwargs)]


class _Stack(_Several):
    """What both stacks of cells share."""

    def add(self, cell: RecurrentCell) -> None:
        """Put a cell on top."""
        self.register_child(cell)

    def __repr__(self) -> str:
        lines = "\n".join(f"({i}): {indent(repr(cell))}" for i, cell in self._children.items())
        return f"{type(self).__name__}(\n{lines}\n)"

    def __getitem__(self, i: int) -> RecurrentCell:
        return list(self._children.values())[i]

    def __len__(self) -> int:
        return len(self._children)

    def _shares(self, states: list) -> list[tuple[RecurrentCell, list]]:
        """Each cell with its part of the states."""
        shares, begin = [], 0
        for cell in self._children.values():
            end = begin + len(cell.state_info())
            shares.append((cell, states[begin:end]))
            begin = end
        return shares

    def _step(self, inputs: Any, states: list) -> tuple[Any, list]:
        next_states: list = []
        for cell, own in self._shares(states):
            if isinstance(cell, BidirectionalCell):
                raise AssertionError(f"{type(self).__name__}: a BidirectionalCell cannot be stepped; use unroll")
            inputs, own = cell(inputs, own)
            next_states += own
        return inputs, next_states

    def unroll(self, length: int, inputs: Any, begin_state: list | None = None, layout: str = "NTC",
               merge_outputs: bool | None = None, valid_length: Any = None) -> tuple[Any, list]:
        self.reset()
        states = begin_state or self._begin_for(as_steps(inputs, length, layout), batch_size_of(inputs, layout))
        last_states: list = []
        cells = self._shares(states)
        for i, (cell, own) in enumerate(cells):
            merge = merge_outputs if i == len(cells) - 1 else None
            inputs, own = cell.unroll(length, inputs, own or None, layout, merge, valid_length)
            last_states += own
        return inputs, last_states


class SequentialRNNCell(_Stack, RecurrentCell):
    """Cells one on top of the other, as one cell."""

    def forward(self, inputs: Any, states: list) -> tuple[Any, list]:
        self._counter += 1
        return self._step(inputs, states)


class HybridSequentialRNNCell(_Stack, HybridRecurrentCell):
    """Cells one on top of the other, as one cell that hybridizes."""

    def hybrid_forward(self, F: Any, inputs: Any, states: list) -> tuple[Any, list]:
        return self._step(inputs, states)


class BidirectionalCell(_Several, HybridRecurrentCell):
    """Two cells, one from each end of the sequence, outputs side by side; only `unroll` makes sense."""

    def __init__(self, l_cell: RecurrentCell, r_cell: RecurrentCell, output_prefix: str = "bi_"):
        super().__init__(prefix="", params=None)
        self.register_child(l_cell, "l_cell")
        self.register_child(r_cell, "r_cell")
        self._output_prefix = output_prefix

    def __call__(self, inputs: Any, states: list) -> Any:
        raise NotImplementedError("BidirectionalCell: the backward cell starts at the end of the sequence, so there is "
                                  "no single step; call unroll")

    def __repr__(self) -> str:
        return f"{type(self).__name__}(forward={self._children['l_cell']}, backward={self._children['r_cell']})"

    def unroll(self, length: int, inputs: Any, begin_state: list | None = None, layout: str = "NTC",
               merge_outputs: bool | None = None, valid_length: Any = None) -> tuple[Any, list]:
        self.reset()
        steps = as_steps(inputs, length, layout)
        states = begin_state or self._begin_for(steps, batch_size_of(inputs, layout))
        left, right = self._children["l_cell"], self._children["r_cell"]
        cut = len(left.state_info())
        l_outputs, l_states = left.unroll(length, steps, states[:cut], layout, merge_outputs, valid_length)
        r_outputs, r_states = right.unroll(length, reversed_steps(steps, length, valid_length), states[cut:], layout,
                                           False, valid_length)
        merge = is_tensor(l_outputs) if merge_outputs is None else merge_outputs
        F = functions_for(l_outputs)
        backward = reversed_steps(as_steps(r_outputs, length, layout), length, valid_length)
        if merge:
            outputs = F.concat(as_tensor(l_outputs, layout), as_tensor(backward, layout), dim=2,
                               name=f"{self._output_prefix}out")
        else:
            pairs = zip(as_steps(l_outputs, length, layout), backward, strict=True)
            outputs = [F.concat(*pair, dim=1, name=f"{self._output_prefix}t{i}") for i, pair in enumerate(pairs)]
        if valid_length is not None:
            outputs = mask_after(outputs, length, valid_length, layout, merge)
        return outputs, l_states + r_states
