"""The stored answers that an exported file checks itself against: inputs by a formula, outputs of the framework."""
from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch

from ..executor.program import Program
from ..graph import Graph, Value
from ..passes.infer_types import infer_types
from ..passes.pipeline import inference_plan
from ..types import TORCH_DTYPES, TensorType

MOST_VALUES = 256   # kept of each output


class Expected(NamedTuple):
    """The first values of one output."""

    values: list[float]


def formula_input(kind: TensorType, number: int) -> torch.Tensor:
    """Input `number` (from 0) of a self-test; selftest.c.in states and repeats the formula."""
    raw = _random_words(kind.size, number + 1) >> np.uint32(8)
    is_float = TORCH_DTYPES[kind.dtype].is_floating_point
    array = raw / 8388608 - 1 if is_float else np.ones(kind.size, np.int64)
    return torch.from_numpy(array).reshape(kind.shape).to(TORCH_DTYPES[kind.dtype])


def _random_words(count: int, state: int) -> np.ndarray:
    """uint32[count] of s = 1664525 s + 1013904223 (mod 2^32), doubling what is known at each step."""
    words = np.empty(count, np.uint32)
    if not count:
        return words
    words[0] = (1664525 * state + 1013904223) % 2**32
    known, factor, term = 1, 1664525, 1013904223
    while known < count:
        more = min(known, count - known)
        words[known:known + more] = words[:more] * np.uint32(factor) + np.uint32(term)
        factor, term = factor * factor % 2**32, (factor * term + term) % 2**32
        known += more
    return words


def expected_outputs(graph: Graph, parameters: Mapping[str, torch.Tensor],
                     inputs: Mapping[str, TensorType]) -> list[Expected]:
    """What the framework gives for the formula's inputs, in predict mode."""
    given = dict(parameters)
    given |= {n.name: formula_input(inputs[n.name], i)
              for i, n in enumerate(n for n in graph.inputs if n.name in inputs)}
    types = infer_types(graph, {n.name: _type(given[n.name]) for n in graph.inputs if n.name in given})
    known = {n.name: types[Value(n, 0)] for n in graph.inputs}
    plan = inference_plan(graph, False, known)
    program = Program(plan.outputs, [Value(node, 0) for node in plan.inputs])
    values = [given[n.name] if n.name in given else torch.zeros(known[n.name].shape) for n in plan.inputs]   # labels
    with torch.no_grad():
        results = program.run(values, [0] * plan.num_seeds)   # nothing is drawn: drawing has no C kernel
    return [first_values(result) for result in results]


def first_values(output: torch.Tensor) -> Expected:
    return Expected(output.reshape(-1)[:MOST_VALUES].double().tolist())


def _type(tensor: torch.Tensor) -> TensorType:
    return TensorType(tuple(tensor.shape), str(tensor.dtype).removeprefix("torch."))


def expected_text(outputs: Sequence[Expected]) -> str:
    """C tables of the values."""
    lines = [f"static const double expected_{i}_[] = {{{', '.join(map(_number, one.values)) or '0'}}};"
             for i, one in enumerate(outputs)]
    rows = ", ".join(f"{{{len(one.values)}, expected_{i}_}}" for i, one in enumerate(outputs))
    lines.append(f"static const struct {{ size_t count; const double *values; }} expected_[] = {{{rows}}};")
    return "\n".join(lines)


def _number(value: float) -> str:
    if value != value:
        return "NAN"
    if value in (float("inf"), float("-inf")):
        return "INFINITY" if value > 0 else "-INFINITY"
    return f"{value:.9g}" if value != int(value) or abs(value) >= 2**53 else str(int(value))
