"""Memory mirroring: which forward values are kept for the backward pass, and clones that recompute the others.

Chen, Xu, Zhang, Guestrin: Training Deep Nets with Sublinear Memory Cost, arXiv 1604.06174 (2016).
"""
from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Sequence

from ..errors import GraphError
from ..graph import Node, Value
from ..ops.traits import COSTLY, NEVER
from .infer_types import Types
from .stand_in import backward_nodes

#: whether a forward node's outputs are kept
Keep = Callable[[Node], bool]


def keep_rule(mode: object, forward: Sequence[Node], types: Types | None) -> Keep | None:
    """The rule of a mode of ``hybridize(mirror=...)``; None where everything is kept.

    False: keep all.   True: keep what is costly to compute (MXNet's rule).
    "sqrt": cut the forward pass in segments and keep what crosses a cut; needs `types`.
    """
    if mode is False or mode is None:
        return None
    if mode is True:
        return lambda node: node.op.traits.recompute in (COSTLY, NEVER)
    if mode == "sqrt" and types is not None:
        return sqrt_rule(forward, types)
    raise GraphError(f"hybridize: unknown mirror mode; got mirror={mode!r}; use False, True or 'sqrt'")


def mirror(forward: Sequence[Node], grads: Sequence[Value], keep: Keep, kept: Sequence[Node] = ()) -> list[Value]:
    """The gradients computed from kept forward values and from clones of the nodes that are not kept.

    forward: operator nodes of the forward pass, producers first.   grads: the backward pass's outputs.
    kept: further forward nodes that are kept in any case (stand-ins).
    """
    is_forward = {*forward, *kept}
    backward = backward_nodes(grads, is_forward)
    kept_nodes = set(kept)
    kept_nodes |= {n for n in forward if n.op.traits.recompute is NEVER or keep(n)}
    wanted = {v.node for node in backward for v in node.inputs if v.node in is_forward} - kept_nodes
    for node in reversed(forward):
        if node in wanted:
            wanted.update(v.node for v in node.inputs if v.node in is_forward and v.node not in kept_nodes)
    twin: dict[Node, Node] = {}

    def follow(value: Value) -> Value:
        return Value(twin[value.node], value.index) if value.node in twin else value

    for node in forward:
        if node in wanted:
            twin[node] = node.replaced([follow(v) for v in node.inputs])
            twin[node].serial = None
    for node in backward:
        inputs = tuple(follow(v) for v in node.inputs)
        if inputs != node.inputs:
            twin[node] = node.replaced(inputs)
    return [v if v.node in is_forward else follow(v) for v in grads]


def sqrt_rule(forward: Sequence[Node], types: Types) -> Keep:
    """Segments of about sqrt(n) cost: keep the values that cross a cut between segments, recompute the rest.

    Several segment sizes are tried; the estimate that decides is kept bytes + the largest segment's bytes.
    """
    sizes = [_bytes(n, types) for n in forward]
    crossing, last_use = _crossing(forward, sizes)
    total = sum(sizes)
    best: tuple[int, set[Node]] | None = None
    parts = 2
    while parts <= max(2, len(forward)):
        cuts = _cuts(sizes, crossing, total // parts)
        kept = {forward[i] for i, last in enumerate(last_use) if any_cut_between(cuts, i, last)}
        bounds = [-1, *cuts, len(forward) - 1]
        largest = max(sum(sizes[a + 1:b + 1]) for a, b in zip(bounds, bounds[1:], strict=False))
        cost = sum(_bytes(n, types) for n in kept) + largest
        if best is None or cost < best[0]:
            best = cost, kept
        parts = max(parts + 1, int(parts * 1.3))
    chosen = best[1] if best else set()
    return lambda node: node in chosen


def _bytes(node: Node, types: Types) -> int:
    return sum(types[Value(node, i)].num_bytes for i in range(node.num_outputs))


def _crossing(forward: Sequence[Node], sizes: Sequence[int]) -> tuple[list[int], list[int]]:
    """For each position, bytes that are alive between it and the next; for each node, its last forward consumer."""
    position = {n: i for i, n in enumerate(forward)}
    last_use = list(range(len(forward)))
    for i, node in enumerate(forward):
        for value in node.inputs:
            if value.node in position:
                last_use[position[value.node]] = i
    ends: list[int] = [0] * (len(forward) + 1)
    alive, crossing = 0, []
    for i, size in enumerate(sizes):
        alive += size - ends[i]
        if last_use[i] > i:
            ends[last_use[i]] += size
        else:
            alive -= size
        crossing.append(alive)
    return crossing, last_use


def _cuts(sizes: Sequence[int], crossing: Sequence[int], threshold: int) -> list[int]:
    """Positions after which to cut: once `threshold` bytes have gone by, at the cheapest position until 2x."""
    cuts: list[int] = []
    gone, best = 0, -1
    for i, size in enumerate(sizes[:-1]):
        gone += size
        if gone >= threshold:
            if best < 0 or crossing[i] < crossing[best]:
                best = i
            if gone >= 2 * threshold:
                cuts.append(best)
                gone, best = sum(sizes[best + 1:i + 1]), -1
    if best >= 0:
        cuts.append(best)
    return cuts


def any_cut_between(cuts: Sequence[int], start: int, end: int) -> bool:
    """Whether some cut c has start <= c < end (cuts ascending)."""
    i = bisect_left(cuts, start)
    return i < len(cuts) and cuts[i] < end
