"""The least recomputation under a memory limit, exactly: a mixed-integer program solved by HiGHS (scipy).

The model of execution is the planner's: a forward value is kept, or recomputed at most once, at some step of the
backward pass and not before what it reads is there; it lives until its last reader.
"""
import numpy as np
from scipy.optimize import Bounds, LinearConstraint, milp
from scipy.sparse import csr_matrix

from mxdl.passes.facts import Facts
from mxdl.passes.liveness import Curve
from mxdl.passes.recompute import Problem


class Rows:
    """Sparse inequalities `sum coefficient * variable <= bound`."""

    def __init__(self, num_variables: int):
        self.num_variables = num_variables
        self.entries: list[tuple[int, int, float]] = []
        self.bounds: list[float] = []

    def add(self, terms: list[tuple[int, float]], bound: float) -> None:
        self.entries.extend((len(self.bounds), variable, factor) for variable, factor in terms)
        self.bounds.append(bound)

    def constraint(self) -> LinearConstraint:
        rows, columns, values = zip(*self.entries, strict=True)
        matrix = csr_matrix((values, (rows, columns)), shape=(len(self.bounds), self.num_variables))
        return LinearConstraint(matrix, -np.inf, np.array(self.bounds))


def least_recomputation(problem: Problem, facts: Facts, everything: Curve, limit: int, seconds: float = 60
                        ) -> tuple[float, bytes] | None:
    """(the least sum of `problem.times`, what is kept); None where no plan's activations take at most `limit` bytes.

    Holds for plans whose forward nodes write over nothing and make no views.  Raises RuntimeError where the solver does
    not finish.
    """
    n, steps = problem.num_nodes, len(problem.backward)
    demands = [sorted({t for t, row in enumerate(problem.backward) if any(problem.makers[k] == i for k in row.inputs)})
               for i in range(n)]
    readers = [[j for j in range(n) if i in problem.sources(j)] for i in range(n)]
    # variables: keep[i], emitted[i, t] (a copy is there at step t), alive[i, t], held[i, t] (the original still lives)
    keep = list(range(n))
    emitted = [[n + i * steps + t for t in range(steps)] for i in range(n)]
    alive = [[n + (n + i) * steps + t for t in range(steps)] for i in range(n)]
    held = [[n + (2 * n + i) * steps + t for t in range(steps)] for i in range(n)]
    rows = Rows(n + 3 * n * steps)
    for i in range(n):
        for t in range(steps - 1):
            rows.add([(emitted[i][t], 1), (emitted[i][t + 1], -1)], 0)
        for t in demands[i]:
            rows.add([(keep[i], -1), (emitted[i][t], -1)], -1)
        for source in set(problem.sources(i)):
            for t in range(steps):
                rows.add([(emitted[i][t], 1), (keep[source], -1), (emitted[source][t], -1)], 0)
        last = demands[i][-1] if demands[i] else -1
        for t in range(steps):
            if t <= last:
                rows.add([(emitted[i][t], 1), (alive[i][t], -1)], 0)
                rows.add([(keep[i], 1), (held[i][t], -1)], 0)
            for j in readers[i]:   # a copy of j is made later, at which this one or the original is read
                later = [(emitted[j][steps - 1], 1), (emitted[j][t], -1)]
                rows.add([(emitted[i][t], 1), *later, (alive[i][t], -1)], 1)
                rows.add([(keep[i], 1), *later, (held[i][t], -1)], 1)
    outputs = {problem.makers[key] for key in problem.traffic.outputs}
    _limit_memory(rows, problem, everything, limit, outputs, keep, alive, held)
    times = np.zeros(rows.num_variables)
    for i in range(n):
        times[emitted[i][steps - 1]] = problem.times[i]
    low = np.zeros(rows.num_variables)
    low[[i for i in range(n) if facts.fixed[i]]] = 1
    ones = np.ones(rows.num_variables)
    found = milp(times / max(times.max(), 1e-30), constraints=rows.constraint(), integrality=ones,
                 bounds=Bounds(low, ones), options={"time_limit": seconds, "mip_rel_gap": 0.002})
    if found.status == 2:
        return None
    if found.x is None or found.status != 0:
        raise RuntimeError(f"the solver did not finish: {found.message}")
    return float(times @ np.round(found.x)), bytes(int(round(found.x[i])) for i in range(n))


def _limit_memory(rows, problem, everything, limit, outputs, keep, alive, held) -> None:
    """At every step of the forward and of the backward pass."""
    n, weight = problem.num_nodes, [sum(row.sizes) for row in problem.rows]
    last_read = [max([j for j in range(n) if i in problem.sources(j)], default=i) for i in range(n)]
    for f in range(n):
        terms, given = [], 0
        for i in range(f + 1):
            if last_read[i] >= f or i in outputs:
                given += weight[i]
            else:
                terms.append((keep[i], weight[i]))
        rows.add(terms or [(keep[0], 0)], limit - given)
    for t, beside in enumerate(_beside(problem, everything)):
        terms = [(which[i][t], weight[i]) for i in range(n) if i not in outputs for which in (alive, held)]
        given = sum(weight[i] for i in outputs)
        copies = [(alive[i][t], weight[i]) for i in outputs]
        rows.add(terms + copies, limit - given - beside)


def _beside(problem: Problem, everything: Curve) -> list[int]:
    """Bytes of gradients on their way and of heads at each backward step."""
    found = []
    for step in range(everything.num_forward, len(everything.activations)):
        forward = sum(b.num_bytes for b in everything.blocks
                      if b.start <= step < b.end and problem.makers[b.value] >= 0)
        found.append(everything.activations[step] - forward)
    return found
