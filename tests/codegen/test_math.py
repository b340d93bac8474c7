"""The C file's own exp, log, tanh... against double precision, over floats of every exponent, at every vector width."""
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch

from mxdl.codegen import kernels

COMPILER = next((c for c in ("cc", "gcc", "clang") if shutil.which(c)), None)
pytestmark = pytest.mark.skipif(COMPILER is None, reason="no C compiler on this machine")
WIDTHS = {1: [], 4: [], 8: ["-mavx2", "-mfma"], 16: ["-mavx512f", "-mavx512dq", "-mavx512bw", "-mavx512vl", "-mfma"]}
STEP = 4099  # of 2^32 bit patterns
ULPS = {"exp": (torch.exp, 1.0), "log": (torch.log, 1.0), "tanh": (torch.tanh, 2.0), "erf": (torch.erf, 2.0),
        "softplus": (lambda x: torch.where(x > 0, x, 0) + torch.log1p(torch.exp(-x.abs())), 2.0),
        "expm1": (torch.expm1, 3.0)}
PROGRAM = """
#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#define RESTRICT restrict
{kernels}
int main(void) {{
    static float x[4096], y[4096];
    for (size_t n; (n = fread(x, sizeof *x, 4096, stdin)) > 0; fwrite(y, sizeof *y, n, stdout))
        for (size_t i = 0; i < 4096; i += VW) v_store(y + i, v_{name}(v_load(x + i)));
    return 0;
}}
"""


def every_exponent() -> np.ndarray:
    return np.arange(0, 1 << 32, STEP, dtype=np.uint64).astype(np.uint32).view(np.float32)


def run(name: str, width: int, x: np.ndarray, folder: Path) -> np.ndarray:
    wanted = [flag for flag in WIDTHS[width] if flag[2:] not in Path("/proc/cpuinfo").read_text()]
    if wanted:
        pytest.skip(f"this machine lacks {' '.join(wanted)}")
    source, program = folder / "map.c", folder / "map"
    source.write_text(PROGRAM.format(kernels=kernels.text("simd") + kernels.text("math"), name=name))
    checks = ["-fsanitize=undefined", "-fno-sanitize-recover"] if width == 1 else []
    flags = ["-O2", "-std=c11", f"-DVW={width}", *WIDTHS[width], *checks]
    subprocess.run([COMPILER, *flags, source, "-o", program, "-lm"],
                   check=True, timeout=120)
    done = subprocess.run([program], input=x.tobytes(), capture_output=True, check=True, timeout=120)
    return np.frombuffer(done.stdout, np.float32)


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("name", ULPS)
def test_within_units_of_the_last_place(name, width, tmp_path):
    x = every_exponent()
    got = run(name, width, x, tmp_path)
    true = ULPS[name][0](torch.from_numpy(x).double()).numpy()
    with np.errstate(over="ignore", invalid="ignore"):
        rounded = true.astype(np.float32)
        finite = np.isfinite(rounded) & np.isfinite(got)
        unit = np.spacing(np.maximum(np.abs(rounded), np.finfo(np.float32).tiny).astype(np.float32))
        error = np.abs(got - true)[finite] / unit[finite]
    np.testing.assert_array_equal(got[~finite], rounded[~finite])
    assert finite.sum() > 300_000 and error.max() <= ULPS[name][1]


@pytest.mark.parametrize("width", WIDTHS)
def test_sigmoid_and_gelu(width, tmp_path):
    x = every_exponent()
    double = torch.from_numpy(x).double()
    sigmoid = run("sigmoid", width, x, tmp_path)
    true = torch.sigmoid(double).numpy()
    usual = x > -88
    assert (np.abs(sigmoid - true)[usual] <= 3 * np.spacing(true[usual].astype(np.float32))).all()
    assert (sigmoid[x < -89] == 0).all() and np.isnan(sigmoid[np.isnan(x)]).all()
    gelu = run("gelu", width, x, tmp_path)
    true = (double * 0.5 * torch.erfc(-double * 0.5 ** 0.5)).numpy()
    near = np.isfinite(x)
    assert (np.abs(gelu - true)[near] <= 2e-7 * np.maximum(np.abs(x[near]), 1)).all()
