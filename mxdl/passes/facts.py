"""What a planner needs to know of each forward node of a plan, beside the exact counts."""
from __future__ import annotations

from dataclasses import dataclass
from itertools import accumulate, islice

from .liveness import Curve
from .recompute import Choice, Problem


@dataclass
class Facts:
    """One entry a position.

    weight: bytes that keeping its values holds.   held: bytes of those values that the backward pass reads itself, so
    that a copy lives for a while; 0 for what is only passed through.   last_use: the last forward node that reads them
    for the backward pass's sake.   times: seconds to make the values from what the backward pass reads or keeps anyway:
    the node's own and those of nodes that only lead to it.   readers: forward nodes that read it.   beside: most bytes
    of gradients and scratch memory alive while the backward pass is there.
    keeping: seconds that keeping a node's values takes (`Problem.keeping`).
    minor: nodes of which the backward pass reads little that has to be made again (LayerNorm: mean and deviation, not
    the data), each with the nodes that read the rest: where those are kept, it costs next to nothing to keep it too.
    leading: nodes of which the backward pass reads little or nothing, each with its readers: a copy is of use for as
    long as theirs are made.
    """

    weight: list[int]
    held: list[int]
    last_use: list[int]
    times: list[float]
    readers: list[int]
    beside: list[int]
    fixed: bytes
    keeping: list[float]
    minor: dict[int, tuple[int, ...]]
    leading: dict[int, tuple[int, ...]]


def facts_of(problem: Problem, everything: Curve) -> Facts:
    """everything: the curve of the plan that keeps everything."""
    n = problem.num_nodes
    weight = _weights(problem)
    held = _held(problem, weight)
    direct = [h >= 0 for h in held]
    sources = [list(dict.fromkeys(problem.sources(p))) for p in range(n)]
    needed = direct[:]
    last_use = list(range(n))
    readers = [0] * n
    for p in range(n - 1, -1, -1):
        for source in sources[p]:
            needed[source] = needed[source] or needed[p]
            readers[source] += 1
    for p in range(n):
        for source in sources[p]:
            if needed[p] or direct[source]:
                last_use[source] = p
    leading = _leading(weight, held, sources)
    minor = {p: readers for p, readers in leading.items() if held[p] >= 0}
    main = [d and p not in minor for p, d in enumerate(direct)]
    held = [max(h, 0) if p in minor or h < 0 else weight[p] for p, h in enumerate(held)]
    return Facts(weight, held, last_use, _times(problem, sources, main, readers), readers,
                 _beside(problem, everything), problem.fixed, [sum(problem.keeping.get(key, 0.0) for key in row.outputs)
                                                      for row in problem.rows], minor, leading)


def _held(problem: Problem, weight: list[int]) -> list[int]:
    """Bytes of each node's outputs that the backward pass reads itself; -1 where it reads none."""
    held = [-1] * problem.num_nodes
    for key in dict.fromkeys(key for row in problem.backward for key in row.inputs):
        maker = problem.makers[key]
        if problem.is_remade[key]:
            row = problem.rows[maker]
            size = row.sizes[key - row.outputs[0]] if any(row.sizes) else weight[maker]
            held[maker] = max(held[maker], 0) + size
    return held


def _leading(weight: list[int], held: list[int], sources: list[list[int]]) -> dict[int, tuple[int, ...]]:
    found: dict[int, list[int]] = {p: [] for p, (w, h) in enumerate(zip(weight, held, strict=True)) if 8 * h < w}
    for reader, read in enumerate(sources):
        for source in read:
            if source in found:
                found[source].append(reader)
    return {p: tuple(readers) for p, readers in found.items() if readers}


def _beside(problem: Problem, everything: Curve) -> list[int]:
    kept = [0] * (len(everything.live) + 1)
    for block in everything.blocks:
        if problem.makers[block.value] >= 0:
            kept[block.start] += block.num_bytes
            kept[block.end] -= block.num_bytes
    found = [0] * problem.num_nodes
    steps = zip(everything.activations, accumulate(kept), strict=False)
    for cursor, (alive, forward) in zip(problem.cursors, islice(steps, everything.num_forward, None), strict=True):
        found[cursor] = max(found[cursor], alive - forward)
    return found


def _weights(problem: Problem) -> list[int]:
    """Bytes that a node's values hold; of a view, what it is a view of."""
    weight: list[int] = []
    read = {key for row in (*problem.rows, *problem.backward) for key in row.inputs if problem.is_remade[key]}
    for row in problem.rows:
        own = sum(size for key, size in zip(row.outputs, row.sizes, strict=True) if key in read)
        if not own and not any(row.sizes) and row.inputs and problem.makers[row.inputs[0]] >= 0:
            own = weight[problem.makers[row.inputs[0]]]
        weight.append(own)
    return weight


def _times(problem: Problem, sources: list[list[int]], direct: list[bool], readers: list[int]) -> list[float]:
    times: list[float] = []
    for p in range(problem.num_nodes):
        passed = sum(times[s] / readers[s] for s in sources[p] if not direct[s] and not problem.fixed[s])
        times.append(problem.times[p] + passed)
    return times


def settled(facts: Facts, choice: Choice) -> Choice:
    """`choice` with the minor nodes kept, or for as long, where all that read them are."""
    keep, level = bytearray(choice.keep), list(choice.level)
    for p, readers in facts.minor.items():
        if all(keep[reader] for reader in readers):
            keep[p] = 1
        if level:
            level[p] = min(level[p], max(level[reader] for reader in readers))
    return choice._replace(keep=bytes(keep), level=tuple(level))
