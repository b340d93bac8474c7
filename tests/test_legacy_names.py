"""MXNet's small modules: context, base, engine, runtime, util; the allocator's setting."""
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import mxdl as mx
from mxdl.errors import DeviceError, NotBuiltError


def test_contexts():
    assert mx.context.cpu() is mx.cpu() and mx.cpu(1) != mx.cpu(0) and str(mx.gpu(2)) == "gpu(2)"
    assert mx.current_context() == mx.cpu()
    with mx.cpu(2):
        with mx.Context("cpu", 3):
            assert mx.current_context() == mx.cpu(3)
        assert mx.current_context() == mx.cpu(2)
    assert mx.current_context() == mx.cpu()
    with pytest.raises(DeviceError, match="unknown device type"):
        mx.Context("tpu")


def test_one_context_object_serves_nested_scopes():
    with mx.cpu(1), mx.cpu(2), mx.cpu(1):
        assert mx.current_context() == mx.cpu(1)
    assert mx.current_context() == mx.cpu()


def test_base():
    assert mx.base.MXNetError is mx.MXNetError and isinstance(np.float32(1), mx.base.numeric_types)
    assert isinstance("x", mx.base.string_types) and mx.base._as_list((1, 2)) == [1, 2] and not mx.base._Null


def test_engine_is_there():
    before = mx.engine.set_bulk_size(5)
    with mx.engine.bulk(10):
        assert mx.engine.set_bulk_size(10) == 10
    assert mx.engine.set_bulk_size(before) == 5


def test_runtime_features():
    features = mx.runtime.Features()
    assert features.is_enabled("CUDA") == (mx.num_gpus() > 0) and not features.is_enabled("CAFFE")
    assert "OPENMP" in repr(features) and all(f.name in features for f in mx.runtime.feature_list())


def test_util():
    assert mx.util.get_gpu_count() == mx.num_gpus() and not mx.is_np_array() and not mx.is_np_shape()
    with pytest.raises(NotBuiltError, match="mx.nd"):
        mx.util.set_np()
    mx.util.reset_np()


STEPS = """
import resource, sys
import mxdl as mx
def step():
    parts = [mx.nd.zeros((256, 1024)) + 1 for _ in range(20)]
for _ in range(3):
    step()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(10):
    step()
print((resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before) // 10)
"""


@pytest.mark.skipif(not mx.allocator.configure(), reason="another allocator than glibc's")
def test_a_step_faults_no_pages_in():
    faults = int(subprocess.check_output([sys.executable, "-c", STEPS], text=True))
    assert faults < 500, "a step touches 10,240 pages; they must stay with the process"


HUGE_PAGES = Path("/sys/kernel/mm/transparent_hugepage/enabled")
HUGE = """
import mxdl as mx
x = mx.nd.ones((8, 1 << 20))
print(sum(int(line.split()[1]) for line in open("/proc/self/smaps_rollup") if line.startswith("AnonHugePages")))
"""


@pytest.mark.skipif(not HUGE_PAGES.exists() or "[madvise]" not in HUGE_PAGES.read_text() or
                    not mx.allocator.configure(), reason="huge pages are not there for the asking")
@pytest.mark.parametrize(("settings", "given"), [({}, True), ({"THP_MEM_ALLOC_ENABLE": "0"}, False),
                                                 ({"MXDL_MALLOC": "return"}, True), ({"MXDL_MALLOC": "system"}, False)])
def test_large_arrays_lie_in_huge_pages(settings, given):
    env = {name: value for name, value in os.environ.items() if name not in ("THP_MEM_ALLOC_ENABLE", "MXDL_MALLOC")}
    kilobytes = int(subprocess.check_output([sys.executable, "-c", HUGE], text=True, env={**env, **settings}))
    assert (kilobytes > 16 << 10) == given


@pytest.mark.parametrize("shape", [(4, 5), (600, 500)])
def test_a_buffer_takes_its_first_gradient_without_a_copy(shape):
    x = mx.nd.ones(shape)
    x.attach_grad()
    buffer = x.grad._data.data_ptr()
    with mx.autograd.record():
        y = x * 2
    y.backward()
    assert x.grad._data.data_ptr() != buffer and x.grad.shape == shape
