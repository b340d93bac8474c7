"""The timeline counts what a run holds: each step's live bytes against the storages that tensors really have."""
import pytest
import torch
from hypothesis import given, settings

import mxdl as mx
from mxdl.errors import GraphError
from mxdl.executor.program import Program
from mxdl.graph import Graph, Value, apply, variable
from mxdl.ops import get
from mxdl.passes.infer_types import infer_types
from mxdl.passes.lifetimes import lifetimes
from mxdl.passes.liveness import row_of, timeline
from mxdl.passes.pipeline import training_plan
from mxdl.passes.plan import Plan, plan_types
from mxdl.types import TensorType
from tests.passes.random_graphs import WIDTH, graphs


def known_types(graph: Graph, data: TensorType) -> dict[str, TensorType]:
    types = infer_types(graph, {graph.inputs[0].name: data})
    return {n.name: types[Value(n, 0)] for n in graph.inputs}


def measured(plan: Plan, known: dict[str, TensorType]) -> list[int]:
    """Bytes of all storages alive while each step runs, the plan's inputs included, heads too."""
    generator = torch.Generator().manual_seed(0)
    inputs = [torch.rand(known[n.name].shape, generator=generator) for n in plan.inputs]
    variables = [Value(n, 0) for n in plan.inputs]
    seeds = range(plan.num_seeds)
    forward = Program([*plan.outputs, *plan.updates, *plan.saved], variables)
    found, results = run_watched(forward, inputs, seeds, held=inputs)
    outputs, saved = results[:len(plan.outputs)], results[len(plan.outputs) + len(plan.updates):]
    heads = [torch.ones_like(o) for o in outputs]
    held = [*inputs, *outputs, *heads]
    backward = Program([g for g in plan.grads if g is not None], [*plan.heads, *plan.saved, *variables])
    results = []
    values = [*heads, *saved, *inputs]
    saved = []
    return found + run_watched(backward, values, seeds, held)[0]


def run_watched(program: Program, tensors: list, seeds, held: list):
    slots = tensors + [None] * (program._num_slots - len(tensors))
    tensors = None
    found = []
    for step in program.steps:
        given = [slots[i] for i in step.inputs]
        result = step.kernel(*given) if step.seed < 0 else step.kernel(*given, seed=seeds[step.seed])
        result = result if isinstance(result, tuple) and len(step.outputs) > 1 else (result,)
        found.append(storage_bytes([*held, *(s for s in slots if s is not None), *result]))
        for out, tensor in zip(step.outputs, result, strict=True):
            if out >= 0:
                slots[out] = tensor
        for i in step.frees:
            slots[i] = None
    return found, [slots[i] for i in program._output_slots]


def storage_bytes(tensors: list) -> int:
    return sum({t.untyped_storage().data_ptr(): t.untyped_storage().nbytes() for t in tensors if t.numel()}.values())


def check(graph: Graph, known: dict[str, TensorType], mode: object, tolerance: float = 0.0):
    states = {n for n in graph.inputs if "moving" in n.name or "running" in n.name}
    plan = training_plan(graph, True, [n for n in graph.inputs if n not in states], mode, known)
    types = plan_types(plan, known)
    line = timeline(plan, types)
    real = measured(plan, known)
    assert len(line.live) == len(real) == len(line.steps)
    # what a kernel takes for itself is seen by `track` alone (tests/gluon/test_memory_plan.py)
    live = [n - row_of(node, types).scratch for n, node in zip(line.live, line.steps, strict=True)]
    worst = max(abs(a - b) for a, b in zip(live, real, strict=True))
    assert worst <= tolerance * max(real), (worst, max(real))
    assert abs(max(live) - max(real)) <= tolerance * max(real)
    return line


def blocks_net():
    net = mx.gluon.nn.HybridSequential()
    for width in (6, 8):
        net.add(mx.gluon.nn.Conv2D(width, 3, padding=1), mx.gluon.nn.BatchNorm(), mx.gluon.nn.Activation("relu"))
    net.add(mx.gluon.nn.MaxPool2D(2), mx.gluon.nn.Dropout(0.5), mx.gluon.nn.GlobalAvgPool2D(), mx.gluon.nn.Dense(5))
    return net


def graph_of(net) -> Graph:
    return net(mx.sym.var("data")).graph()


@pytest.mark.parametrize("mode", [False, True, "sqrt"])
def test_live_bytes_are_those_of_a_run(mode):
    graph = graph_of(blocks_net())
    check(graph, known_types(graph, TensorType((4, 3, 8, 8))), mode, tolerance=0.02)


@pytest.mark.parametrize("name", ["resnet18_v1", "resnet18_v2", "mobilenet_v2_0_25"])
def test_live_bytes_of_zoo_nets(name):
    graph = graph_of(getattr(mx.gluon.model_zoo.vision, name)(classes=10))
    for mode in (False, "sqrt"):
        check(graph, known_types(graph, TensorType((2, 3, 64, 64))), mode, tolerance=0.02)


@settings(max_examples=40, deadline=None)
@given(graphs())
def test_live_bytes_of_random_graphs(graph):
    """Exact to the byte wherever no kernel returns a view that the traits do not tell of."""
    types = infer_types(graph, {"x": TensorType((3, WIDTH))})
    known = {n.name: types[Value(n, 0)] for n in graph.inputs}
    for mode in (False, "sqrt"):
        check(graph, known, mode, tolerance=0.15)


def dense_chain(length: int) -> Graph:
    h = variable("x")
    for i in range(length):
        h = apply(get("FullyConnected"), [h, variable(f"w{i}")], {"num_hidden": 64, "no_bias": True}, f"fc{i}")
        h = apply(get("tanh"), [h], {}, f"t{i}")
    return Graph([h])


def test_what_each_sharing_counts():
    """A chain of n dense layers and tanh: nothing shared, in place, and with gradients handed off."""
    n, batch = 12, 32
    unit, weight = batch * 64 * 4, 64 * 64 * 4
    graph = dense_chain(n)
    known = known_types(graph, TensorType((batch, 64)))
    plan = training_plan(graph, True, [v for v in graph.inputs if v.name != "x"], False, known)
    types = plan_types(plan, known)
    off = timeline(plan, types, "off")
    fixed = unit + n * weight
    assert off.fixed == fixed and off.grads == n * weight
    assert off.activation_peak == (2 * n + 1 + 2 * n - 1) * unit  # y and tanh(y); the head; their gradients but dx
    shared = timeline(plan, types, "inplace")
    assert shared.activation_peak == (n + 3) * unit  # n outputs, the head, two gradients
    assert shared.peak < off.peak
    handed = timeline(plan, types, "plan", hand_off=True)
    assert handed.peak <= fixed + (n + 3) * unit + weight < shared.peak


def test_at_peak_adds_up_and_says_what():
    graph = dense_chain(6)
    known = known_types(graph, TensorType((16, 64)))
    plan = training_plan(graph, True, graph.inputs, False, known)
    line = timeline(plan, plan_types(plan, known))
    assert line.fixed + sum(size for _, size in line.at_peak) == line.peak
    assert line.live[line.peak_step] == line.peak
    sizes = [size for _, size in line.at_peak]
    assert sizes == sorted(sizes, reverse=True) and len(sizes) >= 6


def test_unknown_sharing_is_refused():
    with pytest.raises(GraphError, match="unknown sharing; got 'some'"):
        timeline(Plan((), (), (), (), 0), None, "some")


def test_a_commutative_node_may_overwrite_its_second_input():
    x = variable("x")
    y = apply(get("Activation"), [x], {"act_type": "tanh"}, "y")
    total = apply(get("elemwise_add"), [x, apply(get("Activation"), [y], {"act_type": "relu"}, "z")], {}, "sum")
    steps = [decision for _, decision in lifetimes([total], [x])]
    assert [step.overwrites for step in steps] == [-1, 0, 1]
    assert [step.overwrites for _, step in lifetimes([total], [x], in_place=False)] == [-1, -1, -1]
