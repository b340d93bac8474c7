"""The planner against an exact solver: at equal memory, recomputed FLOPs within 5 % of the least possible."""
import random

import pytest

from mxdl.graph import Graph, Value, apply, variable
from mxdl.ops import get
from mxdl.passes.cost import node_flops
from mxdl.passes.recompute import Choice, problem_of
from mxdl.passes.search import Search
from mxdl.types import TensorType
from tests.passes.exact_recompute import least_recomputation
from tests.passes.plans import plain_plan

WIDTHS = (8, 16, 32, 64)
ROWS = 32


def dense(value: Value, width: int, name: str) -> Value:
    return apply(get("FullyConnected"), [value, variable(f"w_{name}")], {"num_hidden": width, "no_bias": True}, name)


def chain(rng: random.Random, length: int) -> Graph:
    h = variable("x")
    for i in range(length):
        h = dense(h, rng.choice(WIDTHS), f"d{i}")
    return Graph([h])


def branches(rng: random.Random, length: int) -> Graph:
    """Random reads of earlier values, joined by products of square matrices."""
    values = [variable("x")]
    for i in range(length):
        if i % 3 == 2:
            a, b = values[-1], rng.choice(values[-5:])
            values.append(apply(get("dot"), [a, b], {"transpose_b": True}, f"p{i}"))
            values.append(dense(values[-1], ROWS, f"q{i}"))
        else:
            values.append(dense(rng.choice(values[-2:]), ROWS, f"d{i}"))
    return Graph([values[-1]])


def skips(rng: random.Random, length: int) -> Graph:
    """A U: values of the way down are read again on the way up."""
    h, stack = variable("x"), []
    for i in range(length // 2):
        h = dense(h, ROWS, f"down{i}")
        stack.append(h)
    for i in range(length // 2):
        joined = apply(get("dot"), [h, stack.pop()], {"transpose_b": rng.random() < 0.5}, f"p{i}")
        h = dense(joined, ROWS, f"up{i}")
    return Graph([h])


def cases(count: int, most: int):
    rng = random.Random(5)
    makers = (chain, branches, skips)
    for number in range(count):
        maker = makers[number % 3]
        length = rng.randint(6, most) if maker is chain else rng.randint(4, most // 2)
        yield maker.__name__, maker(rng, length), rng.choice((0.6, 0.75, 0.85))


def compare(graph: Graph, fraction: float) -> tuple[float, float, int] | None:
    """(FLOPs that the planner recomputes, the least, nodes); None where no plan fits."""
    plan, types = plain_plan(graph, {"x": TensorType((ROWS, ROWS))})
    problem = problem_of(plan, types, lambda node: float(node_flops(node, types)))
    search = Search(problem)
    search.counts_activations = True
    everything = search.everything.curve
    limit = int(fraction * everything.activation_peak)
    exact = least_recomputation(problem, search.facts, everything, limit)
    if exact is None:
        return None
    found = search.within(limit, 1)
    assert found is not None, f"the planner finds no plan where one of {exact[0]} FLOPs exists"
    assert search.peak(found) <= limit
    proof = search.evaluate(Choice(exact[1]))
    assert search.peak(proof) <= limit and proof.time == pytest.approx(exact[0])
    return found.time, exact[0], problem.num_nodes + len(problem.backward)


def check(count: int, most: int, decided: int) -> int:
    """Compare `count` graphs; returns the largest number of nodes among those for which a plan exists."""
    found = {}
    for number, (name, graph, fraction) in enumerate(cases(count, most)):
        result = compare(graph, fraction)
        if result is not None:
            found[name, number, fraction] = result
    worse = {case: result for case, result in found.items() if result[0] > 1.05 * result[1]}
    assert not worse, worse
    assert len(found) >= decided and len({name for name, _, _ in found}) == 3, sorted(found)
    assert sum(least > 0 for _, least, _ in found.values()) >= decided
    return max(nodes for _, _, nodes in found.values())


def test_the_planner_recomputes_hardly_more_than_the_least_possible():
    assert check(24, 16, decided=10) >= 25


@pytest.mark.slow
def test_the_planner_recomputes_hardly_more_than_the_least_possible_in_graphs_of_sixty_nodes():
    assert check(60, 31, decided=25) >= 58
