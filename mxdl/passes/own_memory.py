"""Parts that outlive the whole get memory of their own, so that the whole can be freed.

The gradient of a concatenation is cut into views.  In a U-Net one of them flows on at once, the other one, of the long
skip, waits for the backward pass of everything below; as a view it would hold the memory of both for so long.
"""
from __future__ import annotations

from collections.abc import Sequence

from ..graph import Node, Value
from ..ops import get
from .schedule import schedule

#: steps that a part waits at least for its last reader before a copy is worth making
_LONG = 12


def own_memory(grads: Sequence[Value], given: Sequence[Value]) -> list[Value]:
    """The gradients, which are computed from `given` (heads, saved values, variables), where parts with a long life are
    copied as soon as they are cut."""
    steps = schedule(grads, given)
    moved: dict[Value, Value] = {}
    mapped: dict[Node, Node] = {}
    last = _last_reads(steps, grads)
    for position, node in enumerate(steps):
        inputs = tuple(moved[v] if v in moved else _followed(v, mapped) for v in node.inputs)
        if inputs != node.inputs:
            mapped[node] = node.replaced(inputs)
        lasting = _lasting(node, position, last)
        if lasting and last[node.inputs[0]] == position:
            parts = [_followed(part, mapped) for part in lasting]
            copy = Node(get("_own_memory"), f"{node.name}_parts", {"count": len(parts)}, parts, node.hidden)
            copy.serial = node.serial   # what it reads comes first
            moved.update((part, Value(copy, i)) for i, part in enumerate(lasting))
    return [moved[v] if v in moved else _followed(v, mapped) for v in grads]


def _followed(value: Value, mapped: dict[Node, Node]) -> Value:
    return Value(mapped[value.node], value.index) if value.node in mapped else value


def _last_reads(steps: Sequence[Node], results: Sequence[Value]) -> dict[Value, int]:
    last = {value: position for position, node in enumerate(steps) for value in node.inputs}
    last.update((value, len(steps)) for value in results)
    return last


def _lasting(node: Node, position: int, last: dict[Value, int]) -> list[Value]:
    """The outputs of a node that cuts its input into views which live long, while others of them live less than half
    as long."""
    if not node.op.traits.view or node.num_outputs < 2:
        return []
    lives = {part: last.get(part, position) - position for part in (Value(node, i) for i in range(node.num_outputs))}
    shortest = min(lives.values())
    return [part for part, life in lives.items() if life >= max(_LONG, 2 * shortest)]
