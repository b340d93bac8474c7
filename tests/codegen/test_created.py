"""Creating a handle touches no memory of intermediate values: the first call does, and finds zeros."""
import ctypes
import os
import sys
from pathlib import Path

import numpy as np
import pytest

import mxdl as mx
from mxdl.codegen import export_c
from tests.codegen.compiled import needs_compiler
from tests.codegen.test_frame import shared

pytestmark = [needs_compiler, pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")]
SHAPE = (1 << 22,)
TOUCHED = 6 << 20       # a large page at either end of the handle's memory, and what else the process takes


def resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def test_the_first_call_touches_values_and_not_create(tmp_path):
    graph = (mx.sym.exp(mx.sym.var("x")) + 1).graph()
    export_c(graph, {}, {"x": SHAPE}, tmp_path / "net.c", "net")
    library, data = shared(tmp_path / "net.c"), np.ones(SHAPE, np.float32)
    library.net_create.restype = ctypes.c_void_p
    before = resident()
    model = ctypes.c_void_p(library.net_create())
    assert resident() - before < TOUCHED < data.nbytes
    assert library.net_set_input(model, 0, data.ctypes.data_as(ctypes.c_void_p), ctypes.c_size_t(data.size)) == 0
    assert library.net_forward(model) == 0
    assert resident() - before > data.nbytes
    library.net_free(model)
