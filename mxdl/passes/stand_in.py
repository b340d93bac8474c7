"""Keep no value for its shape alone: backward nodes that read only an input's shape get a stand-in of no memory."""
from __future__ import annotations

from collections.abc import Sequence

from ..graph import Node, Value
from ..ops import get


def stand_ins(forward: Sequence[Node], grads: Sequence[Value]) -> tuple[list[Value], list[Node]]:
    """The gradients with every forward value at a `shape_only` input of a backward node replaced by a stand-in, and
    the stand-in nodes, which belong to the forward pass."""
    is_forward = set(forward)
    mapped: dict[Node, Node] = {}
    made: dict[Value, Value] = {}

    def follow(node: Node, position: int, value: Value) -> Value:
        if value.node in is_forward:
            if position not in node.op.traits.shape_only:
                return value
            if value not in made:
                twin = Node(get("_stand_in"), f"{value.node.name}_shape", inputs=[value], hidden=value.node.hidden)
                twin.serial = value.node.serial
                made[value] = Value(twin, 0)
            return made[value]
        return Value(mapped[value.node], value.index) if value.node in mapped else value

    for node in backward_nodes(grads, is_forward):
        inputs = tuple(follow(node, i, v) for i, v in enumerate(node.inputs))
        if inputs != node.inputs:
            mapped[node] = node.replaced(inputs)
    changed = [Value(mapped[v.node], v.index) if v.node in mapped else v for v in grads]
    return changed, [v.node for v in made.values()]


def backward_nodes(grads: Sequence[Value], forward: set[Node]) -> list[Node]:
    """Operator nodes that only the gradients need, producers first."""
    found: set[Node] = set()
    stack = [v.node for v in grads]
    while stack:
        node = stack.pop()
        if node.op is not None and node not in found and node not in forward:
            found.add(node)
            stack.extend(v.node for v in node.inputs)
    return sorted(found, key=lambda n: n.serial or 0)
