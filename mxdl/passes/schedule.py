"""The order in which a program runs nodes: as they were created, mirror clones as late as possible."""
from __future__ import annotations

from collections.abc import Iterable, Sequence

from ..graph import Node, Value


def schedule(outputs: Iterable[Value], inputs: Sequence[Value]) -> list[Node]:
    """Operator nodes that compute `outputs` from `inputs` (values at which the walk stops), in running order.

    Nodes run in order of `serial`: the user's order forward, its reverse backward.  Nodes without serial (clones that
    recompute a forward value) run just before their first consumer, so that a recomputed value lives shortly.
    """
    stop = set(inputs)
    found = _needed(outputs, stop)
    order: list[Node] = []
    done: set[Node] = set()
    for node in sorted((n for n in found if n.serial is not None), key=lambda n: n.serial or 0):
        _emit(node, stop, done, order)
    for value in outputs:
        if value not in stop and value.node.op is not None:
            _emit(value.node, stop, done, order)
    return order


def _needed(outputs: Iterable[Value], stop: set[Value]) -> set[Node]:
    found: set[Node] = set()
    stack = [v for v in outputs if v not in stop]
    while stack:
        node = stack.pop().node
        if node.op is None or node in found:
            continue
        found.add(node)
        stack.extend(v for v in node.inputs if v not in stop)
    return found


def _emit(node: Node, stop: set[Value], done: set[Node], order: list[Node]) -> None:
    """Append `node` after everything that it needs; iterative, so that chains of clones may be long."""
    stack = [node]
    while stack:
        top = stack[-1]
        if top in done:
            stack.pop()
            continue
        waiting = [v.node for v in top.inputs if v not in stop and v.node.op is not None and v.node not in done]
        if waiting:
            stack.extend(reversed(waiting))
        else:
            done.add(top)
            order.append(top)
            stack.pop()
