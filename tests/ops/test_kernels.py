"""Every kernel is a pure function of tensors whose types can be told without running it."""
from __future__ import annotations

import numpy as np
import pytest
import torch

from mxdl.passes.infer_types import output_types
from mxdl.types import DTYPE_NAMES, TensorType
from tests.ops.calls import all_cases, for_each
from tests.parity.kernels import Call, reserved, tensors

CASES = all_cases()


def run(op, inputs: list[torch.Tensor], call: Call) -> list[torch.Tensor]:
    with torch.no_grad():
        outputs = op.bind(op.parse(call.attrs))(*inputs, **reserved(op, call))
    outputs = list(outputs) if isinstance(outputs, tuple) else [outputs]
    return [torch.zeros_like(x) if op.traits.opaque and x.dtype is torch.uint8 else x for x in outputs]


def same_bits(a: torch.Tensor, b: torch.Tensor) -> bool:
    if a.shape != b.shape or a.dtype is not b.dtype:
        return False
    return np.array_equal(a.numpy(), b.numpy(), equal_nan=a.is_floating_point())


@for_each(CASES)
def test_inputs_stay_unchanged_and_results_repeat(case):
    inputs = tensors(case.call.inputs)
    versions = [x._version for x in inputs]
    first = run(case.op, inputs, case.call)
    assert [x._version for x in inputs] == versions
    assert all(same_bits(x, torch.from_numpy(a)) for x, a in zip(inputs, tensors_as_numpy(case), strict=True))
    second = run(case.op, inputs, case.call)
    assert all(same_bits(a, b) for a, b in zip(first, second, strict=True))


def tensors_as_numpy(case) -> list[np.ndarray]:
    return [np.array(a) for a in case.call.inputs]


@for_each(CASES)
def test_types_are_known_without_running(case):
    if case.op.traits.dynamic:
        return  # its shape depends on values
    inputs = tensors(case.call.inputs)
    real = [TensorType(tuple(out.shape), DTYPE_NAMES[out.dtype]) for out in run(case.op, inputs, case.call)]
    given = tuple(TensorType(tuple(x.shape), DTYPE_NAMES[x.dtype]) for x in inputs)
    attrs = case.op.parse(case.call.attrs)
    if case.op.needs_training:
        attrs = {**attrs, "training": case.call.training}
    assert list(output_types(case.op, attrs, given)) == real


@for_each(CASES)
def test_strided_inputs(case):
    """Inputs that are every second element of larger arrays give the same result."""
    expected = run(case.op, tensors(case.call.inputs), case.call)
    found = run(case.op, tensors(case.call.inputs, contiguous=False), case.call)
    for a, b in zip(expected, found, strict=True):
        assert a.dtype is b.dtype
        np.testing.assert_allclose(b.numpy(), a.numpy(), rtol=1e-5, atol=1e-6)


@for_each(CASES)
def test_outputs_alias_only_what_the_entry_says(case):
    inputs = tensors(case.call.inputs)
    visible = case.op.num_visible(case.op.parse(case.call.attrs))
    for out in run(case.op, inputs, case.call)[:visible]:  # nobody writes into the others
        shared = [i for i, x in enumerate(inputs) if x.numel() and out.untyped_storage().data_ptr()
                  == x.untyped_storage().data_ptr()]
        if shared:
            assert case.op.traits.view, "the output shares an input's memory: say view=True, or clone"
            assert shared == [0], f"the output shares memory of inputs {shared}; only the first may be aliased"


def poisoned(x: torch.Tensor) -> torch.Tensor:
    """Other values of the same type: nan where there is one."""
    return torch.full_like(x, float("nan")) if x.is_floating_point() else torch.full_like(x, 99)


@for_each([c for c in CASES if any(i in c.op.traits.shape_only
                                                          for i in range(len(c.call.inputs)))])
def test_values_do_not_matter_where_only_the_shape_does(case):
    inputs = tensors(case.call.inputs)
    expected = run(case.op, inputs, case.call)
    changed = [poisoned(x) if i in case.op.traits.shape_only else x for i, x in enumerate(inputs)]
    assert all(same_bits(a, b) for a, b in zip(expected, run(case.op, changed, case.call), strict=True))


@for_each([c for c in CASES if c.op.traits.elementwise and c.call.inputs])
def test_elementwise_looks_at_one_element(case):
    """Changing an element of an input changes only the same element of the outputs."""
    inputs = tensors(case.call.inputs)
    if not inputs[0].numel() or len({x.shape for x in inputs}) > 1:
        return  # needs elements, and inputs of one shape
    expected = run(case.op, inputs, case.call)
    for i in range(len(inputs)):
        changed = [x.clone() for x in inputs]
        changed[i].view(-1)[0] = changed[i].view(-1)[0] + 1
        for a, b in zip(expected, run(case.op, changed, case.call), strict=True):
            assert a.shape == inputs[0].shape
            assert same_bits(a.reshape(-1)[1:], b.reshape(-1)[1:])


@for_each([c for c in CASES if c.op.traits.inplace and c.call.inputs])
def test_memory_that_may_be_shared_has_one_size(case):
    """An in-place pair names an input and an output that exist; elementwise ones of one dtype have one size."""
    inputs = tensors(case.call.inputs)
    outputs = run(case.op, inputs, case.call)
    for i, o in case.op.traits.inplace:
        assert o < len(outputs)
        if case.op.traits.elementwise and len({x.shape for x in inputs}) == 1 and inputs[i].dtype is outputs[o].dtype:
            assert inputs[i].numel() == outputs[o].numel()


@for_each([c for c in CASES if c.op.traits.commutative])
def test_commutative_inputs_may_be_exchanged(case):
    a, b = tensors(case.call.inputs)
    for x, y in zip(run(case.op, [a, b], case.call), run(case.op, [b, a], case.call), strict=True):
        assert same_bits(x, y)


@for_each([c for c in CASES if c.op.traits.identity is not None])
def test_identity_is_the_input(case):
    attrs = {**case.op.filled(case.op.parse(case.call.attrs)), "training": case.call.training}
    if not case.op.traits.identity(attrs):
        return  # not an identity with these attributes
    inputs = tensors(case.call.inputs)
    assert same_bits(run(case.op, inputs, case.call)[0], inputs[0])


@pytest.mark.parametrize("op", sorted({c.op for c in CASES if c.op.needs_seed}, key=lambda op: op.name),
                         ids=lambda op: op.name)
def test_another_seed_gives_another_draw(op):
    """On one sample at least: an operator may draw only in training, or with some attributes."""
    cases = [c for c in CASES if c.op is op]
    assert any(not same_bits(drawn(case, 0), drawn(case, seed)) for case in cases for seed in (1, 2, 3))


def drawn(case, seed: int) -> torch.Tensor:
    inputs, given = tensors(case.call.inputs), reserved(case.op, case.call)
    with torch.no_grad():
        out = case.op.bind(case.op.parse(case.call.attrs))(*inputs, **{**given, "seed": seed})
    return out[0] if isinstance(out, tuple) else out


OVERWRITING = [case for case in CASES if case.op.in_place_kernel is not None]


@pytest.mark.parametrize("case", OVERWRITING, ids=repr)
def test_overwriting_kernels_give_the_same_bits_and_touch_the_first_input_only(case):
    expected = run(case.op, tensors(case.call.inputs), case.call)
    inputs = tensors(case.call.inputs)
    with torch.no_grad():
        found = case.op.bind(case.op.parse(case.call.attrs), overwrite=True)(*inputs)
    found = found if isinstance(found, tuple) else (found,)
    assert all(same_bits(a, b) for a, b in zip(expected, found, strict=True))
    assert all(same_bits(x, torch.from_numpy(a))
               for x, a in zip(inputs[1:], tensors_as_numpy(case)[1:], strict=True))


def test_some_kernels_overwrite():
    assert len({case.op.name for case in OVERWRITING}) >= 6
