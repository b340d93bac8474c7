"""``hybridize(fold=True)``: a predict program that computes what follows from the parameters alone only once."""
from __future__ import annotations

from collections.abc import Callable, Sequence

import torch

from ..graph import Graph, Node, Value
from ..passes.hoist import hoist
from .program import Program

#: makes a program of outputs and inputs
MakeProgram = Callable[[Sequence[Value], Sequence[Value]], Program]


class FoldedProgram:
    """A program in two parts: folded parameters, computed anew only when a parameter was written or exchanged, and the
    rest.  The same interface as `Program`.

    What torch writes is noticed (by its version counters), and so is another array in a parameter's place; a write
    through memory shared with NumPy or another library is not.
    """

    __slots__ = ("_folded", "_from", "_positions", "_prepare", "_rest", "_versions", "inputs", "outputs", "steps")

    def __init__(self, outputs: Sequence[Value], inputs: Sequence[Value], parameters: set[Node], make: MakeProgram):
        """parameters: the variables among `inputs` that the results are held for."""
        self.inputs, self.outputs = tuple(inputs), tuple(outputs)
        hoisted = hoist(outputs, parameters)
        read = {node for node in Graph(hoisted).nodes if node.op is None}
        self._positions = [i for i, value in enumerate(self.inputs) if value.node in read]
        self._prepare = Program(hoisted, [self.inputs[i] for i in self._positions])
        self._rest = make(outputs, [*self.inputs, *hoisted])
        self.steps = self._rest.steps
        self._folded: list[torch.Tensor] = []
        self._from: list[torch.Tensor] = []     # held, so that no other array can come to lie at the same address
        self._versions: list[int] | None = None

    def run(self, tensors: list[torch.Tensor], seeds: Sequence[int] = ()) -> list[torch.Tensor]:
        """As `Program.run`."""
        given = [tensors[i] for i in self._positions]
        if not self._is_current(given):
            self._folded = self._prepare.run(list(given))
            self._from, self._versions = given, [t._version for t in given]
        tensors.extend(self._folded)
        return self._rest.run(tensors, seeds)

    def _is_current(self, given: Sequence[torch.Tensor]) -> bool:
        return self._versions is not None and all(
            new._version == version and new.data_ptr() == old.data_ptr() and new.stride() == old.stride()
            for new, old, version in zip(given, self._from, self._versions, strict=True))
