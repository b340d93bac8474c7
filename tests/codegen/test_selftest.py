"""The self-test's stored inputs suit nets that gather along short axes."""
from __future__ import annotations

import shutil
import subprocess

import pytest

import mxdl as mx
from mxdl.codegen import export_c
from mxdl.types import TensorType

COMPILER = next((c for c in ("gcc", "clang") if shutil.which(c)), None)


@pytest.mark.skipif(COMPILER is None, reason="no C compiler on this machine")
def test_indices_of_an_axis_of_two_are_inside_it(tmp_path):
    graph = mx.sym.gather_nd(mx.sym.var("rows"), mx.sym.var("types")).graph()
    rows = mx.nd.array([[1, 2, 3], [4, 5, 6]]).to_torch()
    text = export_c(graph, {"rows": rows}, {"types": TensorType((1, 8), "int32")}, tmp_path / "net.c", "net")
    stored = text.split("expected_0_[] = {")[1].split("}")[0]
    assert [float(value) for value in stored.split(",")] == [4, 5, 6] * 8
    subprocess.run([COMPILER, "-O0", "-DNET_SELFTEST", "-DNET_MAX_ISA=0", tmp_path / "net.c", "-o", tmp_path / "test",
                    "-lm"], check=True, timeout=100)
    subprocess.run([tmp_path / "test"], check=True, timeout=20)
