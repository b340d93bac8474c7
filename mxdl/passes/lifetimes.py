"""What happens to memory at each step of a straight-line program: which results overwrite an input, what dies.

The executor follows these decisions and the memory plan counts their bytes, so the two agree by construction.
Values are told apart by keys: graph values, or numbers where a planner tries many programs.
"""
from __future__ import annotations

from collections.abc import Container, Hashable, Iterable, Sequence
from typing import Any, Literal, NamedTuple

from ..graph import Node, Value
from ..ops.traits import Loop
from .schedule import schedule

InPlace = bool | Literal["sums"]


class Rule(NamedTuple):
    """What an operator does to memory: whether it can overwrite its first input, whether it can exchange its two inputs
    for that, whether its outputs may lie in the first input's memory, which output is the one written over it, and
    where a compiler that fuses loops makes its outputs."""

    overwrites: bool
    commutative: bool
    shares: bool
    written: int = 0
    loop: Loop = Loop.NONE


class Row(NamedTuple):
    """One step: its rule and the keys of its inputs and outputs.   sizes: bytes of new memory for each output.
    scratch: bytes that the kernel takes for itself while it runs."""

    rule: Rule
    inputs: tuple[Any, ...]
    outputs: tuple[Any, ...]
    sizes: tuple[int, ...] = ()
    scratch: int = 0


class Decision(NamedTuple):
    """wanted: for each output, whether anything reads it.   dying: values whose last reader this is, without repeats.
    overwrites: the input position that an output (the rule's `written`) is written over, -1 for none."""

    wanted: tuple[bool, ...]
    dying: tuple[Any, ...]
    overwrites: int


def rule_of(node: Node) -> Rule:
    traits = node.op.traits
    return Rule(node.op.in_place_kernel is not None and bool(node.inputs),
                traits.commutative and len(node.inputs) == 2,
                bool(node.inputs) and (traits.view or traits.identity is not None),
                node.op.in_place_output(node.attrs), traits.fuses)


def lifetimes(outputs: Sequence[Value], inputs: Sequence[Value], in_place: InPlace = True,
              owned: Iterable[Value] = ()) -> list[tuple[Node, Decision]]:
    """The nodes that compute `outputs` from `inputs`, in running order, each with what happens to memory.

    in_place: write a result over an input that nothing reads any more, where the operator can; "sums": only where it
    adds into that input.
    owned: inputs that the caller gives up, so that they may be overwritten.
    """
    nodes = schedule(outputs, inputs)
    rows = [Row(rule_of(node), node.inputs, tuple(Value(node, i) for i in range(node.num_outputs))) for node in nodes]
    if in_place == "sums":
        rows = [row if node.op.is_accumulating else row._replace(rule=row.rule._replace(overwrites=False))
                for node, row in zip(nodes, rows, strict=True)]
    return list(zip(nodes, decide(rows, inputs, outputs, bool(in_place), owned), strict=True))


def decide(rows: Sequence[Row], given: Iterable[Hashable], results: Iterable[Hashable],
           in_place: bool = True, owned: Iterable[Hashable] = ()) -> list[Decision]:
    """What happens at each of the rows, which compute `results` from `given`.   owned: those of `given` that the caller
    gives up."""
    last = last_uses(rows, given, results)
    owners = _Owners(given, owned)
    decisions = []
    for position, row in enumerate(rows):
        wanted = tuple([key in last for key in row.outputs])
        dying = dict.fromkeys([key for key in row.inputs if last[key] == position])
        overwrites = owners.overwritten(row, dying) if in_place and row.rule.overwrites else -1
        owners.step(row, wanted, dying)
        decisions.append(Decision(wanted, tuple(dying), overwrites))
    return decisions


def last_uses(rows: Sequence[Row], given: Iterable[Hashable], results: Iterable[Hashable]) -> dict[Any, int]:
    """The position of each value's last reader; -1 for what is given and not read, len(rows) for results, which are
    never freed.  Values that nothing reads are missing."""
    last: dict[Any, int] = dict.fromkeys(given, -1)
    for position, row in enumerate(rows):
        for key in row.inputs:
            last[key] = position
    for key in results:
        last[key] = len(rows)
    return last


class _Owners:
    """Which values may share memory, and how many live values hold each memory; what is given is the caller's."""

    def __init__(self, given: Iterable[Hashable], owned: Iterable[Hashable]):
        self._memory: dict[Any, Any] = {**dict.fromkeys(given), **{key: key for key in owned}}
        self._holders: dict[Any, int] = dict.fromkeys(owned, 1)

    def overwritten(self, row: Row, dying: Container[Any]) -> int:
        """The input that the row's first output may be written over, -1 where there is none."""
        if self._may_overwrite(row, row.inputs[0], dying):
            return 0
        return 1 if row.rule.commutative and self._may_overwrite(row, row.inputs[1], dying) else -1

    def _may_overwrite(self, row: Row, key: Any, dying: Container[Any]) -> bool:
        """Whether that input is read for the last time, once, and no other live value shares its memory."""
        if key not in dying or row.inputs.count(key) > 1:
            return False
        memory = self._memory[key]
        return memory is not None and self._holders[memory] == 1

    def step(self, row: Row, wanted: Sequence[bool], dying: Iterable[Any]) -> None:
        """Account for the row's outputs (a view shares its first input's memory) and for the values freed."""
        memory, holders = self._memory, self._holders
        for key, held in zip(row.outputs, wanted, strict=True):
            owner = memory[key] = memory[row.inputs[0]] if row.rule.shares else key
            if owner is not None and held:
                holders[owner] = holders.get(owner, 0) + 1
        for key in dying:
            owner = memory[key]
            if owner is not None:
                holders[owner] -= 1
