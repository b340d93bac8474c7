"""A checkpoint is whole or not there, whatever happens while it is written."""
import errno
import os
import signal
import subprocess
import sys

import pytest

from mxdl.recipes.checkpoint import BEST, LAST, CheckpointMissing, Checkpoints


def write(text: str):
    return lambda folder: (folder / "model.params").write_text(text)


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_keeps_the_latest_and_the_best(tmp_path):
    checkpoints = Checkpoints(tmp_path, keep=2)
    for step in range(1, 6):
        checkpoints.save(step, {"step": step}, write(str(step)), best=step == 2)
    assert names(tmp_path) == ["00000002", "00000004", "00000005", "best", "last"]
    assert checkpoints.find(LAST).name == "00000005" and checkpoints.find(BEST).name == "00000002"
    assert checkpoints.state(checkpoints.find("4")) == {"step": 4}
    with pytest.raises(CheckpointMissing, match="no checkpoint '3'"):
        checkpoints.find("3")


def test_same_step_twice_takes_the_new_state(tmp_path):
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(1, {"epoch": 0}, write("x"), best=False)
    checkpoints.save(1, {"epoch": 1}, write("x"), best=True)
    assert checkpoints.state(checkpoints.find(BEST)) == {"epoch": 1}


def test_an_unlinked_leftover_is_written_anew(tmp_path):
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(1, {}, write("one"), best=True)
    (tmp_path / "00000002").mkdir()
    (tmp_path / "00000002" / "model.params").write_text("stale")
    checkpoints.save(2, {}, write("two"), best=False)
    assert (checkpoints.find(LAST) / "model.params").read_text() == "two"


def test_full_disk_loses_nothing(tmp_path, monkeypatch):
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(1, {"step": 1}, write("one"), best=True)

    def full(folder):
        write("tw")(folder)
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(OSError, match="cannot write .*00000002: the disk is full; what was there before is untouched"):
        checkpoints.save(2, {"step": 2}, full, best=True)
    assert names(tmp_path) == ["00000001", "best", "last"]
    assert (checkpoints.find(LAST) / "model.params").read_text() == "one"


KILLED = """
import os, signal, sys
from pathlib import Path
from mxdl import files
from mxdl.recipes.checkpoint import Checkpoints
folder, point = Path(sys.argv[1]), sys.argv[2]
calls = [0]
def kill_before(module, name):
    old = getattr(module, name)
    def die(*args):
        os.kill(os.getpid(), signal.SIGKILL)
    setattr(module, name, die)
if point == "parts":
    def parts(folder):
        (folder / "model.params").write_text("half")
        os.kill(os.getpid(), signal.SIGKILL)
else:
    def parts(folder):
        (folder / "model.params").write_text("two")
    kill_before(os, point)
Checkpoints(folder).save(2, {"step": 2}, parts, best=True)
"""


@pytest.mark.parametrize("point, whole", [("parts", "one"), ("fsync", "one"), ("rename", "one"), ("replace", "one")])
def test_kill_9_at_any_point_leaves_a_whole_checkpoint(tmp_path, point, whole):
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(1, {"step": 1}, write("one"), best=True)
    done = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path), point], capture_output=True)
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert (checkpoints.find(LAST) / "model.params").read_text() == whole
    checkpoints.save(3, {"step": 3}, write("three"), best=False)  # and the next one cleans up
    assert names(tmp_path) == ["00000001", "00000003", "best", "last"] and os.listdir(checkpoints.find(LAST))
