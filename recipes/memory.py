"""What training a recipe takes in memory, from shapes alone: what `mxdl plan` asks."""
from typing import Any

import torch

from mxdl.errors import MXNetError
from mxdl.gluon.memory_plan import MemoryPlan
from mxdl.passes.goal import num_bytes
from mxdl.public_data import DataMissing
from mxdl.types import DTYPE_NAMES

from .components import build
from .resolve import Resolved
from .task import TRAIN, Task


class Step:
    """One training step of a recipe.   data: "real", or "synthetic" where the recipe's data is not here.

    state_bytes: of the optimizer's states.
    """

    def __init__(self, resolved: Resolved):
        recipe = resolved.recipe
        self.task: Task = build("task", recipe.task, recipe)
        self.data = "real"
        try:
            self.task.open()
        except DataMissing:
            self.data = "synthetic"
            self.task.open(synthetic=True)
        self.net = self.task.build()
        self.batch_size = recipe.train.batch_size
        self.inputs = self._inputs()
        states = build("optimizer", recipe.optimizer).num_states
        self.state_bytes = states * self.net.memory_plan(*self.inputs).before.timeline.grads

    def _inputs(self) -> list[tuple[tuple[int, ...], str]]:
        """(shape, dtype) of the net's inputs for a batch: the first as the data, the others as the example."""
        axis, (_, *others) = self.task.batch_axis, self.task.example()
        data = next(iter(self.task.batches(TRAIN, 0))).data
        shapes = [data.shape, *(x.shape for x in others)]
        sized = [tuple(self.batch_size if i == axis else n for i, n in enumerate(shape)) for shape in shapes]
        return [(shape, _dtype(x)) for shape, x in zip(sized, [data, *others], strict=True)]

    def plan(self, mirror: Any, memory: str | None, max_recompute: float) -> MemoryPlan:
        """The plan under a mode of `hybridize(mirror=...)`; None: what fits into `memory` beside the states."""
        if mirror is None and memory is not None:
            left = (num_bytes(memory) or 0) - self.state_bytes
            if left <= 0:
                raise MXNetError(f"plan: the optimizer's states alone take {self.state_bytes} bytes; got --memory "
                                 f"{memory}; give more, as 4GB or 512MiB")
            mirror = left
        return self.net.memory_plan(*self.inputs, mirror=mirror or False, max_recompute=max_recompute)

    def largest_batches(self, plan: MemoryPlan, memory: str, max_recompute: float) -> dict[str, int]:
        common = {"batch_axis": self.task.batch_axis, "other_bytes": self.state_bytes}
        return {"keeping everything": plan.largest_batch(memory, recompute=False, **common),
                "recomputing": plan.largest_batch(memory, max_recompute=max_recompute, **common)}


def _dtype(array: Any) -> str:
    return DTYPE_NAMES[torch.from_numpy(array[:0].copy()).dtype]
