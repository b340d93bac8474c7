"""The store `horovod` with the real Horovod, where it is installed (test_other_engines.py has a stand-in for it)."""
import importlib.util
import os
import subprocess
import sys

import pytest
import torch

from tests.kvstore.test_launch import program

pytestmark = [pytest.mark.slow, pytest.mark.skipif(importlib.util.find_spec("horovod") is None,
                                                   reason="Horovod is not installed (docs/kvstore.md says how)")]
RUN = "from horovod.runner.launch import run_commandline; run_commandline()"


def test_training_is_that_of_one_process(tmp_path):
    for workers in (1, 2, 3):
        command = [sys.executable, "-c", RUN, "--gloo", "-np", str(workers), "-H", f"localhost:{workers}",
                   *program("train_over_horovod", tmp_path)]
        subprocess.run(command, check=True, timeout=120, env={**os.environ, "OMP_NUM_THREADS": "1"})
    alone = torch.load(tmp_path / "end-1-0")
    ends = [torch.load(file) for file in sorted(tmp_path.glob("end-*"))]
    assert len(ends) == 6
    for end in ends:
        for one, want in zip(end, alone, strict=True):
            torch.testing.assert_close(one, want, rtol=0, atol=1e-5)
