"""Scripts as people wrote them for MXNet 1.x run unchanged under `mxdl run` and lose what they lose under MXNet."""
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.parity.client import reference_python

SCRIPTS = sorted((Path(__file__).parent / "scripts").glob("*.py"))
# MXNet's threads sometimes abort the process while the interpreter shuts down, after the script is done.
LEAVE_AT_ONCE = ("import os, runpy, sys; runpy.run_path(sys.argv[1], run_name='__main__'); sys.stdout.flush(); "
                 "os._exit(0)")


def losses(*command):
    done = subprocess.run([*map(str, command)], capture_output=True, text=True, timeout=120,
                          env={**os.environ, "OMP_NUM_THREADS": "1"})
    assert done.returncode == 0, done.stderr
    return [float(line.split()[-1]) for line in done.stdout.splitlines() if line.startswith("loss")]


@pytest.fixture(scope="module")
def seen():
    return {}


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_it_runs_unchanged_and_learns(script, seen):
    found = seen[script] = losses(sys.executable, "-m", "mxdl.cli.main", "run", script)
    assert len(found) >= 4 and found[-1] < 0.9 * found[0]


@pytest.mark.parity
@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_its_losses_are_mxnets(script, seen):
    python = reference_python()
    if python is None:
        pytest.skip("MXNet 1.9.1 is not installed: make parity-env")
    ours = seen.get(script) or losses(sys.executable, "-m", "mxdl.cli.main", "run", script)
    np.testing.assert_allclose(ours, losses(python, "-c", LEAVE_AT_ONCE, script), rtol=1e-4)
