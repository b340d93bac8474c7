"""What the passes make of a reference net, as text."""
from __future__ import annotations

from collections import Counter

import torch

from mxdl.codegen.plan import export_plan
from mxdl.graph import Graph, Node, Value
from mxdl.graph.printer import node_text
from mxdl.passes.infer_types import infer_types
from mxdl.passes.pipeline import inference_plan, training_plan
from mxdl.passes.plan import Plan, plan_types
from mxdl.passes.schedule import schedule
from mxdl.types import TORCH_DTYPES, TensorType
from tests.golden.nets import NETS, symbols

#: nets that the C export cannot take, or whose plan is no news beside the others'
NOT_EXPORTED = ("lstm", "norms", "autoencoder")


def golden(name: str) -> str:
    """Every stage of the net's life: as traced, to train, to predict, exported."""
    net, loss = (symbol.graph() for symbol in symbols(name))
    known = {"data": NETS[name][1]}
    known |= {n.name: TensorType(NETS[name][1].shape[:1]) for n in loss.inputs if n.name.endswith("label")}
    types = infer_types(loss, known)
    known |= {n.name: types[Value(n, 0)] for n in loss.inputs}
    trained = [n for n in loss.inputs if n.name not in ("data", "label", "softmax_label") and "running" not in n.name
               and "moving" not in n.name]
    stages = [("traced", lines(loss.nodes, loss.outputs, types.get))]
    stages += plan_stages("train", training_plan(loss, True, trained, known=known), known)
    stages += plan_stages("predict", inference_plan(net, False, known), known)
    folded = plan_stages("predict, folded", inference_plan(net, False, known, fold=True), known)
    if folded[0][1] != stages[-1][1]:
        stages += folded
    if name not in NOT_EXPORTED:
        stages.append(("export: offset and bytes in the arena", arena(net, known)))
    return "\n".join(f"== {title} ==\n{body}" for title, body in stages)


def plan_stages(title: str, plan: Plan, known: dict[str, TensorType]) -> list[tuple[str, str]]:
    """The forward and the backward program, in running order."""
    types = plan_types(plan, {n.name: known[n.name] for n in plan.inputs})
    inputs = [Value(n, 0) for n in plan.inputs]
    results = [*plan.outputs, *plan.updates, *plan.saved]
    unique = distinct(schedule(results, inputs))
    found = [(f"{title}: forward", lines(schedule(results, inputs), results, types.get, unique))]
    grads = [v for v in plan.grads if v is not None]
    if grads:
        backward = schedule(grads, [*plan.heads, *plan.saved, *inputs])
        found.append((f"{title}: backward", lines(backward, grads, types.get, distinct(backward, unique))))
    return found


def distinct(nodes: list[Node], before: dict[Node, str] | None = None) -> dict[Node, str]:
    """Names of nodes with a number where several have the same."""
    names = dict(before or {})
    taken = Counter(names.values())
    for node in nodes:
        if node not in names:
            taken[node.name] += 1
            names[node] = node.name if taken[node.name] == 1 else f"{node.name}.{taken[node.name]}"
    return names


def lines(nodes, outputs, types, names: dict[Node, str] | None = None) -> str:
    """One line a node, and what is returned; with `names` in place of the nodes' own."""
    if names:
        copies: dict[Node, Node] = {}

        def named(value: Value) -> Value:
            if value.node not in copies:
                node = value.node
                copies[node] = Node(node.op, names.get(node, node.name), node.attrs, [named(v) for v in node.inputs]
                                    if node in names else ())
            return Value(copies[value.node], value.index)
        original = {named(Value(n, 0)).node: n for n in nodes}
        nodes, outputs, plain = list(original), [named(v) for v in outputs], types
        types = lambda value: plain(Value(original[value.node], value.index))      # noqa: E731
    text = [node_text(node, types) for node in nodes]
    return "\n".join([*text, "return " + ", ".join(map(repr, outputs))]) + "\n"


def arena(net: Graph, known: dict[str, TensorType]) -> str:
    parameters = {n.name: torch.ones(known[n.name].shape, dtype=TORCH_DTYPES[known[n.name].dtype])
                  for n in net.inputs if n.name != "data"}
    plan = export_plan(net, parameters, {"data": known["data"]})
    shape = plan.layout.geometry
    placed = [f"{one.value!r} {one.form}: {offset} {(shape.get(one) or plan.types[one.value]).num_bytes}"
              for one, offset in plan.offsets.items()]
    return "\n".join([*placed, f"total {plan.arena_bytes}"]) + "\n"
