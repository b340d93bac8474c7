"""Bytes that are alive at each step of a plan, without running it: forward, then backward, as the executor does."""
from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, Literal, NamedTuple

from ..errors import GraphError
from ..graph import Node, Value
from ..types import TORCH_DTYPES
from .infer_types import Types
from .lifetimes import Decision, Row, decide, rule_of
from .loops import in_loops
from .plan import Plan
from .schedule import schedule
from .temporaries import scratch_of

#: "off": every tensor has memory of its own and keeps it.   "inplace": dead memory is freed and overwritten.
#: "plan": as the executor runs the plan.
Sharing = Literal["off", "inplace", "plan"]


class Block(NamedTuple):
    """Memory of `num_bytes` that is alive from step `start` to before step `end`; `value` was written there first.

    kind: "activation", "gradient" (it ends as a gradient that the plan returns) or "head" (given to the backward pass).
    """

    value: Any
    num_bytes: int
    start: int
    end: int
    kind: str


@dataclass(frozen=True)
class Curve:
    """Bytes over the steps of a plan, the forward steps first.

    live: while each step runs, its inputs, outputs and scratch memory included; `fixed` counts too.
    activations: the same without `fixed` and without gradients that the plan returns.   peak: the largest of `live`.
    fixed: parameters, states and data, which the caller holds.   scratch: what kernels take for themselves, by step.
    """

    live: list[int]
    activations: list[int]
    num_forward: int
    fixed: int
    blocks: list[Block]
    scratch: dict[int, int]

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

    def alive_at(self, step: int) -> list[tuple[Any, int]]:
        """What is alive while `step` runs beside `fixed` and `scratch`: values and their bytes, the largest first."""
        found = [(b.value, b.num_bytes) for b in self.blocks if b.start <= step < b.end]
        return sorted(found, key=lambda pair: -pair[1])


@dataclass(frozen=True)
class Timeline(Curve):
    """A plan's curve with the nodes of its steps.   grads: bytes of all gradients that the plan returns."""

    steps: list[Node]
    grads: int

    @property
    def at_peak(self) -> list[tuple[Value, int]]:
        """What is alive at the peak beside `fixed` and `scratch`: values and their bytes, the largest first."""
        return self.alive_at(self.peak_step)


class Traffic(NamedTuple):
    """A plan in rows: what goes in and out of its two programs (see `Plan`).  heads: with their bytes."""

    inputs: Sequence[Any]
    outputs: Sequence[Any]
    updates: Sequence[Any]
    saved: Sequence[Any]
    heads: Sequence[tuple[Any, int]]
    grads: Sequence[Any]
    fixed: int


def timeline(plan: Plan, types: Types, sharing: Sharing = "plan", hand_off: bool = False,
             fused: bool = False) -> Timeline:
    """The bytes alive at each step of `plan`; `types` knows every value (see `plan_types`).

    hand_off: a gradient that is complete goes to its taker and is freed, rather than kept until the end.
    fused: the programs are compiled by what fuses loops (see `in_loops`).
    """
    if sharing not in ("off", "inplace", "plan"):
        raise GraphError(f"timeline: unknown sharing; got {sharing!r}; use 'off', 'inplace' or 'plan'")
    inputs = [Value(node, 0) for node in plan.inputs]
    given = list(dict.fromkeys(v for v in plan.grads if v is not None))
    forward = schedule([*plan.outputs, *plan.updates, *plan.saved], inputs)
    backward = schedule(given, [*plan.heads, *plan.saved, *inputs]) if given else []
    traffic = Traffic(inputs, plan.outputs, plan.updates, plan.saved,
                      [(v, types[v].num_bytes) for v in plan.heads if v in types], given,
                      sum(types[v].num_bytes for v in inputs))
    row = _row_apart if sharing == "off" else row_of
    rows = [row(n, types) for n in forward], [row(n, types) for n in backward]
    if fused:
        rows = in_loops(rows[0], [*plan.outputs, *plan.updates, *plan.saved]), in_loops(rows[1], given)
    curve = simulate(*rows, traffic, sharing != "off", hand_off)
    return Timeline(**vars(curve), steps=[*forward, *backward], grads=sum(types[v].num_bytes for v in given))


def simulate(forward: Sequence[Row], backward: Sequence[Row], traffic: Traffic, frees: bool = True,
             hand_off: bool = False) -> Curve:
    """The curve of two programs that run one after the other."""
    ledger = _Ledger(frees)
    given = traffic.inputs
    ledger.run(forward, decide(forward, given, [*traffic.outputs, *traffic.updates, *traffic.saved], frees))
    ledger.release(traffic.updates)   # written back to their variables
    ledger.hold(traffic.outputs)      # the caller has them
    if backward:
        for key, size in traffic.heads:
            ledger.allocate(key, size, "head")
            ledger.hold([key])
        decisions = decide(backward, [*(key for key, _ in traffic.heads), *traffic.saved, *given], traffic.grads, frees)
        read = {key for decision in decisions for key in decision.dying}
        ledger.release([key for key in traffic.saved if key not in read])
        ledger.run(backward, decisions, traffic.grads if hand_off else ())
    blocks = ledger.blocks(traffic.grads)
    live = _bytes_at(blocks, ledger.step, ledger.scratch)
    completed = _bytes_at([b for b in blocks if b.kind == "gradient"], ledger.step, {})
    return Curve([traffic.fixed + n for n in live], [a - b for a, b in zip(live, completed, strict=True)],
                 len(forward), traffic.fixed, blocks, ledger.scratch)


def row_of(node: Node, types: Types) -> Row:
    """The node as a step whose keys are its values."""
    count = node.num_outputs
    return Row(rule_of(node), node.inputs, tuple(Value(node, i) for i in range(count)),
               tuple(new_bytes(node, i, types) for i in range(count)), scratch_of(node, types))


def _row_apart(node: Node, types: Types) -> Row:
    """`row_of` with what a node adds into a running sum as an output of its own, since nothing is shared."""
    row = row_of(node, types)
    if not node.op.is_accumulating:
        return row
    part = types[node.inputs[0]].num_bytes
    return row._replace(outputs=(*row.outputs, Value(node, len(row.outputs))), sizes=(*row.sizes, part))


def new_bytes(node: Node, index: int, types: Types) -> int:
    """Bytes that output `index` of the node takes in new memory when it is written over no input; 0 for a view.

    A view that has to copy because of its input's strides is counted as a view.
    """
    traits, kind = node.op.traits, types[Value(node, index)]
    if traits.shell:
        return TORCH_DTYPES[kind.dtype].itemsize
    if traits.identity is not None:
        aliases = index == 0 and traits.identity(node.op.filled(node.attrs))
    else:
        aliases = traits.view and bool(node.inputs) and types[node.inputs[0]].dtype == kind.dtype
    return 0 if aliases else kind.num_bytes


class _Ledger:
    """Blocks of memory, who holds them, and when they came and went.  What is not in a block is the caller's."""

    def __init__(self, frees: bool):
        self.frees = frees
        self.step = 0
        self.scratch: dict[int, int] = {}
        self._block: dict[Any, int] = {}
        self._found: list[tuple[Any, int, int, str]] = []
        self._holders: list[int] = []
        self._end: list[int] = []

    def allocate(self, key: Any, num_bytes: int, kind: str = "activation") -> None:
        self._block[key] = len(self._found)
        self._found.append((key, num_bytes, self.step, kind))
        self._holders.append(1)
        self._end.append(-1)

    def hold(self, keys: Iterable[Any]) -> None:
        for key in keys:
            if key in self._block:
                self._holders[self._block[key]] += 1

    def release(self, keys: Iterable[Any]) -> None:
        if not self.frees:
            return
        for key in keys:
            block = self._block.get(key)
            if block is not None:
                self._holders[block] -= 1
                if self._holders[block] == 0:
                    self._end[block] = self.step

    def run(self, rows: Sequence[Row], decisions: Sequence[Decision], hand_off: Sequence[Any] = ()) -> None:
        """Run the steps; values of `hand_off` are freed when they are there and nothing reads them any more."""
        leaving = _last_steps(rows, hand_off) if hand_off else {}
        for i, (row, decision) in enumerate(zip(rows, decisions, strict=True)):
            self._write(row, decision)
            if row.scratch:
                self.scratch[self.step] = row.scratch
            self.step += 1
            self.release(decision.dying)
            if not all(decision.wanted):
                self.release([key for key, held in zip(row.outputs, decision.wanted, strict=True) if not held])
            if i in leaving:
                self.release(leaving[i])

    def _write(self, row: Row, decision: Decision) -> None:
        """Give the row's outputs their memory: new, or that of an input."""
        over = decision.overwrites
        for i, key in enumerate(row.outputs):
            size = 0 if over >= 0 and i == row.rule.written else row.sizes[i]
            if size:
                self.allocate(key, size)
                continue
            shared = self._block.get(row.inputs[max(over, 0)]) if row.inputs else None
            if shared is not None:
                self._block[key] = shared
                self._holders[shared] += 1

    def blocks(self, gradients: Iterable[Any]) -> list[Block]:
        returned = {self._block[key] for key in gradients if key in self._block}
        return [Block(key, size, start, self._end[i] if self._end[i] >= 0 else self.step,
                      "gradient" if i in returned and kind == "activation" else kind)
                for i, (key, size, start, kind) in enumerate(self._found)]


def _last_steps(rows: Sequence[Row], keys: Iterable[Any]) -> dict[int, list[Any]]:
    """For each step, those of `keys` that no later step writes or reads."""
    last = dict.fromkeys(keys, 0)
    for i, row in enumerate(rows):
        last.update((key, i) for key in (*row.inputs, *row.outputs) if key in last)
    leaving: dict[int, list[Any]] = {}
    for key, i in last.items():
        leaving.setdefault(i, []).append(key)
    return leaving


def _bytes_at(blocks: Sequence[Block], num_steps: int, scratch: dict[int, int]) -> list[int]:
    change = [0] * (num_steps + 1)
    for block in blocks:
        change[block.start] += block.num_bytes
        change[block.end] -= block.num_bytes
    return [n + scratch.get(i, 0) for i, n in enumerate(accumulate(change[:num_steps]))]
