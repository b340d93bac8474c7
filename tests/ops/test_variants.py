"""What must hold for changed samples too: other dtypes, axes counted from the other end, axes of length 1 and 0."""
from __future__ import annotations

import numpy as np
import pytest
import torch

from mxdl.errors import OperatorError
from mxdl.passes.infer_types import output_types
from mxdl.types import DTYPE_NAMES, TensorType
from tests.ops.calls import Case, for_each, sample_cases
from tests.parity.kernels import forward, tensors
from tests.parity.variants import other_end_of_axis, short_axes

pytestmark = pytest.mark.filterwarnings("ignore:var_mean")  # of no elements, where its answer is nan
CASES = [case for case in sample_cases() if case.call.inputs]
# torch says it thus, mxdl's own checks by an MXNetError, which is a RuntimeError.
REFUSED = (RuntimeError, IndexError, ValueError, ZeroDivisionError)


AXIS_CASES = [c for c in CASES if [*other_end_of_axis(c.call)]]


def axis_of_output(case: Case) -> bool:
    """Whether the axis is a new one: its other end is another number."""
    return forward(case.op, case.call).outputs[0].dim() > case.call.inputs[0].ndim


@pytest.mark.parametrize("op", dict.fromkeys(c.op for c in AXIS_CASES), ids=lambda op: op.name)
def test_axis_from_the_other_end(op):
    """axis=1 of three is axis=-2; an operator that refuses negative axes refuses all of them."""
    refused, taken = [], []
    for case in AXIS_CASES:
        if case.op is not op or axis_of_output(case):
            continue
        expected = forward(op, case.call).outputs
        for change, changed in other_end_of_axis(case.call):
            try:
                found = forward(op, changed).outputs
            except OperatorError:
                refused.append(change)
                continue
            taken += [text for text in (change, f"{case.call.attrs}") if "-" in text]
            for a, b in zip(expected, found, strict=True):
                torch.testing.assert_close(b, a, rtol=0, atol=0, equal_nan=True, msg=f"{case}: {change}")
    assert not refused or not taken, f"{op.name} takes {taken} and refuses {refused}"


def in_one_precision(call) -> bool:
    return {a.dtype for a in call.inputs if a.dtype.kind == "f"} == {np.dtype("float32")}


@for_each([c for c in CASES if in_one_precision(c.call)])
def test_double_precision(case):
    """The same numbers; outputs that were float32 follow, or stay by an attribute."""
    agrees_in("float64", case, tolerance=1e-4)


@for_each([c for c in CASES if in_one_precision(c.call)])
def test_half_precision(case):
    """The same numbers to the precision there is, from inputs that half precision can hold."""
    rounded = [a.astype("float16").astype("float32") if a.dtype == np.float32 else a for a in case.call.inputs]
    try:
        agrees_in("float16", case._replace(call=case.call._replace(inputs=rounded)), tolerance=3e-2)
    except RuntimeError as error:
        if "Half" not in str(error):  # torch has no such kernel on a CPU
            raise


def agrees_in(dtype: str, case: Case, tolerance: float) -> None:
    expected = forward(case.op, case.call).outputs
    cast = [a.astype(dtype) if a.dtype == np.float32 else a for a in case.call.inputs]
    found = forward(case.op, case.call._replace(inputs=cast)).outputs
    for a, b in zip(expected, found, strict=True):
        if case.op.traits.opaque and a.dtype is torch.uint8:
            continue
        assert b.shape == a.shape
        if a.dtype is torch.float32:
            assert b.dtype in (torch.float32, getattr(torch, dtype))
            if not case.op.needs_seed:  # torch draws other numbers in other precisions
                np.testing.assert_allclose(b.double().numpy(), a.double().numpy(), rtol=tolerance, atol=tolerance)


@for_each([c for c in CASES if c.op.samples[c.sample].resizable])
def test_short_axes(case):
    """Types told without running hold for axes of length 1 and 0 as well, or both ways refuse."""
    if case.op.traits.dynamic:
        return  # its shape depends on values
    attrs = case.op.parse(case.call.attrs)
    if case.op.needs_training:
        attrs = {**attrs, "training": case.call.training}
    for change, changed in short_axes(case.call):
        try:
            real = [TensorType(tuple(out.shape), DTYPE_NAMES[out.dtype]) for out in forward(case.op, changed).outputs]
        except REFUSED:
            continue
        given = tuple(TensorType(tuple(x.shape), DTYPE_NAMES[x.dtype]) for x in tensors(changed.inputs))
        assert list(output_types(case.op, attrs, given)) == real, change
