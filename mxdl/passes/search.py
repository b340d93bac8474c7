"""The search among choices: candidates, exact counts, and filling up with what saves most time per byte."""
from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from .chain import UNITS, Table, chain_of, leaf_ends, needs
from .exchange import Exchange
from .facts import Facts, facts_of, settled
from .recompute import Choice, Outcome, Problem, evaluate
from .segments import cuts_for, even_levels, keep_crossing, tree

#: bins of time in which filling up looks at the curve of a long plan
_BINS = 2048
#: nodes up to which changes are tried one by one, and of how many candidates
_SMALL, _STARTS = 60, 3
#: nodes from which on every count takes seconds, so that only a few are made
_LONG = 20_000


class Search:
    """Counts candidates for one plan.  counts_activations: whether the memory that counts is that of activations alone
    (without variables and the gradients that the plan returns)."""

    def __init__(self, problem: Problem):
        self.problem = problem
        self.counts_activations = False
        self._is_long = problem.num_nodes > _LONG
        self.num_evaluated = 0
        self._known: dict[Choice, Outcome] = {}
        self.everything = evaluate(problem, Choice(bytes([1]) * problem.num_nodes))
        self.facts: Facts = facts_of(problem, self.everything.curve)
        self.forward_time = sum(problem.times)

    def evaluate(self, choice: Choice) -> Outcome:
        choice = settled(self.facts, choice)
        if choice.level:
            self.num_evaluated += 1
            return evaluate(self.problem, choice)
        if choice not in self._known:
            self.num_evaluated += 1
            if len(self._known) > 4 and self.problem.num_nodes > 1000:   # an outcome takes 0.5 kB a node
                self._known.clear()
            self._known[choice] = evaluate(self.problem, choice)
        return self._known[choice]

    def peak(self, outcome: Outcome) -> int:
        return outcome.curve.activation_peak if self.counts_activations else outcome.curve.peak

    # -- the least memory -------------------------------------------------------------------------------------
    def least(self, max_recompute: float, thorough: bool) -> Outcome:
        """The choice of least peak (then of least time) with at most `max_recompute` extra forward passes."""
        found = self._least_of_one_level(thorough)
        found = min([found, *self._nested(self.peak(found), max_recompute, thorough)], key=self.by_peak)
        return self._filled(found, self.peak(found)) if thorough else found

    def _least_of_one_level(self, thorough: bool) -> Outcome:
        found, room = self._least_segmented(self._rooms(1.3))
        for spread in () if not thorough else (1.1,) if self._is_long else (1.06, 1.015):
            reach = 3 if self._is_long else 6
            near, near_room = self._least_segmented([int(room * spread ** i) for i in range(-reach, reach + 1)])
            if self.by_peak(near) < self.by_peak(found):
                found, room = near, near_room
        if thorough and self.problem.num_nodes <= _SMALL:
            found = Exchange(self, None).improved(found)
        return found

    def by_peak(self, outcome: Outcome) -> tuple[int, float]:
        return self.peak(outcome), outcome.time

    def _least_segmented(self, rooms: Sequence[int]) -> tuple[Outcome, int]:
        """The least peak by cuts in segments, and the room of the segments; also what keeps everything."""
        found = self.everything, max(rooms)
        for room, choice in self._segmented(rooms, 60):
            found = min(found, (self.evaluate(choice), room), key=lambda pair: self.by_peak(pair[0]))
        return found

    def _segmented(self, rooms: Sequence[int], most: int) -> list[tuple[int, Choice]]:
        """Cuts in segments of those sizes; of a long plan, those that an estimate says are the best."""
        estimates: dict[tuple[int, ...], tuple[int, int]] = {}
        for room in rooms:
            for shrinking in (True,) if self._is_long else (True, False):
                cuts = cuts_for(self.facts, room, shrinking)
                if cuts is not None and tuple(cuts) not in estimates:
                    estimates[tuple(cuts)] = self._estimate(cuts), room
        ranked = sorted(estimates, key=lambda cuts: (estimates[cuts], len(cuts)))[:self._count(most)]
        return [(estimates[cuts][1], keep_crossing(self.facts, cuts)) for cuts in ranked]

    def _rooms(self, ratio: float) -> list[int]:
        """Bytes of a segment, from the largest node to half of all, `ratio` apart; coarser for a long plan."""
        facts = self.facts
        total = sum(facts.held) + max(facts.beside, default=0)
        largest = max((a + b for a, b in zip(facts.held, facts.beside, strict=True)), default=0)
        ratio = ratio if self.problem.num_nodes <= 5000 else max(ratio, 1.5)
        rooms, room = [], float(max(largest, 1))
        while room < total:
            rooms.append(int(room))
            room = max(room * ratio, room + 1)
        return [*rooms, total]

    def _estimate(self, cuts: list[int]) -> int:
        """Bytes kept before a segment and recomputed in it, at most."""
        facts, kept, worst, start = self.facts, 0, 0, 0
        for cut in (*cuts, len(facts.weight) - 1):
            size = kept
            for i in range(start, cut + 1):
                size += facts.held[i]
                worst = max(worst, size + facts.beside[i])
                kept += facts.weight[i] if facts.last_use[i] > cut else 0
            start = cut + 1
        return worst

    def _count(self, most: int) -> int:
        """How many candidates of a kind to count exactly: fewer for a long plan."""
        return max(1 if self._is_long else 2, min(most, 60_000 // max(self.problem.num_nodes, 1)))

    # -- segments within segments -----------------------------------------------------------------------------
    def _nested(self, peak: int, max_recompute: float, thorough: bool) -> list[Outcome]:
        """Segments within segments that may take less than `peak` bytes, as many as the extra forward passes allow."""
        outcomes = []
        if max_recompute > 1 or (thorough and not self._is_long):
            table = self._table(peak)
            enough = np.flatnonzero(table.seconds() <= max_recompute * self.forward_time)
            outcomes = [self.evaluate(table.choice(self.facts, units)) for units in enough[:self._count(3)]]
        deepest = int(min(max_recompute, math.log2(max(self.problem.num_nodes, 2))))
        for depth in (d for d in (3, 4, 5, 6, 8, 10, 12, 16, 20) if d <= deepest):
            for room in self._rooms(2.0)[:self._count(6)]:
                cuts = cuts_for(self.facts, room, shrinking=False)
                if cuts and len(cuts) + 1 >= 2 ** depth:
                    outcomes.append(self.evaluate(tree(self.facts, even_levels(cuts, depth))))
        return [outcome for outcome in outcomes if outcome.time <= max_recompute * self.forward_time]

    def _table(self, limit: int) -> Table:
        """Of the best segments within segments, for amounts of memory up to a peak of `limit`."""
        cuts = leaf_ends(self.facts)
        outcome = self.evaluate(keep_crossing(self.facts, cuts))
        chain = chain_of(self.facts, self.problem.times, cuts, needs(self.problem, outcome, cuts))
        curve = self.everything.curve
        return Table(chain, limit if self.counts_activations else max(limit - (curve.peak - curve.activation_peak), 1))

    def _chained(self, limit: int, max_recompute: float) -> list[Outcome]:
        """The best segments within segments whose peak is at most `limit`: the table's bytes are an estimate, which
        the exact count of each try corrects."""
        table = self._table(limit)
        seconds, units = table.seconds(), UNITS
        for _ in range(2 if self._is_long else 6):
            if units < 0 or not seconds[units] <= 1.2 * max_recompute * self.forward_time:
                break
            found = self.evaluate(table.choice(self.facts, units))
            excess = self.peak(found) - limit
            if excess <= 0:
                return [found] if found.time <= max_recompute * self.forward_time else []
            units -= max(1, math.ceil(excess / table.unit))
        return []

    # -- a budget ---------------------------------------------------------------------------------------------
    def within(self, limit: int, max_recompute: float) -> Outcome | None:
        """The choice of least time whose peak is at most `limit`; None where there is none."""
        segmented = [choice for _, choice in self._segmented(self._rooms(1.12), 100)]
        bases = map(self.evaluate, (*segmented, *self._thresholds()))
        fitting = [base for base in bases if self.peak(base) <= limit]
        fitting.extend(self._chained(limit, max_recompute))
        if all(base.choice.level for base in fitting) and (not fitting or self.problem.num_nodes <= _SMALL):
            least = [self._least_of_one_level(thorough=True)]
            if not fitting and self.peak(least[0]) > limit:
                least = self._nested(self.peak(least[0]), max_recompute, thorough=True)
            fitting.extend(base for base in least if self.peak(base) <= limit)
        if not fitting:
            return None
        filled = [self._filled(base, limit) for base in sorted(fitting, key=lambda o: o.time)[:self._count(40)]]
        filled.sort(key=lambda o: (o.time, self.peak(o)))
        if self.problem.num_nodes <= _SMALL:
            plain = [one for one in filled if not one.choice.level]
            filled.extend([Exchange(self, limit).improved(one) for one in plain[:_STARTS]])
        return min(filled, key=lambda o: (o.time, self.peak(o)))

    def _thresholds(self) -> list[Choice]:
        """Keep what takes at least so many seconds a byte to recompute, for many thresholds."""
        density = self._densities()
        ranked = sorted({d for d, held in zip(density, self.facts.held, strict=True) if held})
        if not ranked:
            return []
        count = self._count(12)
        picked = {ranked[len(ranked) * i // count] for i in range(count)}
        fixed = self.facts.fixed
        return [Choice(bytes(f or d >= least for f, d in zip(fixed, density, strict=True))) for least in sorted(picked)]

    def _densities(self) -> list[float]:
        facts = self.facts
        return [0 if p in facts.minor else time / weight if weight else math.inf
                for p, (time, weight) in enumerate(zip(facts.times, facts.weight, strict=True))]

    # -- filling up -------------------------------------------------------------------------------------------
    def _filled(self, base: Outcome, limit: int) -> Outcome:
        """`base` with more kept, as long as its peak stays within `limit`: the most seconds a byte first."""
        best, allowed = base, limit
        for _ in range(2 if self._is_long else 6):
            choice = self._fill(best, allowed)
            if choice == best.choice:
                break
            tried = self.evaluate(choice)
            excess = self.peak(tried) - limit
            if excess > 0:
                allowed -= excess
            elif tried.time < best.time:
                best = tried
            else:
                break
        return best

    def _fill(self, base: Outcome, limit: int) -> Choice:
        """What more to keep so that, by the curve of `base`, its peak stays within `limit`: from the forward pass on,
        or, in nested segments, from the first copy on."""
        facts = self.facts
        series = np.asarray(base.curve.activations if self.counts_activations else base.curve.live, dtype=np.int64)
        width = -(-len(series) // _BINS)
        room = limit - np.maximum.reduceat(series, np.arange(0, len(series), width))
        cloned: dict[int, list[int]] = {}
        for position, step in base.cloned:
            cloned.setdefault(position, []).append(step)
        options: list[tuple[float, int, int, int]] = []   # (seconds a byte, less than 0; position; from; to)
        for p, steps in cloned.items():
            if facts.weight[p] and p not in facts.minor and (facts.held[p] or facts.readers[p] > 1):
                gain = (facts.keeping[p] - facts.times[p]) / facts.weight[p]
                if gain >= 0:   # dearer to keep
                    continue
                options.append((gain * len(steps), p, p, steps[-1]))
                if len(steps) > 1 and base.choice.level[p] > 1:
                    options.append((gain * (len(steps) - 1), p, steps[0], steps[-1]))
        keep, level = bytearray(base.choice.keep), list(base.choice.level)
        changed = set()
        for _, p, start, end in sorted(options):
            span = room[start // width:max(end - 1, start) // width + 1]
            if p not in changed and span.min() >= facts.weight[p]:
                span -= facts.weight[p]
                changed.add(p)
                if start == p:
                    keep[p] = 1
                else:
                    level[p] -= 1
        return base.choice._replace(keep=bytes(keep), level=tuple(level))
