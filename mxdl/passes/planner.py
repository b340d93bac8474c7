"""The planner: which forward values to keep and which to recompute, so that a step fits into the memory given.

Every candidate is counted to the byte (`recompute.evaluate`); what is tried comes from three families: cuts in segments
of many sizes, thresholds of seconds per byte, and segments within segments.  A candidate that leaves room is filled up
with the values that save most time per byte.
"""
from __future__ import annotations

import contextlib
import gc
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from ..errors import GraphError
from ..types import TensorType
from .cost import fused_times, machine_rates, seconds_of
from .goal import Goal
from .infer_types import Types, describe
from .mirror import forward_nodes, keep_costly, mirror
from .plan import Plan, plan_types
from .recompute import Outcome, Problem, evaluate, problem_of
from .search import Search


class Planned(NamedTuple):
    """A plan that recomputes, and what the planner knows of it.   before: of keeping everything.   after: of this plan.
    problem: the numbers of the plan without recomputation."""

    plan: Plan
    types: Types
    before: Outcome
    after: Outcome
    problem: Problem


def mirrored(plan: Plan, goal: Goal, known: Mapping[str, TensorType] | None, fused: bool = False) -> Plan:
    """`plan` (which recomputes nothing) with the recomputation that `goal` asks for.   fused: for programs that are
    compiled by what fuses loops (see `in_loops`)."""
    if goal.kind == "all" or not any(v is not None for v in plan.grads):
        return plan
    if goal.kind == "costly":
        return mirror(plan, keep_costly(forward_nodes(plan)))
    if known is None:
        raise GraphError(f"mirror: the mode {goal.kind!r} counts bytes; got no types of the variables; give them")
    return planned(plan, plan_types(plan, known), goal, fused).plan


def planned(plan: Plan, types: Types, goal: Goal, fused: bool = False) -> Planned:
    """The best plan found for `goal`.  Raises GraphError where the memory is too little, with the least that is not."""
    with _uncollected():
        rates = machine_rates()
        problem = problem_of(plan, types, seconds_of(types, rates), fused_times(rates) if fused else None)
        search = Search(problem)
        before = search.everything
        after = _chosen(search, goal, problem)
        return Planned(plan if after is before else mirror(plan, after.choice), types, before, after, problem)


@contextlib.contextmanager
def _uncollected() -> Iterator[None]:
    """Without Python's collector of cycles: planning makes millions of small tuples and no cycle, and the collector
    would walk over all of them again and again."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def _chosen(search: Search, goal: Goal, problem: Problem) -> Outcome:
    before = search.everything
    if goal.kind == "all":
        return before
    if goal.kind == "costly":
        return evaluate(problem, keep_costly(problem.nodes))
    search.counts_activations = goal.kind != "bytes"
    if goal.kind in ("sqrt", "min"):
        return search.least(goal.max_recompute, thorough=goal.kind == "min")
    if goal.kind == "fraction":
        limit = int(goal.amount * before.curve.activation_peak)
    else:
        limit = int(goal.amount)
    if search.peak(before) <= limit and not problem.is_fused:
        return before
    found = search.within(limit, goal.max_recompute)
    if found is None:
        raise _too_little(search, limit, goal, problem)
    return found


def _too_little(search: Search, limit: int, goal: Goal, problem: Problem) -> GraphError:
    """The error of a budget that no plan meets: the least peak, and what holds it up."""
    least = search.least(goal.max_recompute, thorough=True)
    curve = least.curve
    series = curve.activations if search.counts_activations else curve.live
    step = series.index(max(series))
    held = "; ".join(f"{size / 2**20:.1f} MiB of {_named(key, problem)}" for key, size in curve.alive_at(step)[:5])
    own = f"{curve.scratch[step] / 2**20:.1f} MiB that a kernel takes for itself; " if curve.scratch.get(step) else ""
    fixed = "" if search.counts_activations else f"{curve.fixed / 2**20:.1f} MiB of variables; "
    more = "" if goal.max_recompute > 1 else ", allow more recomputation (max_recompute=2)"
    return GraphError(f"mirror: no plan fits into the memory given; got {limit} bytes, the least possible peak found is"
                      f" {search.peak(least)} bytes, held up by {fixed}{own}{held}; give that much{more}, or "
                      f"take a smaller batch")


def _named(key: int, problem: Problem) -> str:
    """The node that made a value, copies and gradients included, with its block."""
    maker = problem.makers[key] if key < len(problem.makers) else -1
    if maker >= 0:
        return describe(problem.nodes[maker])
    return "a recomputed value" if key >= len(problem.makers) else "a gradient"
