"""What happens to memory at each step of a straight-line program: which results overwrite an input, what dies.

The executor follows these decisions and the memory plan counts their bytes, so the two agree by construction.
"""
from __future__ import annotations

from collections.abc import Container, Iterable, Sequence
from typing import NamedTuple

from ..graph import Node, Value
from .schedule import schedule


class StepMemory(NamedTuple):
    """One node of a program.

    wanted: for each output, whether anything reads it.   dying: values whose last reader this is, without repeats.
    overwrites: the input position that an output (the operator's `in_place_output`) is written over, -1 for none.
    """

    node: Node
    wanted: tuple[bool, ...]
    dying: tuple[Value, ...]
    overwrites: int


def lifetimes(outputs: Sequence[Value], inputs: Sequence[Value], in_place: bool = True) -> list[StepMemory]:
    """The steps that compute `outputs` from `inputs`, in running order.

    in_place: write a result over an input that nothing reads any more, where the operator can.
    """
    nodes = schedule(outputs, inputs)
    last_use = last_uses(nodes, outputs, inputs)
    owners = _Owners(inputs)
    steps = []
    for position, node in enumerate(nodes):
        wanted = tuple(Value(node, i) in last_use for i in range(node.num_outputs))
        dying = dict.fromkeys(v for v in node.inputs if last_use[v] == position)
        overwrites = owners.overwritten(node, dying) if in_place else -1
        owners.step(node, wanted, dying)
        steps.append(StepMemory(node, wanted, tuple(dying), overwrites))
    return steps


def last_uses(nodes: Sequence[Node], outputs: Iterable[Value], inputs: Iterable[Value]) -> dict[Value, int]:
    """The position of each value's last reader; -1 for inputs that none reads, len(nodes) for outputs, which are never
    freed.  Values that nothing reads are missing."""
    last: dict[Value, int] = dict.fromkeys(inputs, -1)
    for position, node in enumerate(nodes):
        for value in node.inputs:
            last[value] = position
    for value in outputs:
        last[value] = len(nodes)
    return last


class _Owners:
    """Which values may share memory, and how many live values hold each memory; inputs' memory is the caller's."""

    def __init__(self, inputs: Sequence[Value]):
        self._memory: dict[Value, Value | None] = dict.fromkeys(inputs)
        self._holders: dict[Value, int] = {}

    def overwritten(self, node: Node, dying: Container[Value]) -> int:
        """The input that the node's first output may be written over, -1 where there is none."""
        if self._may_overwrite(node, 0, dying):
            return 0
        swaps = node.op.traits.commutative and len(node.inputs) == 2
        return 1 if swaps and self._may_overwrite(node, 1, dying) else -1

    def _may_overwrite(self, node: Node, position: int, dying: Container[Value]) -> bool:
        """Whether that input is read for the last time, once, and no other live value shares its memory."""
        if node.op.in_place_kernel is None or not node.inputs:
            return False
        value = node.inputs[position]
        if value not in dying or node.inputs.count(value) > 1:
            return False
        memory = self._memory[value]
        return memory is not None and self._holders[memory] == 1

    def step(self, node: Node, wanted: Sequence[bool], dying: Iterable[Value]) -> None:
        """Account for the node's outputs (a view shares its first input's memory) and for the values freed."""
        shares = node.inputs and (node.op.traits.view or node.op.traits.identity is not None)
        for i, held in enumerate(wanted):
            value = Value(node, i)
            memory = self._memory[node.inputs[0]] if shares else value
            self._memory[value] = memory
            if memory is not None and held:
                self._holders[memory] = self._holders.get(memory, 0) + 1
        for value in dying:
            memory = self._memory[value]
            if memory is not None:
                self._holders[memory] -= 1
