"""Bytes that are alive at each step of a plan, without running it: forward, then backward, as the executor does."""
from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from typing import Literal, NamedTuple

from ..errors import GraphError
from ..graph import Node, Value
from ..types import TORCH_DTYPES
from .infer_types import Types
from .lifetimes import StepMemory, lifetimes
from .plan import Plan

#: "off": every tensor has memory of its own and keeps it.   "inplace": dead memory is freed and overwritten.
#: "plan": as the executor runs the plan.
Sharing = Literal["off", "inplace", "plan"]


class Block(NamedTuple):
    """Memory of `num_bytes` that is alive from step `start` to before step `end`; `value` was written there first.

    kind: "activation", "gradient" (it ends as a gradient that the plan returns) or "head" (given to the backward pass).
    """

    value: Value
    num_bytes: int
    start: int
    end: int
    kind: str


class Timeline(NamedTuple):
    """Bytes over the steps of a plan, the forward steps first.

    live: while each step runs, its inputs, outputs and scratch memory included; `fixed` counts too.
    activations: the same without `fixed` and without gradients that the plan returns.   peak: the largest of `live`.
    fixed: parameters, states and data, which the caller holds.   grads: all gradients that the plan returns.
    """

    live: list[int]
    activations: list[int]
    steps: list[Node]
    num_forward: int
    fixed: int
    grads: int
    blocks: list[Block]

    @property
    def peak(self) -> int:
        return max(self.live, default=self.fixed)

    @property
    def peak_step(self) -> int:
        return self.live.index(self.peak) if self.live else 0

    @property
    def activation_peak(self) -> int:
        """Most bytes alive at once beside variables and the gradients that the plan returns."""
        return max(self.activations, default=0)

    @property
    def at_peak(self) -> list[tuple[Value, int]]:
        """What is alive at the peak beside `fixed`: values and their bytes, the largest first."""
        return self.alive_at(self.peak_step)

    def alive_at(self, step: int) -> list[tuple[Value, int]]:
        """What is alive while `step` runs beside `fixed`: values and their bytes, the largest first."""
        found = [(b.value, b.num_bytes) for b in self.blocks if b.start <= step < b.end]
        return sorted(found, key=lambda pair: -pair[1])


def timeline(plan: Plan, types: Types, sharing: Sharing = "plan", hand_off: bool = False) -> Timeline:
    """The bytes alive at each step of `plan`; `types` knows every value (see `plan_types`).

    hand_off: a gradient that is complete goes to its taker and is freed, rather than kept until the end.
    """
    if sharing not in ("off", "inplace", "plan"):
        raise GraphError(f"timeline: unknown sharing; got {sharing!r}; use 'off', 'inplace' or 'plan'")
    inputs = [Value(node, 0) for node in plan.inputs]
    memory = _Memory(types, inputs, frees=sharing != "off")
    forward = lifetimes([*plan.outputs, *plan.updates, *plan.saved], inputs, in_place=memory.frees)
    memory.run(forward)
    memory.release(plan.updates)   # written back to their variables
    memory.hold(plan.outputs)      # the caller has them
    given = [v for v in plan.grads if v is not None]
    backward: list[StepMemory] = []
    if given:
        memory.add([v for v in plan.heads if v in types], "head")
        memory.hold(plan.heads)
        backward = lifetimes(given, [*plan.heads, *plan.saved, *inputs], in_place=memory.frees)
        memory.release([v for v in plan.saved if v not in {u for step in backward for u in step.dying}])
        memory.run(backward, given if hand_off else ())
    blocks = memory.blocks(given)
    fixed = sum(types[v].num_bytes for v in inputs)
    live = _bytes_at(blocks, memory.step, memory.scratch)
    grads = [b for b in blocks if b.kind == "gradient"]
    completed = _bytes_at(grads, memory.step, {})
    return Timeline([fixed + n for n in live], [a - b for a, b in zip(live, completed, strict=True)],
                    [step.node for step in (*forward, *backward)], len(forward), fixed,
                    sum(types[v].num_bytes for v in dict.fromkeys(given)), blocks)


def new_bytes(node: Node, index: int, types: Types) -> int:
    """Bytes that output `index` of the node takes in new memory when it is written over no input; 0 for a view.

    A view that has to copy because of its input's strides is counted as a view.
    """
    traits, kind = node.op.traits, types[Value(node, index)]
    if traits.shell:
        return TORCH_DTYPES[kind.dtype].itemsize
    if traits.identity is not None:
        aliases = index == 0 and traits.identity({**node.op.filled(node.attrs)})
    else:
        aliases = traits.view and bool(node.inputs) and types[node.inputs[0]].dtype == kind.dtype
    return 0 if aliases else kind.num_bytes


class _Memory:
    """Blocks of memory, who holds them, and when they came and went."""

    def __init__(self, types: Types, inputs: Sequence[Value], frees: bool):
        self.types, self.frees = types, frees
        self.step = 0
        self.scratch: dict[int, int] = {}
        self._block: dict[Value, int] = {}     # the block in which a value lies; inputs' are the caller's: missing
        self._found: list[tuple[Value, int, int, str]] = []
        self._holders: list[int] = []
        self._end: list[int] = []

    def add(self, values: Sequence[Value], kind: str = "activation") -> None:
        for value in values:
            self._allocate(value, self.types[value].num_bytes, kind)

    def _allocate(self, value: Value, num_bytes: int, kind: str = "activation") -> None:
        self._block[value] = len(self._found)
        self._found.append((value, num_bytes, self.step, kind))
        self._holders.append(1)
        self._end.append(-1)

    def hold(self, values: Sequence[Value]) -> None:
        for value in values:
            if value in self._block:
                self._holders[self._block[value]] += 1

    def release(self, values: Sequence[Value]) -> None:
        for value in values:
            block = self._block.get(value)
            if block is not None and self.frees:
                self._holders[block] -= 1
                if self._holders[block] == 0:
                    self._end[block] = self.step

    def run(self, steps: Sequence[StepMemory], hand_off: Sequence[Value] = ()) -> None:
        """Run the steps; values of `hand_off` are freed when they are there and nothing reads them any more."""
        last: dict[Value, int] = {}
        if hand_off:
            producers = {step.node: i for i, step in enumerate(steps)}
            last = {v: producers.get(v.node, 0) for v in hand_off}
            for i, step in enumerate(steps):
                last.update((v, i) for v in step.node.inputs if v in last)
        leaving: dict[int, list[Value]] = {}
        for value, i in last.items():
            leaving.setdefault(i, []).append(value)
        for i, step in enumerate(steps):
            unwanted = self._write(step)
            self.step += 1
            self.release([*unwanted, *step.dying, *leaving.get(i, ())])

    def _write(self, step: StepMemory) -> list[Value]:
        """Give the node's outputs their memory; returns outputs that nobody wants."""
        node, unwanted = step.node, []
        for i, held in enumerate(step.wanted):
            value = Value(node, i)
            overwrites = step.overwrites >= 0 and i == node.op.in_place_output(node.attrs)
            size = 0 if overwrites else new_bytes(node, i, self.types)
            if size:
                self._allocate(value, size)
            else:
                shared = self._block.get(node.inputs[max(step.overwrites, 0)]) if node.inputs else None
                if shared is None:
                    continue
                self._block[value] = shared
                self._holders[shared] += 1
            if not held:
                unwanted.append(value)
        if node.op.scratch_rule is not None:
            self.scratch[self.step] = node.op.scratch_rule([self.types[v] for v in node.inputs],
                                                           node.op.filled(node.attrs))
        return unwanted

    def blocks(self, gradients: Sequence[Value]) -> list[Block]:
        returned = {self._block[v] for v in gradients if v in self._block}
        return [Block(value, size, start, self._end[i] if self._end[i] >= 0 else self.step,
                      "gradient" if i in returned and kind == "activation" else kind)
                for i, (value, size, start, kind) in enumerate(self._found)]


def _bytes_at(blocks: Sequence[Block], num_steps: int, scratch: dict[int, int]) -> list[int]:
    change = [0] * (num_steps + 1)
    for block in blocks:
        change[block.start] += block.num_bytes
        change[block.end] -= block.num_bytes
    return [n + scratch.get(i, 0) for i, n in enumerate(accumulate(change[:num_steps]))]
