"""Every kernel gives on a GPU what it gives on a CPU, and stays there."""
from __future__ import annotations

import numpy as np
import pytest
import torch

from tests.ops.calls import all_cases, for_each
from tests.parity.kernels import reserved, tensors

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU on this machine")
TOLERANCE = {torch.float16: 1e-2, torch.float32: 2e-4, torch.float64: 1e-6}


def run(case, device: str) -> list[torch.Tensor]:
    inputs = [x.to(device) for x in tensors(case.call.inputs)]
    attrs = case.op.parse(case.call.attrs)
    if "ctx" in case.op.attributes and not inputs:
        attrs["ctx"] = "gpu(0)" if device == "cuda" else "cpu(0)"
    with torch.no_grad():
        outputs = case.op.bind(attrs)(*inputs, **reserved(case.op, case.call))
    return list(outputs) if isinstance(outputs, tuple) else [outputs]


@for_each(all_cases() if torch.cuda.is_available() else ())
def test_gpu_equals_cpu(case):
    for a, b in zip(run(case, "cpu"), run(case, "cuda"), strict=True):
        assert b.is_cuda
        assert a.dtype is b.dtype
        assert a.shape == b.shape
        if case.op.needs_seed:
            continue  # a GPU draws other numbers from the same seed
        if a.is_floating_point():
            np.testing.assert_allclose(b.cpu().double(), a.double(), rtol=TOLERANCE[a.dtype], atol=TOLERANCE[a.dtype])
        else:
            assert torch.equal(a, b.cpu())
