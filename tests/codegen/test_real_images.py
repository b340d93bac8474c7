"""A trained net's C file names the same class as the framework for each of 1,000 real pictures."""
from __future__ import annotations

import shutil
import subprocess
import warnings

import numpy as np
import pytest

import mxdl as mx
from mxdl import config
from mxdl.cli.main import main

COUNT = 1000
TRAINED = {"vision/lenet_fashion_mnist": ("fashion-mnist", "train.epochs=1")}


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("cc"), reason="no C compiler on this machine")
@pytest.mark.parametrize("recipe", TRAINED)
@pytest.mark.parametrize("precision", ["float32", "float16"])
def test_every_class_is_the_same(recipe, precision, tmp_path):
    folder, short = TRAINED[recipe]
    if config.data_folder() is None or not (config.data_folder() / folder).is_dir():
        warnings.warn(f"no {folder} in MXDL_DATA: nothing was checked", stacklevel=1)
        pytest.skip(f"no {folder} in MXDL_DATA")
    from mxdl.recipes.evaluate import trained
    from mxdl.recipes.run import Run
    from mxdl.recipes.task import VALID
    assert main(["train", recipe, short, "log.plot=false", "--out", str(tmp_path / "run")]) == 0
    run = Run.open(str(tmp_path / "run"))
    task, net, _ = trained(run, run.resolved())
    task.open()
    images, labels = (part[:COUNT] for part in task.splits[VALID])
    x = task.normalised(images)
    net.export_c(tmp_path / "net.c", mx.nd.array(x[:1]), precision=precision)
    subprocess.run(["cc", "-O2", "-DNET_MAIN", "net.c", "-o", "net", "-lm"], check=True, timeout=300, cwd=tmp_path)
    done = subprocess.run(["./net"], input=x.astype("<f4").tobytes(), capture_output=True, check=True, timeout=300,
                          cwd=tmp_path)
    found = np.frombuffer(done.stdout, "<f4").reshape(COUNT, -1).argmax(1)
    expected = net(mx.nd.array(x)).asnumpy().argmax(1)
    same = int((found == expected).sum())
    assert len(found) == COUNT and (found == labels).mean() > 0.8
    assert same == COUNT if precision == "float32" else same >= 0.99 * COUNT
