"""Fold a per-channel affine map (batch normalization in predict mode) into the convolution or product before it."""
from __future__ import annotations

from collections import Counter

from ..graph import Graph, Node, Value
from .rewrite import rebuild


def fold_affine(graph: Graph) -> Graph:
    """For a predict graph.  The new parameters are nodes over the old ones, to be computed once (constant folding).

    Results differ from the unfolded graph by rounding, so only exports and ``hybridize(fold=True)`` use this pass.
    """
    uses = Counter(v for node in graph.nodes for v in node.inputs)
    uses.update(graph.outputs)
    single = {(v.node.serial, v.index) for v, n in uses.items() if n == 1}

    def visit(node: Node):
        op = node.op
        if op.affine_rule is None or any(Value(node, i) in uses for i in range(1, node.num_outputs)):
            return node
        source = node.inputs[0]
        producer = source.node
        if producer.op is None or producer.op.absorb_rule is None or (producer.serial, source.index) not in single:
            return node
        affine = op.affine_rule(node.inputs, op.filled(node.attrs))
        if affine is None:
            return node
        absorbed = producer.op.absorb_rule(producer.inputs, producer.op.filled(producer.attrs), *affine)
        if absorbed is None:
            return node
        inputs, attrs = absorbed
        given = {k: v for k, v in attrs.items() if producer.op.defaults.get(k, _ABSENT) != v}
        folded = Node(producer.op, producer.name, given, inputs, producer.hidden)
        return (Value(folded, 0), *(Value(node, i) for i in range(1, node.num_outputs)))
    return rebuild(graph, visit)


_ABSENT = object()
