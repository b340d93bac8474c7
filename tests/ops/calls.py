"""Calls of operators that the generic tests run: every sample of every entry, and every call that gradient rules make.

Nothing here names an operator: a new entry is tested from the day it stands in the registry.
"""
from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import cache, wraps
from typing import Any, NamedTuple

import pytest
import torch

from mxdl.ops import registry
from mxdl.ops.operator import GradientCall, NotDifferentiable, Operator
from tests.parity.kernels import Call, differentiable_inputs, forward, reserved, tensors


class Case(NamedTuple):
    """A call of `op`: sample number `sample` of `source`, or a call that its gradient rule makes on that sample."""

    op: Operator
    call: Call
    source: Operator
    sample: int

    def __repr__(self) -> str:
        made_by = "" if self.op is self.source else f"{self.op.name} in the gradient of "
        return f"{made_by}{self.source.name} {self.source.samples[self.sample]}"


class Traced(NamedTuple):
    """A value for gradient rules that is neither graph nor tensor: it runs each operator and writes the call down."""

    tensor: torch.Tensor
    calls: list[tuple[Operator, list[torch.Tensor], dict[str, Any]]]

    @staticmethod
    def apply_operator(op: Operator, inputs: Any, attrs: dict[str, Any]) -> Any:
        calls = next(x.calls for x in inputs if isinstance(x, Traced))
        arrays = [x.tensor if isinstance(x, Traced) else x for x in inputs]
        calls.append((op, arrays, dict(attrs)))
        with torch.no_grad():
            outputs = op.bind(attrs)(*arrays)
        return tuple(Traced(x, calls) for x in outputs) if isinstance(outputs, tuple) else Traced(outputs, calls)


def call_of(op: Operator, index: int) -> Call:
    """Sample number `index` as a call, with the inputs to differentiate by."""
    sample = op.samples[index]
    call = Call(sample.arrays(), sample.attrs, sample.training)
    if isinstance(op.gradient_rule, NotDifferentiable) or not has_float_outputs(op, call):
        return call
    wanted = differentiable_inputs(op, call) if sample.differentiable is None else sample.differentiable
    return call._replace(grad=tuple(wanted))


def has_float_outputs(op: Operator, call: Call) -> bool:
    """Whether a gradient can come in; a kernel that fails is left to the tests of kernels."""
    try:
        result = forward(op, call)
    except Exception:  # noqa: BLE001
        return True
    return any(out.is_floating_point() for out in result.outputs[:result.visible])


@cache
def sample_cases() -> tuple[Case, ...]:
    return tuple(Case(op, call_of(op, i), op, i) for op in registry.all() for i in range(len(op.samples)))


def head_gradients(outputs: list[torch.Tensor]) -> list[torch.Tensor | None]:
    """An uneven gradient for each output that is a float: a constant one would hide exchanged axes."""
    generator = torch.Generator().manual_seed(7)
    return [torch.rand(out.shape, generator=generator, dtype=torch.float64).add(0.5).to(out.dtype)
            if out.is_floating_point() else None for out in outputs]


def visible_heads(op: Operator, outputs: list[torch.Tensor], visible: int) -> list[torch.Tensor | None]:
    """Gradients flow into the outputs that the caller sees."""
    return head_gradients(outputs[:visible]) + [None] * (len(outputs) - visible)


def rule_call(op: Operator, call: Call, wrap=lambda tensor: tensor) -> GradientCall:
    """What the explicit rule of `op` is given for `call`, each tensor wrapped."""
    result = forward(op, call)
    heads = visible_heads(op, result.outputs, result.visible)
    attrs = {**op.filled(op.parse(call.attrs)), "training": call.training, **reserved(op, call)}
    return GradientCall(tuple(map(wrap, tensors(call.inputs))), tuple(map(wrap, result.outputs)),
                        tuple(None if d is None else wrap(d) for d in heads),
                        tuple(i in call.grad for i in range(len(call.inputs))), attrs)


def calls_of_rule(case: Case) -> Iterator[Case]:
    """The calls of internal operators (those without samples) that the rules of a case make: for its gradient, and to
    make its first output again."""
    calls: list = []
    case.op.gradient_rule(rule_call(case.op, case.call, lambda tensor: Traced(tensor, calls)))
    if case.op.again_rule is not None:
        given = rule_call(case.op, case.call)
        again = case.op.again_rule(given.inputs, given.outputs, given.attrs)
        calls += [] if again is None else [again]
    for op, inputs, attrs in calls:
        if not op.samples:
            typed = {name: value for name, value in attrs.items() if name in op.attributes}
            arrays = [x.detach().numpy().copy() for x in inputs]
            yield Case(op, Call(arrays, typed, attrs.get("training", case.call.training)), case.op,
                       case.sample)


@cache
def inner_cases() -> tuple[Case, ...]:
    """Calls of internal operators, collected from the gradient rules of every sample.

    A rule that fails is left to the gradient tests, which tell why.
    """
    found = []
    for case in sample_cases():
        if case.call.grad and callable(case.op.gradient_rule):
            try:
                found += calls_of_rule(case)
            except Exception:  # noqa: BLE001, S112
                continue
    return tuple(found)


def all_cases() -> tuple[Case, ...]:
    return sample_cases() + inner_cases()


def for_each(cases: Iterable[Case]) -> Callable:
    """Decorates test(case): one test an operator, which runs all its cases; a failure says which case it was.

    A thousand cases cost less this way than a thousand tests.
    """
    groups: dict[Operator, list[Case]] = {}
    for case in cases:
        groups.setdefault(case.op, []).append(case)

    def decorate(test: Callable) -> Callable:
        @pytest.mark.parametrize("op", groups, ids=lambda op: op.name)
        @wraps(test, assigned=("__module__", "__name__", "__qualname__", "__doc__"), updated=())
        def run(op):
            for case in groups[op]:
                try:
                    test(case)
                except Exception as error:
                    error.add_note(f"on {case}")
                    raise
        del run.__wrapped__
        return run
    return decorate
