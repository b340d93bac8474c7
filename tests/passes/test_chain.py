"""Segments within segments by dynamic programming: as good as trying them all, and counted to the byte."""
from functools import lru_cache
from itertools import pairwise

import numpy as np
import pytest

from mxdl.passes.chain import UNITS, Chain, Keeping, Table, chain_of, leaf_ends, needs
from mxdl.passes.goal import goal_of
from mxdl.passes.planner import planned
from mxdl.passes.recompute import problem_of
from mxdl.passes.search import Search
from mxdl.passes.segments import keep_crossing
from mxdl.types import TensorType
from tests.passes.plans import dense_chain, plain_plan

UNIT = 256 * 64 * 4   # bytes of a layer's output


def search_of(length: int) -> Search:
    plan, types = plain_plan(dense_chain(length), {"x": TensorType((256, 64))})
    problem = problem_of(plan, types, lambda node: 1.0)
    search = Search(problem)
    search.counts_activations = True
    return search


def table_of(search: Search, most: float) -> Table:
    cuts = leaf_ends(search.facts)
    need = needs(search.problem, search.evaluate(keep_crossing(search.facts, cuts)), cuts)
    return Table(chain_of(search.facts, search.problem.times, cuts, need), most)


def least_by_trying(num_leaves: int, size: int, crossing: int, need: int, room: int) -> float:
    """Runs of leaves, without the first, of the best schedule of a uniform chain, by plain recursion."""
    @lru_cache(None)
    def runs(count: int, left: int) -> float:
        if count == 1:
            return 1 if left >= need else np.inf
        found = 1 + runs(count - 1, left - size) if left >= max(size, need) else np.inf
        for first in range(1, count):
            if left >= crossing:
                found = min(found, first + runs(count - first, left - crossing) + runs(first, left))
        return found
    return runs(num_leaves, room) - num_leaves


@pytest.mark.parametrize("room", [6, 8, 10, 16, 24, 40])
def test_the_table_finds_the_best_schedule_of_a_uniform_chain(room):
    count, size, crossing, need = 24, 2, 1, 4
    i, k = np.arange(count)[:, None], np.arange(count + 1)[None, :]
    chain = Chain(list(range(count)), np.ones(count), np.full(count, float(need)),
                  [[Keeping(float(size), 0.0, ())]] * count, np.where(k > i, float(crossing), 0.0))
    table = Table(chain, UNITS)   # a unit is a byte
    assert table.seconds()[room] == least_by_trying(count, size, crossing, need, room)


@pytest.mark.parametrize("length", [40, 90])
def test_the_schedule_that_is_read_off_takes_no_more_than_the_table_says(length):
    """The table counts a leaf's last node, which its own backward pass may not read: hence the range."""
    search = search_of(length)
    table = table_of(search, 30 * UNIT)
    seconds = table.seconds()
    checked = 0
    for units in range(40, UNITS, 30):
        if np.isfinite(seconds[units]):
            found = search.evaluate(table.choice(search.facts, units))
            assert 0.6 * seconds[units] <= found.time <= seconds[units] + 2
            assert found.curve.activation_peak <= units * table.unit + 3 * UNIT
            checked += 1
    assert checked >= 3


def test_less_memory_never_takes_less_time():
    seconds = table_of(search_of(60), 30 * UNIT).seconds()
    finite = seconds[np.isfinite(seconds)]
    assert len(finite) > UNITS // 2 and all(a >= b for a, b in pairwise(finite))


def test_a_budget_below_one_level_of_segments_is_met_with_recomputation_within_recomputation():
    plan, types = plain_plan(dense_chain(200), {"x": TensorType((256, 64))})
    least = planned(plan, types, goal_of("min")).after.curve.activation_peak
    before = planned(plan, types, goal_of(False)).before.curve.activation_peak
    found = planned(plan, types, goal_of(0.6 * least / before, max_recompute=2)).after
    forward = sum(planned(plan, types, goal_of(False)).problem.times)
    assert found.curve.activation_peak <= 0.6 * least
    assert forward < found.time <= 2 * forward
