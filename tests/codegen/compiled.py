"""What the tests of the C file share: compile a graph and run it on arrays."""
from __future__ import annotations

import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from mxdl.codegen import export_c
from mxdl.graph import Graph
from mxdl.types import TensorType

COMPILER = next((c for c in ("cc", "gcc", "clang") if shutil.which(c)), None)
needs_compiler = pytest.mark.skipif(COMPILER is None, reason="no C compiler on this machine")
WARNINGS = "-std=c11 -Wall -Wextra -Werror -Wno-unused-function -Wno-type-limits"
SANITIZED = "-O1 -DNET_MAX_ISA=0 -fsanitize=address,undefined -fno-sanitize-recover"


def compiled(graph: Graph, parameters: Mapping, inputs: Mapping[str, np.ndarray], folder: Path,
             flags: str = SANITIZED) -> list[bytes]:
    """The outputs of the compiled file, one after the other, for each `flags` (several, parted by "|")."""
    types = {name: TensorType(array.shape, str(array.dtype)) for name, array in inputs.items()}
    export_c(graph, parameters, types, folder / "net.c", "net")
    data = b"".join(np.ascontiguousarray(inputs[n.name]).tobytes() for n in graph.inputs if n.name in inputs)
    results = []
    for one in flags.split("|"):
        subprocess.run([str(COMPILER), *WARNINGS.split(), *one.split(), "-DNET_MAIN", folder / "net.c", "-o",
                        folder / "net", "-lm"], check=True, timeout=240)
        done = subprocess.run([folder / "net"], input=data, capture_output=True, timeout=120, check=True)
        results.append(done.stdout)
    return results


def assert_same(stdout: bytes, expected: list[np.ndarray], tolerance: float = 2e-5) -> None:
    """`stdout` holds `expected` one after the other, each within `tolerance` of its largest, and nothing else."""
    start = 0
    for array in expected:
        found = np.frombuffer(stdout, array.dtype, array.size, start).reshape(array.shape)
        start += found.nbytes
        np.testing.assert_allclose(found, array, rtol=tolerance, atol=tolerance * max(np.abs(array).max(), 1e-6))
    assert start == len(stdout)
