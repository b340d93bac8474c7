"""Every entry of the registry is complete: it says what it does, how it is tested, and whether it has a gradient."""
from __future__ import annotations

import inspect

import numpy as np
import pytest
import torch

from mxdl.errors import OperatorError
from mxdl.ops import registry
from mxdl.ops.attributes import attribute_text
from mxdl.ops.operator import NotDifferentiable
from tests.ops.calls import for_each, inner_cases, sample_cases
from tests.parity.kernels import forward, reserved, tensors

# The registry may not lose entries: raise these when it grows.
OPERATORS, SAMPLES, EXPLICIT_GRADIENTS = 300, 600, 130


def test_counts():
    ops = registry.all()
    assert len(ops) >= OPERATORS
    assert sum(len(op.samples) for op in ops) >= SAMPLES
    assert sum(callable(op.gradient_rule) for op in ops) >= EXPLICIT_GRADIENTS


@pytest.mark.parametrize("op", registry.all(), ids=lambda op: op.name)
def test_entry_says_what_it_does(op):
    assert len(op.doc) > 4, f"{op.name}: no docstring; say in one line what it computes"
    assert op.name not in op.aliases
    assert not op.updates or max(op.updates) < op.num_outputs(op.samples[0].attrs if op.samples else {})


def test_operators_without_samples_are_parts_of_gradients():
    """An internal operator is tested by the calls that rules make; any other one needs samples."""
    reached = {case.op for case in inner_cases()}
    untested = [op.name for op in registry.all() if not op.samples and op not in reached]
    assert not untested, f"nothing tests {untested}: give them samples, or call them from a rule that a sample reaches"


def test_operators_without_samples_are_internal():
    public = [op.name for op in registry.all() if not op.samples and op.parity is not None]
    assert not public, f"public operators without samples: {public}; without MXNet's counterpart they say parity=None"


def test_silence_means_differentiable():
    """An operator through which no gradient flows on any sample says NOT_DIFFERENTIABLE."""
    flows: dict = {}
    for case in sample_cases():
        if case.op.gradient_rule is None:
            flows[case.op] = flows.get(case.op, False) or carries_gradient(case)
    silent = [op.name for op, flow in flows.items() if not flow]
    assert not silent, f"no gradient flows through {silent}: say gradient=NOT_DIFFERENTIABLE"


def carries_gradient(case) -> bool:
    leaves = [x.requires_grad_() if x.is_floating_point() else x for x in tensors(case.call.inputs)]
    outputs = case.op.bind(case.op.parse(case.call.attrs))(*leaves, **reserved(case.op, case.call))
    outputs = outputs if isinstance(outputs, tuple) else (outputs,)
    return any(out.requires_grad for out in outputs)


@for_each(sample_cases())
def test_attributes_as_mxnet_writes_them(case):
    """Attribute strings, as MXNet's files hold them, mean the same as the values."""
    texts = {name: attribute_text(value) for name, value in case.call.attrs.items()}
    assert case.op.parse(texts) == case.op.parse(case.call.attrs)


def test_unknown_attribute_names_the_nearest():
    op = next(op for op in registry.all() if op.samples and op.attributes)
    name = next(iter(op.attributes))
    with pytest.raises(OperatorError, match=f"did you mean '{name}'"):
        op.parse({**op.samples[0].attrs, name + "s": 1})


@pytest.mark.parametrize("op", [op for op in registry.all() if isinstance(op.gradient_rule, NotDifferentiable)],
                         ids=lambda op: op.name)
def test_no_surrogate_without_gradient(op):
    assert not op.surrogate


@for_each([c for c in sample_cases() if c.op.inputs_rule is not None and not c.op.variadic])
def test_inputs_in_use_are_a_choice_of_the_parameters(case):
    names = case.op.input_names(case.op.parse(case.call.attrs))
    assert len(names) == len(case.call.inputs)
    assert set(names) <= set(case.op.parameters)


@for_each(sample_cases())
def test_number_of_outputs_is_declared(case):
    attrs = case.op.parse(case.call.attrs)
    result = forward(case.op, case.call)
    assert len(result.outputs) == case.op.num_outputs(attrs)
    assert 1 <= result.visible <= len(result.outputs)
    assert all(isinstance(out, torch.Tensor) for out in result.outputs)


def test_signatures_are_typed():
    """A kernel's attributes are keyword-only and annotated: what has no type cannot be read from a file."""
    for op in registry.all():
        for p in inspect.signature(op.kernel).parameters.values():
            if p.kind is p.KEYWORD_ONLY and p.name not in op.reserved:
                assert p.annotation is not p.empty, f"{op.name}: attribute {p.name} has no type"


def test_samples_are_the_same_at_every_call():
    for case in sample_cases():
        for a, b in zip(case.call.inputs, case.op.samples[case.sample].arrays(), strict=True):
            np.testing.assert_array_equal(a, b)
