"""Every net of the model zoo as a C file: it agrees with the framework."""
from __future__ import annotations

import shutil
import subprocess

import numpy as np
import pytest

import mxdl as mx
from mxdl.codegen import export_c_files
from mxdl.gluon.model_zoo import vision
from tests.codegen.test_blocked import LEVELS, machine_has
from tests.codegen.zoo import NAMES, randomized

COMPILER = next((c for c in ("gcc", "clang") if shutil.which(c)), None)
pytestmark = pytest.mark.skipif(COMPILER is None, reason="no C compiler on this machine")
FAST = ("mobilenet0.25",)


def test_the_zoo_is_found():
    assert len(NAMES) == 34


@pytest.mark.parametrize("name", [n if n in FAST else pytest.param(n, marks=pytest.mark.slow) for n in NAMES])
def test_exported_net_agrees_with_the_framework(name, tmp_path):
    mx.random.seed(0)
    shape = (1, 3, 299, 299) if name.startswith("inception") else (1, 3, 224, 224)
    net = vision.get_model(name)
    net.initialize(mx.init.Xavier(magnitude=2))
    net.hybridize()
    x = mx.nd.array(np.random.default_rng(0).normal(size=shape))
    net(x)
    randomized(net)
    expected = net(x).asnumpy()
    net.export(str(tmp_path / "net"))
    export_c_files(str(tmp_path / "net"), 0, {"data": shape}, tmp_path / "net.c", "net", weights="beside")
    flags = ["-O1", LEVELS[machine_has()], "-Wall", "-Wextra", "-Werror", "-DNET_MAIN"]
    subprocess.run([COMPILER, *flags, tmp_path / "net.c", "-o", tmp_path / "program", "-lm"], check=True, timeout=500)
    done = subprocess.run([tmp_path / "program", "net.bin"], input=x.asnumpy().astype("<f4").tobytes(),
                          capture_output=True, timeout=100, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    got = np.frombuffer(done.stdout, "<f4").reshape(expected.shape)
    assert np.abs(got - expected).max() <= 2e-5 * np.abs(expected).max()
