"""A training plan in numbers, so that a planner can try what to keep and what to recompute, and count exactly.

Letters: n forward nodes, in running order; a *position* is a node's place among them.
"""
from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from ..graph import Node, Value
from ..ops.traits import NEVER, Loop
from .infer_types import Types
from .liveness import Curve, Row, Traffic, row_of, simulate
from .loops import arrays_among, in_loops
from .plan import Plan
from .schedule import schedule


class Choice(NamedTuple):
    """What to keep of the forward pass, and how long a recomputed value is kept for later readers.

    keep: for each position, whether the forward pass's own values are kept.   Without more, a value that is recomputed
    stays until its last reader.  Nested segments: `segments[j][p]` is the number of the segment of level j in which
    position p lies, `level[p]` the level whose segment is left when a recomputed value of p is given up.
    """

    keep: bytes
    level: Sequence[int] = ()
    segments: Sequence[Sequence[int]] = ()

    def is_retained(self, position: int, cursor: int) -> bool:
        """Whether a value of `position`, recomputed while the backward pass is at `cursor`, stays for later readers."""
        if not self.level:
            return True
        segment = self.segments[self.level[position]]
        return segment[position] == segment[cursor]


class Outcome(NamedTuple):
    """A choice and what comes of it.   time: seconds of recomputation.   cloned: positions in the order in which they
    are recomputed, with the step of the curve."""

    choice: Choice
    curve: Curve
    time: float
    cloned: list[tuple[int, int]]

    @property
    def peak(self) -> int:
        return self.curve.peak


@dataclass
class Problem:
    """A plan without recomputation, in numbers.

    rows: of the forward nodes; outputs are numbered, inputs too.   copies: of what makes their values again, in the
    same numbers (see `copy_of`).   makers: number -> position.   cursors: for each backward row, the last position that
    it or a later row reads.   times: seconds to recompute each node.
    fixed: positions that are kept in any case (effects; what takes no memory).
    keeping: seconds that keeping each value takes, by its number; none where it is an array anyway.   is_fused: whether
    the programs are compiled by what fuses loops (see `in_loops`).
    """

    nodes: list[Node]
    rows: list[Row]
    copies: list[Row]
    backward: list[Row]
    makers: list[int]
    cursors: list[int]
    times: list[float]
    fixed: bytes
    traffic: Traffic
    keeping: dict[int, float]
    is_fused: bool = False

    @property
    def num_nodes(self) -> int:
        return len(self.nodes)

    @functools.cached_property
    def _sources(self) -> list[list[int]]:
        return [[self.makers[key] for key in row.inputs if self.is_remade[key]] for row in self.copies]

    def sources(self, position: int) -> list[int]:
        """Positions of the forward nodes whose values, where they are not kept, a copy of a node needs copies of."""
        return self._sources[position]

    @functools.cached_property
    def is_remade(self) -> list[bool]:
        """Of each value, whether a copy of the node that made it makes it again; else it is kept, or the caller's."""
        return [maker >= 0 and key in self.copies[maker].outputs for key, maker in enumerate(self.makers)]


def copy_of(node: Node) -> Node:
    """What makes the node's values again in the backward pass: the node, or, where its operator has an `again` rule,
    what makes the first output alone; it reads the other outputs, which are kept."""
    rule = node.op.again_rule
    found = rule and rule(node.inputs, tuple(Value(node, i) for i in range(node.num_outputs)),
                          node.op.filled(node.attrs))
    if not found:
        return node
    op, inputs, attrs = found
    return Node(op, node.name, attrs, inputs, node.hidden)


def problem_of(plan: Plan, types: Types, time: Callable[[Node], float], fused: FusedTimes | None = None) -> Problem:
    """The numbers of `plan`, which recomputes nothing yet.   time: seconds of a node.   fused: where the programs are
    compiled by what fuses loops, what it takes to make a value in a loop, and to write and read an array."""
    variables = [Value(node, 0) for node in plan.inputs]
    grads = list(dict.fromkeys(v for v in plan.grads if v is not None))
    forward = schedule([*plan.outputs, *plan.updates, *plan.saved], variables)
    backward = schedule(grads, [*plan.heads, *plan.saved, *variables])
    numbers: dict[Value, int] = {v: i for i, v in enumerate((*variables, *plan.heads))}
    makers = [-1] * len(numbers)

    def numbered(node: Node, position: int) -> Row:
        row = row_of(node, types)
        for key in row.outputs:
            numbers[key] = len(numbers)
            makers.append(position)
        return row._replace(inputs=tuple(numbers[v] for v in row.inputs),
                            outputs=tuple(numbers[v] for v in row.outputs))

    rows = [numbered(node, i) for i, node in enumerate(forward)]
    copies, times = [], []
    for node, row in zip(forward, rows, strict=True):
        copy = copy_of(node)
        if copy is not node:
            types.set(copy, (types[Value(node, 0)],))
            again = row_of(copy, types)
            row = again._replace(inputs=tuple(numbers[v] for v in again.inputs), outputs=row.outputs[:1])
        copies.append(row)
        times.append(time(copy))
    backward_rows = [numbered(node, -1) for node in backward]
    traffic = Traffic([numbers[v] for v in variables], [numbers[v] for v in plan.outputs],
                      [numbers[v] for v in plan.updates], [],
                      [(numbers[v], types[v].num_bytes) for v in plan.heads if v in types],
                      [numbers[v] for v in grads], sum(types[v].num_bytes for v in variables))
    cursors = last_reads_from([[makers[key] for key in row.inputs if makers[key] >= 0] for row in backward_rows])
    fixed = bytes(node.op.traits.recompute is NEVER or node.op.traits.shell for node in forward)
    problem = Problem(forward, rows, copies, backward_rows, makers, cursors, times, fixed, traffic, {},
                      fused is not None)
    if fused is not None:
        _cost_of_loops(problem, fused, types)
    return problem


def _cost_of_loops(problem: Problem, fused: FusedTimes, types: Types) -> None:
    """Set the times of copies that are made in loops, and what keeping a value costs that would else be no array."""
    arrays = arrays_among(problem.backward, problem.traffic.grads)
    forward = arrays_among(problem.rows, [*problem.traffic.outputs, *problem.traffic.updates])
    for position, (node, row) in enumerate(zip(problem.nodes, problem.copies, strict=True)):
        num_bytes = max([types[Value(node, i)].num_bytes for i in range(node.num_outputs)], default=0)
        if row.rule.loop is Loop.MADE and any(row.sizes):
            problem.times[position] = fused.loop(num_bytes)
            if any(key in arrays for key in row.outputs):
                problem.times[position] += fused.array(num_bytes)
        if row.rule.loop in (Loop.MADE, Loop.APPLIED) and row.outputs[0] not in forward:
            problem.keeping[row.outputs[0]] = fused.array(num_bytes)


class FusedTimes(NamedTuple):
    """Seconds by bytes.   loop: to make a value in a loop.   array: to write and read it as an array."""

    loop: Callable[[int], float]
    array: Callable[[int], float]


def last_reads_from(reads: Sequence[Sequence[int]]) -> list[int]:
    """For each step, the greatest of the positions that it or a later step reads; 0 where none does."""
    cursors, last = [0] * len(reads), 0
    for i in range(len(reads) - 1, -1, -1):
        last = cursors[i] = max(last, *reads[i]) if reads[i] else last
    return cursors


class Recomputation:
    """Walks the backward pass and says, for each value that it reads, which copy that is; makes copies on demand.

    `emit(position, copies of its sources' values)` makes a copy of a forward node and returns what stands for it.
    Generic over how programs are written: in numbers for the planner, in nodes for the executor.
    """

    def __init__(self, choice: Choice, sources: Callable[[int], Sequence[int]],
                 emit: Callable[[int, Callable[[int], Any]], Any]):
        self._choice, self._sources, self._emit = choice, sources, emit
        self._retained: dict[int, Any] = {}
        self._passing: dict[int, Any] = {}
        self._cursor = 0

    def advance(self, cursor: int) -> None:
        """The next backward node; no later one reads a position after `cursor`."""
        self._cursor = cursor
        if self._passing:
            self._passing = {}

    def copy(self, position: int) -> Any:
        """The copy of a forward node that the backward pass reads now; None where the original is kept."""
        keep = self._choice.keep
        if keep[position]:
            return None
        find: Callable[[int], Any] = self._find_nested if self._choice.level else self._retained.get
        known = find(position)
        if known is not None:
            return known
        stack = [position]
        while stack:
            top = stack[-1]
            if find(top) is not None:
                stack.pop()
                continue
            waiting = [p for p in self._sources(top) if not keep[p] and find(p) is None]
            if waiting:
                stack.extend(reversed(waiting))
                continue
            stack.pop()
            made = self._emit(top, find)
            if self._choice.is_retained(top, self._cursor):
                self._retained[top] = made
            else:
                self._passing[top] = made
        return find(position)

    def _find_nested(self, position: int) -> Any:
        made = self._passing.get(position)
        if made is None:
            made = self._retained.get(position)
            if made is not None and not self._choice.is_retained(position, self._cursor):
                return None
        return made


def evaluate(problem: Problem, choice: Choice) -> Outcome:
    """What comes of a choice, to the byte."""
    makers, rows, copies, remade = problem.makers, problem.rows, problem.copies, problem.is_remade
    steps: list[Row] = []
    saved: dict[int, None] = {}
    cloned: list[tuple[int, int]] = []
    next_key = len(makers)

    def emit(position: int, find: Callable[[int], Any]) -> int:
        nonlocal next_key
        row = copies[position]
        cloned.append((position, len(rows) + len(steps)))
        first, next_key = next_key, next_key + len(row.outputs)
        steps.append(Row(row.rule, tuple([placed(key, find) for key in row.inputs]), tuple(range(first, next_key)),
                         row.sizes, row.scratch))
        return first

    def placed(key: int, find: Callable[[int], Any]) -> int:
        """The number under which a value of the forward pass is read: its own, or its copy's."""
        maker = makers[key]
        if maker < 0:
            return key
        first = find(maker) if remade[key] else None
        if first is None:
            saved[key] = None
            return key
        return first + key - rows[maker].outputs[0]

    walk = Recomputation(choice, problem.sources, emit)
    for row, cursor in zip(problem.backward, problem.cursors, strict=True):
        walk.advance(cursor)
        inputs = tuple([placed(key, walk.copy) for key in row.inputs])
        steps.append(row if inputs == row.inputs else row._replace(inputs=inputs))
    saved.update((key, None) for key in problem.traffic.grads if makers[key] >= 0)
    traffic = problem.traffic._replace(saved=list(saved))
    if problem.is_fused:
        rows = in_loops(rows, [*traffic.outputs, *traffic.updates, *saved])
        steps = in_loops(steps, traffic.grads)
    seconds = sum(problem.times[p] for p, _ in cloned) + sum(problem.keeping.get(key, 0.0) for key in saved)
    return Outcome(choice, simulate(rows, steps, traffic), seconds, cloned)
