"""``hybridize(backend="inductor")``: a program handed to torch.compile."""
from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch

from ..autograd.hand_over import Receive
from ..errors import NotBuiltError
from ..graph import Value
from .hand_over import hand_over_all
from .program import Program


class CompiledProgram:
    """A program compiled by torch.compile (Inductor) at its first run; the same interface as `Program`."""

    __slots__ = ("_function", "inputs", "outputs", "steps")

    def __init__(self, outputs: Sequence[Value], inputs: Sequence[Value]):
        program = Program(outputs, inputs, in_place=False)
        random = [step.node for step in program.steps if step.seed >= 0]
        if random:
            raise NotBuiltError(f"hybridize(backend='inductor'): operators that draw random numbers are not built "
                                f"for it; got {random[0]}; use the default backend for this block")
        self.inputs, self.outputs, self.steps = program.inputs, program.outputs, program.steps

        def straight_line(*tensors: torch.Tensor) -> tuple[torch.Tensor, ...]:
            return tuple(program.run(list(tensors)))
        self._function = torch.compile(straight_line, backend="inductor", dynamic=False)

    def run(self, tensors: list[torch.Tensor], seeds: Sequence[int] = ()) -> list[torch.Tensor]:
        """As `Program.run`; `tensors` is emptied."""
        results = self._function(*tensors)
        tensors.clear()
        return list(results)

    def run_handing_over(self, tensors: list[torch.Tensor], seeds: Sequence[int],
                         receivers: Mapping[int, Receive], points: Sequence[tuple[int, int]]) -> list:
        """As `Program.run_handing_over`, but all at the end: compiled code gives its outputs together."""
        return hand_over_all(self.run(tensors, seeds), receivers)
