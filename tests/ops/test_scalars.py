"""Python numbers and arrays: no promotion, integers as C has them, limits and infinities."""
from __future__ import annotations

import math

import pytest
import torch

from mxdl.ops import get
from mxdl.ops.families import whole_number
from mxdl.ops.operator import GradientCall


def run(name: str, values, dtype: torch.dtype, scalar: float) -> list:
    return get(name)(torch.tensor(values, dtype=dtype), scalar=scalar).tolist()


@pytest.mark.parametrize("name, values, dtype, scalar, expected", [
    ("_plus_scalar", [7, -7], torch.int32, 2.9, [9, -5]), ("_mul_scalar", [7, -7], torch.int32, 2.5, [14, -14]),
    ("_div_scalar", [7, -7], torch.int32, 2.0, [3, -3]), ("_rdiv_scalar", [2, -2], torch.int32, 7.9, [3, -3]),
    ("_mod_scalar", [7, -7], torch.int32, 3.0, [1, 2]), ("_mod_scalar", [7, -7], torch.int32, -3.0, [-2, -1]),
    ("_mod_scalar", [7.0, 0.5], torch.float32, 0.0, [0.0, 0.0]), ("_rmod_scalar", [0, 5], torch.int32, 7.0, [0, 2]),
    ("_power_scalar", [2, 1, -1], torch.int32, -1.0, [0, 1, -1]), ("_rpower_scalar", [2, -1], torch.int32, 2.0, [4, 0]),
    ("_plus_scalar", [1, 255], torch.uint8, -1.0, [0, 254]), ("_maximum_scalar", [1, 255], torch.uint8, 300.0, [44,
    255]),
    ("_lesser_scalar", [1, 255], torch.int32, math.inf, [1, 1]), ("_greater_scalar", [1], torch.int32, -math.inf, [1]),
    ("_equal_scalar", [True, False], torch.bool, 1.0, [1, 0]), ("_rminus_scalar", [True, False], torch.bool, 1.0, [0,
    1]),
])
def test_integers(name, values, dtype, scalar, expected):
    assert run(name, values, dtype, scalar) == expected


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64, torch.int8, torch.int64, torch.uint8])
@pytest.mark.parametrize("name", ["_plus_scalar", "_rdiv_scalar", "_greater_scalar", "_logical_and_scalar"])
def test_the_array_decides_the_dtype(name, dtype):
    assert get(name)(torch.tensor([1, 2], dtype=dtype), scalar=2.5).dtype is dtype


@pytest.mark.parametrize("number, dtype, expected", [
    (2.9, torch.int32, 2), (-2.9, torch.int32, -2), (256.0, torch.uint8, 0), (-1.0, torch.uint8, 255),
    (200.0, torch.int8, -56), (math.inf, torch.int16, 32767), (-math.inf, torch.uint8, 0)])
def test_whole_numbers(number, dtype, expected):
    assert whole_number(number, dtype) == expected


@pytest.mark.parametrize("base", [0.0, -2.0, 3.0])
def test_gradient_of_powers_of_a_number(base):
    op = get("_rpower_scalar")
    x = torch.tensor([1.0, 2.0], dtype=torch.float64)
    out = op(x, scalar=base)
    grad, = op.gradient_rule(GradientCall((x,), (out,), (torch.ones(2, dtype=torch.float64),), (True,),
                                          {"scalar": base, "is_int": True}))
    expected = torch.zeros(2) if base == 0 else out * math.log(base) if base > 0 else torch.full((2,), math.nan)
    torch.testing.assert_close(grad, expected.double(), equal_nan=True)


@pytest.mark.parametrize("name, values, expected", [
    ("round", [0.5, 1.5, -0.5, -2.5, 0.49999997], [1, 2, -1, -3, 0]), ("rint", [0.5, 1.5, -0.5, -2.5, 2.6], [0, 1, -1,
    -3, 3]),
    ("fix", [1.7, -1.7], [1, -1]), ("sign", [2.0, 0.0, -3.0], [1, 0, -1]), ("gamma", [4.0, 0.5, -0.5, -1.5], [
        6, math.sqrt(math.pi), -2 * math.sqrt(math.pi), 4 / 3 * math.sqrt(math.pi)])])
def test_functions_at_their_corners(name, values, expected):
    torch.testing.assert_close(get(name)(torch.tensor(values)), torch.tensor(expected).float())


def test_functions_of_integers_are_cut_off():
    assert get("exp")(torch.tensor([1, 2], dtype=torch.int32)).tolist() == [2, 7]
    assert get("sqrt")(torch.tensor([8, 9])).tolist() == [2, 3]
