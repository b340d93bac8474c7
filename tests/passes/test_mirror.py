"""The planner keeps its promise: what it counts is what the plan takes, and recomputation changes no bit."""
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import mxdl as mx
from mxdl.errors import GraphError
from mxdl.passes.goal import Goal, goal_of
from mxdl.passes.liveness import timeline
from mxdl.passes.mirror import mirror
from mxdl.passes.pipeline import training_plan
from mxdl.passes.plan import plan_types
from mxdl.passes.planner import planned
from mxdl.passes.recompute import evaluate
from mxdl.passes.search import Search
from mxdl.passes.segments import cuts_for, even_levels, tree
from mxdl.types import TensorType
from tests.passes.plans import dense_chain, known_types, plain_plan
from tests.passes.random_graphs import WIDTH, graphs
from tests.passes.test_plans import run_plan, tensors_of, types_of


def counted(plan, types, known):
    """(peak, peak of activations) of a plan by its timeline."""
    line = timeline(plan, plan_types(plan, known))
    return line.peak, line.activation_peak


MODES = [True, "sqrt", "min", 0.9, 0.6]


@settings(max_examples=60, deadline=None)
@given(graphs(), st.sampled_from(MODES))
def test_the_count_of_a_choice_is_that_of_its_plan(graph, mode):
    """The planner's numbers, the timeline of the nodes that it makes, step by step."""
    known = types_of(graph)
    plan, types = plain_plan(graph, {"x": known["x"]}, data_gradients=True)
    if not any(v is not None for v in plan.grads):
        return
    try:
        found = planned(plan, types, goal_of(mode))
    except GraphError as error:
        assert "least possible peak" in str(error)
        return
    line = timeline(found.plan, plan_types(found.plan, known))
    assert line.live == found.after.curve.live and line.activations == found.after.curve.activations
    if isinstance(mode, float):
        assert line.activation_peak <= mode * found.before.curve.activation_peak


@settings(max_examples=40, deadline=None)
@given(graphs(), st.integers(2, 3), st.integers(1, 4))
def test_nested_recomputation_changes_no_bit_and_is_counted(graph, depth, size):
    tensors = tensors_of(graph)
    _, grads, _ = run_plan(graph, tensors, False)
    known = types_of(graph)
    plan, types = plain_plan(graph, {"x": known["x"]}, data_gradients=True)
    if not any(v is not None for v in plan.grads):
        return
    search = Search(planned(plan, types, Goal("all")).problem)
    cuts = cuts_for(search.facts, size * 3 * WIDTH * 4, shrinking=False)
    choice = tree(search.facts, even_levels(cuts or [], depth))
    clones = mirror(plan, choice)
    line = timeline(clones, plan_types(clones, known))
    assert line.live == evaluate(search.problem, choice).curve.live
    outputs, mine, _ = run_plan(graph, tensors, False, plan=clones)
    assert all(torch.equal(a, b) for a, b in zip(grads, mine, strict=True))


def peaks(lengths, mode, **options):
    found = {}
    for n in lengths:
        plan, types = plain_plan(dense_chain(n), {"x": TensorType((256, 64))})
        found[n] = planned(plan, types, goal_of(mode, **options)).after
    return found


def exponent(values: dict[int, float]) -> float:
    """b of the fit a * n^b."""
    xs, ys = [math.log(n) for n in values], [math.log(v) for v in values.values()]
    mx_, my = sum(xs) / len(xs), sum(ys) / len(ys)
    return sum((x - mx_) * (y - my) for x, y in zip(xs, ys, strict=True)) / sum((x - mx_) ** 2 for x in xs)


def test_sqrt_grows_as_the_root_of_the_depth():
    outcomes = peaks((16, 64, 256, 1024), "sqrt")
    assert exponent({n: o.curve.activation_peak for n, o in outcomes.items()}) <= 0.55
    plain = {n: o for n, o in peaks((16, 64, 256), False).items()}
    assert exponent({n: o.curve.activation_peak for n, o in plain.items()}) >= 0.85


def test_nested_segments_grow_as_the_logarithm_of_the_depth():
    """Eight times the depth adds a constant, not a factor."""
    outcomes = peaks((16, 128, 1024), "min", max_recompute=10)
    unit = 256 * 64 * 4
    a, b, c = (o.curve.activation_peak / unit for o in outcomes.values())
    assert c <= 40 and (c - b) <= 2 * (b - a) + 4, (a, b, c)


def test_an_impossible_budget_says_the_least_and_what_holds_it():
    plan, types = plain_plan(dense_chain(24), {"x": TensorType((256, 64))})
    with pytest.raises(GraphError, match=r"least possible peak found is \d+ bytes.*MiB of.*max_recompute=2") as error:
        planned(plan, types, goal_of(0.05))
    least = int(str(error.value).split("found is ")[1].split()[0])
    before = planned(plan, types, Goal("all")).before.curve.activation_peak
    fraction = math.nextafter(least / before, 1)
    assert planned(plan, types, goal_of(fraction)).after.curve.activation_peak <= least


def test_more_memory_never_costs_more_time():
    plan, types = plain_plan(dense_chain(40), {"x": TensorType((256, 64))})
    times = [planned(plan, types, goal_of(fraction)).after.time for fraction in (0.4, 0.6, 0.8)]
    assert all(a >= b for a, b in zip(times, times[1:], strict=False)) and times[0] > times[-1] > 0
    assert planned(plan, types, goal_of("1TB")).after.time == 0


def test_equal_graphs_and_budgets_give_equal_plans():
    keeps = set()
    for _ in range(2):
        plan, types = plain_plan(dense_chain(40), {"x": TensorType((256, 64))})
        keeps.add(planned(plan, types, goal_of(0.4)).after.choice.keep)
    assert len(keeps) == 1


@pytest.mark.parametrize(("given_", "kind", "amount"), [
    (False, "all", 0), (None, "all", 0), (True, "costly", 0), ("sqrt", "sqrt", 0), ("min", "min", 0),
    ("4GB", "bytes", 4 * 10**9), ("512MiB", "bytes", 2**29), ("1.5 GiB", "bytes", 3 * 2**29), (1000, "bytes", 1000),
    (0.25, "fraction", 0.25)])
def test_what_mirror_may_be(given_, kind, amount):
    assert goal_of(given_)[:2] == (kind, amount)


@pytest.mark.parametrize("given_", ["4 apples", "GB", "", -1, 0, 1.5, 0.0, [], "0MB"])
def test_what_mirror_may_not_be(given_):
    with pytest.raises(GraphError, match="unknown mirror mode"):
        goal_of(given_)
    with pytest.raises(GraphError, match="max_recompute"):
        goal_of("min", 0.5)


class Small(mx.gluon.HybridBlock):
    """Convolutions with BatchNorm and dropout, a skip, a shared dense layer, two outputs."""

    def __init__(self):
        super().__init__()
        nn = mx.gluon.nn
        with self.name_scope():
            self.stem = nn.HybridSequential()
            for _ in range(3):
                self.stem.add(nn.Conv2D(6, 3, padding=1, activation="relu"), nn.BatchNorm(), nn.Dropout(0.3))
            self.body = nn.HybridSequential()
            for _ in range(2):
                self.body.add(nn.Conv2D(6, 3, padding=1), nn.BatchNorm(), nn.Activation("relu"), nn.Dropout(0.4))
            self.dense = nn.Dense(6, flatten=False)

    def hybrid_forward(self, F, x):
        y = self.stem(x)
        y = y + self.body(y)
        z = F.mean(y, axis=(2, 3))
        return self.dense(self.dense(z)), F.sum(y)


def step(mirror, requests="write", steps=2, **flags):
    """Gradients (of parameters and data), outputs and running statistics after some steps."""
    mx.random.seed(7)
    torch.manual_seed(7)
    net = Small()
    net.initialize(mx.init.Xavier())
    net.collect_params().setattr("grad_req", requests)
    net.hybridize(mirror=mirror, **flags)
    x = mx.nd.array(torch.rand(4, 3, 8, 8, generator=torch.Generator().manual_seed(1)).numpy())
    x.attach_grad()
    for _ in range(steps):
        with mx.autograd.record():
            a, b = net(x)
            loss = (a * a).sum() + b
        loss.backward()
    found = [x.grad, a, b]
    for p in net.collect_params().values():
        found.append(p.data())
        if p.grad_req != "null":
            found.append(p.grad())
    return [f.asnumpy().tobytes() for f in found]


@pytest.mark.parametrize("requests", ["write", "add"])
@pytest.mark.parametrize("mirror_mode", [True, "sqrt", "min", 0.9, 0.75, 0.6, "1MB"])
def test_a_hybridized_step_is_the_same_to_the_bit(mirror_mode, requests):
    assert step(mirror_mode, requests) == step(False, requests)


def test_nested_recomputation_of_a_hybridized_step_is_the_same_to_the_bit():
    assert step("min", max_recompute=3) == step(False)


def test_a_wrong_mode_is_refused_when_it_is_given():
    with pytest.raises(GraphError, match="unknown mirror mode; got mirror='some'"):
        mx.gluon.nn.Dense(2).hybridize(mirror="some")


def test_types_are_needed_by_modes_that_count():
    graph = dense_chain(3)
    with pytest.raises(GraphError, match="counts bytes"):
        training_plan(graph, True, graph.inputs, "sqrt")
    assert training_plan(graph, True, graph.inputs, True).grads


def test_counting_infers_types_once(monkeypatch):
    import mxdl.passes.infer_types as module
    graph = dense_chain(5)
    known = known_types(graph, x=TensorType((4, 64)))
    calls = []
    plain = module._infer
    monkeypatch.setattr(module, "_infer", lambda *args: calls.append(1) or plain(*args))
    training_plan(graph, True, graph.inputs, "sqrt", known)
    assert len(calls) == 1
