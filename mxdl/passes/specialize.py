"""Fix what depends on how a graph is run: training or not, which random node draws which seed, which auxiliary
states are written back."""
from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from ..graph import Graph, Node, Value
from .rewrite import follow, renumbered, running_order


class Specialized(NamedTuple):
    """graph: outputs are the original's, then one value for each node of `updated`.
    updated: variables that the caller overwrites with the trailing outputs.   num_seeds: random nodes."""

    graph: Graph
    updated: tuple[Node, ...]
    num_seeds: int


def specialize(graph: Graph, training: bool) -> Specialized:
    """Set `training` on the nodes that ask for it and `seed` (their rank in creation order) on random ones.

    A node that updates a variable (running statistics) makes later readers of that variable see the new value, as
    running the nodes one after another would.
    """
    graph = renumbered(graph)
    order = running_order(graph)
    drawing = [n for n in order if n.op is not None and n.op.needs_seed]
    seeds = {node: rank for rank, node in enumerate(drawing)}
    mapped: dict[Node, Node | Sequence[Value]] = {}
    current: dict[Node, Value] = {}
    for node in order:
        if node.op is None:
            continue
        inputs = tuple(current.get(v.node, v) if v.node.op is None else follow(mapped, v) for v in node.inputs)
        attrs = node.attrs
        if node.op.needs_training:
            attrs = {**attrs, "training": training}
        if node in seeds:
            attrs = {**attrs, "seed": seeds[node]}
        new = node
        if attrs is not node.attrs or inputs != node.inputs:
            mapped[node] = new = node.replaced(inputs, attrs)
        if node.op.updates and (training or not node.op.needs_training):
            _update_variables(node, new, current)
    outputs = [follow(mapped, v) for v in graph.outputs]
    return Specialized(Graph([*outputs, *current.values()], graph.inputs), tuple(current), len(seeds))


def _update_variables(old: Node, new: Node, current: dict[Node, Value]) -> None:
    names = old.op.input_names(old.attrs, len(old.inputs))
    for output, name in old.op.updates.items():
        if name in names:
            source = old.inputs[names.index(name)].node
            if source.op is None:
                current[source] = Value(new, output)
