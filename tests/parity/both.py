"""Run one piece of MXNet-API source on mxdl, here, and on MXNet, there, and compare what it leaves in `result`."""
from __future__ import annotations

from typing import Any

import numpy as np

import mxdl
from tests.parity.client import Reference
from tests.parity.comparison import differences


class Both:
    """Called with source and values: asserts that mxdl and MXNet 1.9.1 agree."""

    def __init__(self, mxnet: Reference):
        self.mxnet = mxnet

    def __call__(self, source: str, tolerance: float | None = None, **values: Any) -> Any:
        """`source` sees `mx`, `np` and `values`.   Returns mxdl's result, as NumPy arrays."""
        theirs = self.mxnet.run(source, **values)
        ours = run_here(source, values)
        problems = differences("result", ours, theirs, tolerance)
        assert not problems, "\n".join([source.strip(), "differs from MXNet:", *problems])
        return ours


def run_here(source: str, values: dict[str, Any]) -> Any:
    np.random.seed(0)
    mxdl.random.seed(0)
    space = {**values, "mx": mxdl, "np": np}
    with mxdl.name.NameManager():      # automatic names count from 0 on both sides, whatever ran before
        exec(compile(source, "<parity source>", "exec"), space)
    return to_numpy(space.get("result"))


def to_numpy(value: Any) -> Any:
    if hasattr(value, "asnumpy"):
        return value.asnumpy()
    if isinstance(value, dict):
        return {str(key): to_numpy(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [to_numpy(item) for item in value]
    return value.item() if isinstance(value, np.generic) else value
