"""Plans for a compiler that fuses loops: what needs no array, what is then worth keeping, where programs are cut."""
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import mxdl as mx
from mxdl.errors import GraphError
from mxdl.graph import Value
from mxdl.ops.traits import COSTLY
from mxdl.passes.goal import goal_of
from mxdl.passes.liveness import row_of, timeline
from mxdl.passes.loops import in_loops, seams
from mxdl.passes.plan import plan_types
from mxdl.passes.planner import planned
from mxdl.passes.schedule import schedule
from mxdl.types import TensorType
from tests.passes.plans import plain_plan
from tests.passes.random_graphs import graphs
from tests.passes.test_plans import types_of


def fused_rows(symbol, **shapes):
    """{name of a node: (bytes of its array, names of what it reads)} of a graph whose loops are fused."""
    graph = symbol.graph()
    known = {name: TensorType(shape) for name, shape in shapes.items()}
    plan, types = plain_plan(graph, known)
    nodes = schedule(graph.outputs, [Value(node, 0) for node in graph.inputs])
    rows = in_loops([row_of(node, types) for node in nodes], graph.outputs)
    return {node.name: (row.sizes[0], [key.node.name for key in row.inputs])
            for node, row in zip(nodes, rows, strict=True)}


def test_values_that_only_loops_read_are_no_arrays():
    x = mx.sym.var("x")
    a = mx.sym.tanh(x, name="a")
    b = mx.sym.elemwise_mul(a, mx.sym.var("y"), name="b")
    c = mx.sym.FullyConnected(b, num_hidden=2, no_bias=True, name="c")
    rows = fused_rows(mx.sym.tanh(c, name="d"), x=(4, 3), y=(4, 3))
    assert rows["a"] == (0, [])
    assert rows["b"] == (48, ["x", "y"])            # a product reads it: an array, made of what a is made of
    assert rows["c"] == (32, ["b", "c_weight"]) and rows["d"] == (32, ["c"])


def test_a_normalization_is_applied_where_it_is_read():
    x = mx.sym.var("x")
    rows = fused_rows(mx.sym.relu(mx.sym.LayerNorm(x, name="norm"), name="r"), x=(4, 3))
    assert rows["norm"][0] == 0 and {"x", "norm"} <= set(rows["r"][1])


def test_a_value_made_of_many_arrays_and_read_far_apart_is_an_array():
    inputs = [mx.sym.var(f"x{i}") for i in range(6)]
    total = inputs[0]
    for i, x in enumerate(inputs[1:]):
        total = mx.sym.elemwise_add(total, x, name=f"sum{i}")
    product = mx.sym.FullyConnected(mx.sym.tanh(total, name="t"), num_hidden=3, no_bias=True, name="p")
    rows = fused_rows(mx.sym.elemwise_mul(product, total, name="out"), **{f"x{i}": (4, 3) for i in range(6)})
    assert rows["sum4"][0] == 48 and rows["sum0"][0] == 0


@settings(max_examples=40, deadline=None)
@given(graphs(), st.sampled_from(["sqrt", "min", 0.9, 0.6]))
def test_the_count_of_a_fused_choice_is_that_of_its_plan(graph, mode):
    known = types_of(graph)
    plan, types = plain_plan(graph, {"x": known["x"]}, data_gradients=True)
    if not any(v is not None for v in plan.grads):
        return
    try:
        found = planned(plan, types, goal_of(mode), fused=True)
    except GraphError as error:
        assert "least possible peak" in str(error)
        return
    line = timeline(found.plan, plan_types(found.plan, known), fused=True)
    assert line.live == found.after.curve.live
    if isinstance(mode, float):
        assert line.activation_peak <= mode * found.before.curve.activation_peak


def cells(steps: int):
    """A gated recurrence: two products a step, whose sum is read by loops."""
    h, x = mx.sym.var("h"), mx.sym.var("x")
    c = h
    for t in range(steps):
        gates = mx.sym.FullyConnected(x, weight=mx.sym.var("w"), bias=mx.sym.var("b"), num_hidden=64,
                                      name=f"i2h{t}") + mx.sym.FullyConnected(
            h, weight=mx.sym.var("u"), bias=mx.sym.var("v"), num_hidden=64, name=f"h2h{t}")
        i, f, g, o = mx.sym.SliceChannel(gates, num_outputs=4, name=f"slice{t}")
        c = mx.sym.sigmoid(f) * c + mx.sym.sigmoid(i) * mx.sym.tanh(g)
        h = mx.sym.sigmoid(o) * mx.sym.tanh(c)
    return h.graph()


SHAPES = {"x": TensorType((256, 16)), "h": TensorType((256, 16))}


def recomputed(found) -> list:
    """Names of costly operators that a plan runs again."""
    nodes = found.problem.nodes
    return [nodes[p].name for p, _ in found.after.cloned if nodes[p].op.traits.recompute is COSTLY]


def test_with_fusion_a_budget_costs_fewer_products():
    plan, types = plain_plan(cells(8), SHAPES)
    limit = int(0.72 * planned(plan, types, goal_of(False)).before.curve.peak)
    found = planned(plan, types, goal_of(limit), fused=True)
    assert found.after.curve.peak <= limit
    assert len(recomputed(found)) < len(recomputed(planned(plan, types, goal_of(limit))))


@pytest.mark.parametrize("most", [20, 60])
def test_seams_cut_into_pieces_of_the_length_asked_for(most):
    plan, _ = plain_plan(cells(6), SHAPES)
    grads = [v for v in plan.grads if v is not None]
    nodes = schedule(grads, [*plan.heads, *plan.saved, *(Value(node, 0) for node in plan.inputs)])
    bounds = [0, *seams(nodes, grads, 10, most), len(nodes)]
    assert all(10 <= b - a <= most for a, b in zip(bounds[:-1], bounds[1:-1], strict=False))
    assert bounds[-1] - bounds[-2] <= most
