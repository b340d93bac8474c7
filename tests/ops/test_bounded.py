"""Gradients of limited values: exact at the limits, in every dtype, whichever way they are computed."""
import math

import pytest
import torch

from mxdl.ops.bounded import clip_gradient, hard_sigmoid_gradient

DTYPES = [torch.float32, torch.float64, torch.float16, torch.bfloat16]
LIMITS = [(0.0, 6.0), (-0.5, 0.4), (-1e-3, 1e3), (0.0, math.inf), (-math.inf, 1.0), (-1.0, -1.0)]


@pytest.mark.parametrize("limits", LIMITS, ids=str)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_clip_passes_the_gradient_from_limit_to_limit(dtype, limits):
    low, high = limits
    ends = torch.tensor(limits, dtype=dtype)
    infinity = torch.full((2,), math.inf, dtype=dtype)
    data = torch.cat([torch.randn(1000, generator=torch.Generator().manual_seed(0)).to(dtype) * 4, ends,
                      torch.nextafter(ends, infinity), torch.nextafter(ends, -infinity), torch.zeros(2, dtype=dtype)])
    dout = torch.randn(data.shape).to(dtype)
    want = torch.where((data >= low) & (data <= high), dout, torch.zeros((), dtype=dtype))
    assert 0 < want.count_nonzero() < len(want) or low == high
    assert torch.equal(clip_gradient.kernel(dout, data, a_min=low, a_max=high), want)
    assert torch.equal(clip_gradient.in_place_kernel(dout.clone(), data, a_min=low, a_max=high), want)


def test_clip_of_a_gradient_that_is_stretched_or_lies_otherwise():
    data = torch.randn(2, 3, 4, 5).contiguous(memory_format=torch.channels_last)
    for dout in (torch.randn(2, 3, 4, 5), torch.ones(()).expand(2, 3, 4, 5)):
        want = torch.where(data.abs() <= 1, dout, torch.zeros(()))
        assert torch.equal(clip_gradient.in_place_kernel(dout, data, a_min=-1.0, a_max=1.0), want)


def test_hard_sigmoid_passes_nothing_where_it_is_flat():
    out, dout = torch.tensor([0.0, 0.25, 0.5, 1.0]), torch.tensor([1.0, 2.0, 3.0, 4.0])
    assert hard_sigmoid_gradient.kernel(dout, out, alpha=0.5).tolist() == [0.0, 1.0, 1.5, 0.0]
