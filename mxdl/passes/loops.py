"""What a compiler that fuses loops (Inductor) makes of the rows of a program: values that need no array.

A value that is made in a loop and that loops alone read is made where it is read, from what its own maker reads: it
takes no memory, and what it is made of lives until its readers have run.
"""
from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import accumulate
from typing import Any

from ..graph import Node, Value
from ..ops.traits import Loop
from .lifetimes import Row, Rule, rule_of

#: arrays that a loop reads at most before a value becomes an array after all, where several read it, and where one
#: does (Inductor's `realize_reads_threshold` and `realize_acc_reads_threshold`)
_READ_BY_SEVERAL, _READ_BY_ONE = 4, 8
_NO_MEMORY = Rule(False, False, False, loop=Loop.MADE)


def in_loops(rows: Sequence[Row], results: Iterable[Any]) -> list[Row]:
    """The rows, one for each, as fused loops run them.   results: keys of values that are arrays in any case."""
    needed, last, count = _readers(rows, results)
    kernels = list(accumulate(row.rule.loop is Loop.NONE for row in rows))
    made_of: dict[Any, tuple[Any, ...]] = {}
    size: dict[Any, int] = {}
    found: list[Row] = []
    for position, row in enumerate(rows):
        reads = tuple(dict.fromkeys([source for key in row.inputs for source in made_of.get(key, (key,))]))
        loop, out = row.rule.loop, row.outputs[0] if row.outputs else None
        if loop is Loop.NONE or not reads:
            found.append(row._replace(inputs=tuple([made_of.get(key, (key,))[0] for key in row.inputs])))
        elif _is_view(row):
            source = made_of.get(row.inputs[0], row.inputs[:1])
            made_of.update((key, source) for key in row.outputs if key not in needed)
            found.append(row._replace(inputs=source))
        elif loop is not Loop.READS and out not in needed and _is_inlined(
                len(reads), count.get(out, 0), kernels[position] == kernels[last.get(out, position)]):
            others = row.outputs[1:] if loop is Loop.APPLIED else ()
            made_of[out] = (*reads, *others)
            found.append(Row(_NO_MEMORY, reads if others else (), row.outputs, (0, *row.sizes[1:])))
        else:
            found.append(row._replace(inputs=reads, scratch=0))      # what passes between a loop's parts is no array
        size.update(zip(row.outputs, row.sizes, strict=True))
    return _overwriting(found, size)


def _is_view(row: Row) -> bool:
    return row.rule.shares and not any(row.sizes)


def arrays_among(rows: Sequence[Row], results: Iterable[Any]) -> set[Any]:
    """The values that have to be arrays, since they are results or something else than a loop reads them."""
    return _readers(rows, results)[0]


def _readers(rows: Sequence[Row], results: Iterable[Any]) -> tuple[set[Any], dict[Any, int], dict[Any, int]]:
    """The values that have to be arrays; of each value the last row that reads it, and how many do (through views)."""
    needed, last, count = set(results), dict[Any, int](), dict[Any, int]()
    for position in range(len(rows) - 1, -1, -1):
        row = rows[position]
        if _is_view(row):
            source = row.inputs[0]
            count[source] = count.get(source, 0) + max([count.get(key, 0) for key in row.outputs])
            last[source] = max([last.get(source, -1), *(last.get(key, -1) for key in row.outputs)])
            if any(key in needed for key in row.outputs):
                needed.add(source)
            continue
        for key in row.inputs:
            count[key] = count.get(key, 0) + 1
            last.setdefault(key, position)
        if row.rule.loop is Loop.NONE:
            needed.update(row.inputs)
    return needed, last, count


def _is_inlined(num_reads: int, num_readers: int, in_one_kernel: bool) -> bool:
    if in_one_kernel:
        return True
    return num_reads <= (_READ_BY_SEVERAL if num_readers > 1 else _READ_BY_ONE)


def _overwriting(rows: list[Row], size: dict[Any, int]) -> list[Row]:
    """The rows with an array that dies there as the first input of each loop that can be written over it."""
    last = {key: position for position, row in enumerate(rows) for key in row.inputs}
    for position, row in enumerate(rows):
        if row.rule.loop is Loop.MADE and row.sizes[0] and row.rule.written == 0:
            over = next((key for key in row.inputs if last[key] == position and size.get(key) == row.sizes[0]), None)
            rule = row.rule._replace(overwrites=over is not None, commutative=False)
            inputs = row.inputs if over is None else (over, *(key for key in row.inputs if key != over))
            rows[position] = row._replace(rule=rule, inputs=inputs)
    return rows


def seams(nodes: Sequence[Node], results: Sequence[Value], least: int, most: int) -> list[int]:
    """Where to cut a program into pieces that are compiled one by one: before the nodes at these positions, in pieces
    of `least` to `most` nodes (the last may be shorter), where the fewest values cross that would else be no arrays."""
    rows = [Row(rule_of(node), node.inputs, tuple(Value(node, i) for i in range(node.num_outputs))) for node in nodes]
    needed, last, _ = _readers(rows, results)
    change = [0] * (len(nodes) + 1)   # before each position: the values that cross there
    for position, row in enumerate(rows):
        free = row.outputs if row.rule.shares else row.outputs[:1] if row.rule.loop in (Loop.MADE, Loop.APPLIED) else ()
        for key in free:
            if last.get(key, position) > position and (row.rule.shares or key not in needed):
                change[position + 1] += 1
                change[last[key] + 1] -= 1
    crossing = list(accumulate(change))
    cuts: list[int] = []
    start = 0
    while len(nodes) - start > most:
        start = min(range(start + least, start + most + 1), key=lambda position: (crossing[position], -position))
        cuts.append(start)
    return cuts
