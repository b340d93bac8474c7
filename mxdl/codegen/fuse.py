"""Steps of a predict graph in groups that one kernel computes: a layer and the elementwise operators after it."""
from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Sequence
from typing import NamedTuple

from ..graph import Node, Value
from ..passes.infer_types import Types


class Tail(NamedTuple):
    """An elementwise node on the value computed so far, which is its input number `chain`.  side: its other input."""

    node: Node
    chain: int
    side: Value | None


class Group(NamedTuple):
    """node, and what follows it at once."""

    node: Node
    tails: tuple[Tail, ...] = ()

    @property
    def output(self) -> Value:
        return Value(self.tails[-1].node if self.tails else self.node, 0)

    @property
    def sides(self) -> tuple[Value, ...]:
        return tuple(tail.side for tail in self.tails if tail.side is not None)


def vector_of(node: Node) -> str | None:
    """The C expression of an elementwise node on vectors; None where it has none."""
    rule = node.op.vector_rule
    return rule(node.op.filled(node.attrs)) if rule is not None else None


class Room(NamedTuple):
    """What a kernel can do after its own work.  sides: full-sized inputs that it may read.   channels: whether it may
    read constants of one element a channel."""

    sides: int
    channels: bool


def per_channel(shape: Sequence[int], like: Sequence[int]) -> bool:
    """Whether `shape` broadcasts to `like` as one element for each channel of [N, C, H, W]."""
    padded = (1,) * (4 - len(shape)) + tuple(shape)
    return len(like) == 4 and padded == (1, like[1], 1, 1)


def fuse(steps: Sequence[Node], types: Types, outputs: Sequence[Value], constants: Collection[Value],
         room: Callable[[Node], Room | None]) -> list[Group]:
    """Groups in running order.  room: what the kernel of a node may do after it, None where nothing may follow.
    A side is computed before the group's node runs, so that the graph's meaning stays."""
    uses = Counter(v for node in steps for v in node.inputs)
    uses.update(outputs)
    groups: list[Group] = []
    place: dict[Value, int] = {}    # of the group that computes a value
    for node in steps:
        found = _host(node, groups, place, uses, types, constants, room)
        if found is None:
            groups.append(Group(node))
            place.update((Value(node, i), len(groups) - 1) for i in range(node.num_outputs))
        else:
            number, tail = found
            groups[number] = Group(groups[number].node, (*groups[number].tails, tail))
            place[Value(node, 0)] = number
    return groups


def _host(node: Node, groups: Sequence[Group], place: dict[Value, int], uses: Counter, types: Types,
          constants: Collection[Value], room: Callable[[Node], Room | None]) -> tuple[int, Tail] | None:
    """The group that `node` may join, the latest first, and how."""
    if vector_of(node) is None or len(node.inputs) > 2:
        return None
    shape = types[Value(node, 0)].shape
    for chain in sorted(range(len(node.inputs)), key=lambda i: -place.get(node.inputs[i], -1)):
        value = node.inputs[chain]
        number = place.get(value, -1)
        if number < 0 or uses[value] != 1 or groups[number].output != value or types[value].shape != shape:
            continue
        side = node.inputs[1 - chain] if len(node.inputs) == 2 else None
        left = room(groups[number].node)
        if left is not None and (side is None or _fits(side, shape, groups[number], number, left, place, types,
                                                       constants)):
            return number, Tail(node, chain, side)
    return None


def _fits(side: Value, shape: Sequence[int], group: Group, number: int, left: Room, place: dict[Value, int],
          types: Types, constants: Collection[Value]) -> bool:
    if side in constants:
        return left.channels and per_channel(types[side].shape, shape)
    taken = sum(value not in constants for value in group.sides)
    return types[side].shape == shape and place.get(side, -1) < number and taken < left.sides
