"""The memory plan of a block's training step: counted from shapes, before anything exists or runs."""
from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import torch

from ..autograd.state import state
from ..device import cpu
from ..errors import GraphError, ShapeError
from ..graph import Value
from ..ndarray import NDArray
from ..passes.cost import machine_rates, seconds_of, total_flops
from ..passes.goal import BACKENDS, Goal, goal_of, num_bytes
from ..passes.infer_types import Types, infer_types
from ..passes.liveness import Timeline, timeline
from ..passes.low_precision import with_casts
from ..passes.pipeline import training_plan
from ..passes.plan import Plan, plan_types
from ..passes.planner import planned
from ..types import TORCH_DTYPES, Shape, TensorType
from .memory_report import curve_figure, share_by_block, table, tradeoff_figure
from .parameter import Parameter

if TYPE_CHECKING:
    from .hybrid import HybridBlock


class Costed(NamedTuple):
    """A plan with its timeline.   seconds, flops: of the whole step, as the cost model reckons."""

    plan: Plan
    timeline: Timeline
    seconds: float
    flops: int


class MemoryPlan:
    """What one training step of a block takes: forward, backward, gradients of its parameters.

    before: the step that recomputes nothing; its memory with nothing shared is in `nothing_shared`.   after: the step
    under `mirror`.   Bytes are of arrays; the interpreter with torch takes about 0.25 GB more.
    """

    def __init__(self, block: HybridBlock, shapes: Sequence[TensorType], goal: Goal, hand_over: bool,
                 fused: bool = False):
        self._block, self.inputs, self.goal, self.hand_over = block, list(shapes), goal, hand_over
        self._fused = fused
        plain, known = _plain_plan(block, shapes)
        self._plain, self._types = plain, plan_types(plain, known)
        self._known = known
        self.nothing_shared = timeline(plain, self._types, "off").peak
        self.before = self._costed(plain, self._types)
        self.after = self.before if goal.kind == "all" else self.with_goal(goal)

    def with_goal(self, goal: Goal) -> Costed:
        """The step under another goal.  Raises GraphError where no plan meets it."""
        plan = planned(self._plain, self._types, goal, self._fused).plan
        return self.before if plan is self._plain else self._costed(plan, plan_types(plan, self._known))

    def _costed(self, plan: Plan, types: Types) -> Costed:
        line = timeline(plan, types, "plan", hand_off=self.hand_over, fused=self._fused)
        seconds = seconds_of(types, machine_rates())
        return Costed(plan, line, sum(map(seconds, line.steps)), total_flops(line.steps, types))

    # -- figures ----------------------------------------------------------------------------------------------
    @property
    def peak(self) -> int:
        """Most bytes alive at once: parameters, inputs, activations, gradients."""
        return self.after.timeline.peak

    @property
    def activation_peak(self) -> int:
        """Most bytes alive at once beside parameters, inputs and finished gradients."""
        return self.after.timeline.activation_peak

    @property
    def extra_time(self) -> float:
        """Seconds of recomputation as a fraction of the step that recomputes nothing, as the cost model reckons."""
        return self.after.seconds / self.before.seconds - 1

    @property
    def extra_flops(self) -> int:
        """Floating-point operations of the recomputation."""
        return self.after.flops - self.before.flops

    @property
    def at_peak(self) -> list[tuple[str, int]]:
        """What is alive at the peak, by block path: (path, bytes), the largest first."""
        return share_by_block(self.after.timeline)

    def __str__(self) -> str:
        return table(self)

    __repr__ = __str__

    # -- pictures ---------------------------------------------------------------------------------------------
    def curve(self, path: str) -> None:
        """Draw live bytes over the step, before and after, to a PNG, SVG or PDF file."""
        curve_figure(self, path)

    def tradeoff(self, path: str | None = None, budgets: Sequence[float] = (0.9, 0.75, 0.5, 0.35, 0.25, 0.15, 0.1),
                 max_recompute: float = 1) -> list[tuple[int, float]]:
        """Memory against time: (peak bytes of activations, extra time) of the plans for `budgets`, fractions of the
        activations before; those that no plan meets are left out.  Drawn too, where a path is given."""
        points = {(self.before.timeline.activation_peak, 0.0)}
        for goal in [*(Goal("fraction", f, max_recompute) for f in budgets), Goal("min", 0, max_recompute)]:
            try:
                found = self.with_goal(goal)
            except GraphError:   # below the least possible, which "min" shows
                continue
            points.add((found.timeline.activation_peak, found.seconds / self.before.seconds - 1))
        result = sorted(points)
        if path is not None:
            tradeoff_figure(result, path)
        return result

    # -- what fits --------------------------------------------------------------------------------------------
    def largest_batch(self, memory: int | str, batch_axis: int = 0, max_recompute: float = 1,
                      other_bytes: int = 0, recompute: bool = True) -> int:
        """The largest batch whose step fits into `memory` ("4GB"), recomputing where it must; 0 where none does.

        other_bytes: what else is to fit (the optimizer's states).   recompute: False: without recomputing anything.
        """
        limit = num_bytes(memory)
        if limit is None:
            raise GraphError(f"largest_batch: memory is a number of bytes; got {memory!r}; give '4GB' or an int")

        def fits(batch: int) -> bool:
            shapes = [_with_batch(t, batch_axis, batch) for t in self.inputs]
            return step_fits(self._block, shapes, limit - other_bytes, max_recompute if recompute else 0,
                             self.hand_over)
        return _largest(fits)


def memory_plan(block: HybridBlock, *inputs: Any, mirror: Any = False, max_recompute: float = 1,
                hand_over: bool = False, backend: str | None = None) -> MemoryPlan:
    """The memory plan of a training step of `block` on inputs like these: shapes, (shape, dtype) pairs or arrays.

    Parameters need not be initialized, nor their shapes known; no array is made, so any size can be planned.
    mirror, max_recompute, backend: as in `hybridize`.   hand_over: the step is `Trainer.backward_and_step`.
    """
    if backend not in BACKENDS:
        raise GraphError(f"memory_plan: unknown backend; got {backend!r}; use None or 'inductor'")
    return MemoryPlan(block, [_type_of(x) for x in inputs], goal_of(mirror, max_recompute), hand_over,
                      backend == "inductor")


def step_fits(block: HybridBlock, shapes: Sequence[TensorType], limit: int, max_recompute: float,
              hand_over: bool) -> bool:
    """Whether a step on these inputs fits into `limit` bytes; max_recompute 0: without recomputation."""
    if limit <= 0:
        return False
    plain, known = _plain_plan(block, shapes)
    types = plan_types(plain, known)
    if timeline(plain, types, "plan", hand_off=hand_over).peak <= limit:
        return True
    if not max_recompute:
        return False
    try:
        planned(plain, types, Goal("bytes", limit, max_recompute))
    except GraphError:
        return False
    return True


def _plain_plan(block: HybridBlock, shapes: Sequence[TensorType]) -> tuple[Plan, dict[str, TensorType]]:
    """The plan that recomputes nothing, and the types of its variables."""
    arrays = [NDArray._wrap(torch.empty(t.shape, dtype=TORCH_DTYPES[t.dtype], device="meta"), cpu()) for t in shapes]
    trace = block._trace(tuple(arrays))
    types = infer_types(trace.graph, {v.name: t for v, t in zip(trace.inputs, shapes, strict=True)})
    known = {node.name: types[Value(node, 0)] for node in trace.graph.inputs}
    trained = [node for node, source in zip(trace.graph.inputs, trace.sources, strict=True)
               if isinstance(source, Parameter) and source.grad_req != "null"]
    casts = None if state.policy is None else partial(with_casts, policy=state.policy, types=known)
    return training_plan(trace.graph, True, trained, False, known, casts), known


def _type_of(x: Any) -> TensorType:
    if isinstance(x, NDArray):
        return TensorType(tuple(x.shape), str(x._data.dtype).removeprefix("torch."))
    if isinstance(x, TensorType):
        return x
    if isinstance(x, (tuple, list)) and len(x) == 2 and isinstance(x[1], str):
        return TensorType(tuple(x[0]), x[1])
    if isinstance(x, (tuple, list)) and x and all(isinstance(n, int) and n > 0 for n in x):
        return TensorType(tuple(x))
    raise ShapeError(f"memory_plan: an input is an array, a shape or a (shape, dtype) pair; got {x!r}; "
                     f"give (32, 3, 224, 224), for example")


def _with_batch(kind: TensorType, axis: int, batch: int) -> TensorType:
    shape: Shape = tuple(batch if i == axis else n for i, n in enumerate(kind.shape))
    return TensorType(shape, kind.dtype)


def _largest(fits: Any, most: int = 1 << 20) -> int:
    """The largest number up to `most` that fits, by doubling, then halving the interval; 0 where 1 does not."""
    low, high = 0, 1
    while high <= most and fits(high):
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    return low
