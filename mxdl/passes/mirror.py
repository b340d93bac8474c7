"""Memory mirroring: forward values that are not kept for the backward pass are recomputed by clones of their nodes.

Chen, Xu, Zhang, Guestrin: Training Deep Nets with Sublinear Memory Cost, arXiv 1604.06174 (2016).
"""
from __future__ import annotations

from collections.abc import Callable, Sequence

from ..graph import Node, Value
from ..ops.traits import CHEAP
from .plan import Plan
from .recompute import Choice, Recomputation, copy_of, last_reads_from
from .schedule import schedule


def forward_nodes(plan: Plan) -> list[Node]:
    """The nodes of the forward program of a plan without recomputation, in running order."""
    return schedule([*plan.outputs, *plan.updates, *plan.saved], [Value(node, 0) for node in plan.inputs])


def keep_costly(nodes: Sequence[Node]) -> Choice:
    """MXNet's rule: keep what is costly to compute (by trait), recompute the rest."""
    return Choice(bytes(n.op.traits.recompute is not CHEAP or n.op.traits.shell for n in nodes))


def mirror(plan: Plan, choice: Choice) -> Plan:
    """The plan whose backward pass recomputes what `choice` does not keep.  Clones have no serial: they run just before
    their first reader.  A clone may read clones; with nested segments a node may have several, one after the other."""
    nodes = forward_nodes(plan)
    position = {node: i for i, node in enumerate(nodes)}
    copies = [copy_of(node) for node in nodes]
    grads = [v for v in plan.grads if v is not None]
    backward = schedule(grads, [*plan.heads, *plan.saved, *(Value(node, 0) for node in plan.inputs)])
    moved: dict[Node, Node] = {}
    saved: dict[Value, None] = {}

    def placed(value: Value, find: Callable[[int], Node | None]) -> Value:
        at = position.get(value.node)
        if at is None:
            return Value(moved[value.node], value.index) if value.node in moved else value
        copy = find(at) if is_remade(value) else None
        if copy is None:
            saved[value] = None
            return value
        return Value(copy, value.index)

    def is_remade(value: Value) -> bool:
        return value.node in position and value.index < copies[position[value.node]].num_outputs

    def emit(at: int, find: Callable[[int], Node | None]) -> Node:
        clone = copies[at].replaced([placed(v, find) for v in copies[at].inputs])
        clone.serial = None
        return clone

    def sources(at: int) -> list[int]:
        return [position[v.node] for v in copies[at].inputs if is_remade(v)]

    walk = Recomputation(choice, sources, emit)
    reads = [[position[v.node] for v in node.inputs if v.node in position] for node in backward]
    for node, cursor in zip(backward, last_reads_from(reads), strict=True):
        walk.advance(cursor)
        inputs = tuple([placed(v, walk.copy) for v in node.inputs])
        if inputs != node.inputs:
            moved[node] = node.replaced(inputs)
    saved.update((v, None) for v in grads if v.node in position)
    given = [Value(moved[v.node], v.index) if v is not None and v.node in moved else v for v in plan.grads]
    return plan._replace(grads=tuple(given), saved=tuple(saved))
