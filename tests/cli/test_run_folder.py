"""The commands on a real run, from training to a program."""
import contextlib
import io
import json
import signal
import subprocess
import sys
from typing import NamedTuple

import numpy as np
import pytest

from mxdl.cli.main import main

SMALL = ["train.epochs=2", "model.channels=[4]", "model.hidden=16", "log.plot=false"]


class Done(NamedTuple):
    returncode: int
    stdout: str
    stderr: str


def mxdl(*words: str) -> Done:
    """The command in this process: a process of its own spends its time on importing torch."""
    with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.redirect_stderr(io.StringIO()) as err:
        code = main([*words])
    return Done(code, out.getvalue(), err.getvalue())


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    pytest.importorskip("sklearn")
    folder = tmp_path_factory.mktemp("runs") / "run"
    done = mxdl("train", "vision/lenet_digits", *SMALL, "--out", str(folder), "--json")
    assert done.returncode == 0, done.stderr
    return folder, [json.loads(line) for line in done.stdout.splitlines()]


def test_events_of_a_run(trained):
    folder, events = trained
    assert [event["event"] for event in events] == ["start", "epoch", "epoch", "end"]
    assert events[-1]["run"] == str(folder) and 0 < events[-1]["valid"]["accuracy"] <= 1
    there = {path.name for path in folder.iterdir()}
    assert there == {"recipe.yaml", "run.json", "metrics.jsonl", "metrics.csv", "log.txt", "checkpoints"}


def test_eval_agrees_with_the_last_epoch(trained):
    folder, events = trained
    done = mxdl("eval", str(folder), "--json")
    assert json.loads(done.stdout)["valid"] == pytest.approx(events[-1]["valid"]), done.stderr


def test_a_run_is_not_trained_again_by_accident(trained):
    done = mxdl("train", str(trained[0]))
    assert done.returncode == 2 and "--resume" in done.stderr


def test_resuming_a_finished_run_changes_nothing(trained):
    folder, events = trained
    done = mxdl("train", str(folder), "--resume", "--json")
    assert done.returncode == 0 and json.loads(done.stdout.splitlines()[-1])["valid"] == events[-1]["valid"]


def test_missed_expectation_fails_only_with_check(trained):
    words = ["train", str(trained[0]), "--resume", "expect.value=1", "expect.tolerance=0"]
    assert mxdl(*words).returncode == 0
    done = mxdl(*words, "--check")
    assert done.returncode == 1 and "misses what the recipe expects" in done.stderr


def test_predict_reads_pictures(trained, tmp_path):
    image = pytest.importorskip("PIL.Image")
    image.fromarray(np.full((20, 20), 120, np.uint8)).save(tmp_path / "grey.png")
    done = mxdl("predict", str(trained[0]), str(tmp_path / "grey.png"), "--json")
    answer = json.loads(done.stdout)
    assert answer["class"] in "0123456789" and 0 < answer["probability"] <= 1
    done = mxdl("predict", str(trained[0]), "missing.png")
    assert done.returncode in (1, 2) and "missing.png" in done.stderr and "Traceback" not in done.stderr


def test_export_to_mxnets_files_and_from_them_to_c(trained, tmp_path):
    prefix = str(tmp_path / "net")
    assert mxdl("export", str(trained[0]), "--to", "mxnet", "-o", prefix).returncode == 0
    for model, more in ((str(trained[0]), []), (prefix, ["--input", "data=1,1,8,8"])):
        done = mxdl("export", model, "--to", "c", "-o", str(tmp_path / "net.c"), *more)
        assert done.returncode == 0 and "cc -O3" in done.stdout, done.stderr
    done = mxdl("export", str(trained[0]), "--to", "c", "-o", str(tmp_path / "net.c"), "--precision", "int8")
    assert done.returncode == 0 and "parameters as int8: an output moves by" in done.stdout, done.stderr
    assert mxdl("export", prefix, "--to", "c", "-o", "x.c").returncode == 2
    assert mxdl("export", prefix, "--to", "c", "-o", "x.c", "--input", "data=1,a").returncode == 2


def test_ctrl_c_saves_and_says_how_to_resume(tmp_path):
    pytest.importorskip("sklearn")
    folder = tmp_path / "run"
    words = ["train", "vision/lenet_digits", *SMALL[1:], "train.epochs=1000", "--out", str(folder), "--json"]
    process = subprocess.Popen([sys.executable, "-m", "mxdl.cli.main", *words], stdout=subprocess.PIPE, text=True)
    assert json.loads(process.stdout.readline())["event"] == "start"
    assert json.loads(process.stdout.readline())["event"] == "epoch"
    process.send_signal(signal.SIGTERM)
    rest, _ = process.communicate(timeout=60)
    error = json.loads(rest.splitlines()[-1])
    assert process.returncode == 128 + signal.SIGTERM and f"mxdl train {folder} --resume" in error["message"]
    epochs = len((folder / "metrics.jsonl").read_text().splitlines())
    done = mxdl("train", str(folder), "--resume", f"train.epochs={epochs + 1}", "--quiet")
    assert done.returncode == 0 and "accuracy" in done.stdout, done.stderr


def test_missing_data_leaves_no_folder(tmp_path, monkeypatch):
    def no_network(url, timeout):
        raise OSError("no network")

    monkeypatch.setattr("urllib.request.urlopen", no_network)
    monkeypatch.setenv("MXDL_DATA", str(tmp_path))
    monkeypatch.setenv("MXDL_HOME", str(tmp_path))
    done = mxdl("train", "mlp_mnist", "--out", str(tmp_path / "run"))
    assert done.returncode == 2 and f"{tmp_path / 'mnist'}" in done.stderr and "no network" in done.stderr
    assert not list(tmp_path.iterdir())


def test_dry_run_leaves_nothing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = mxdl("train", "lenet_digits", "--dry-run")
    assert done.returncode == 0 and "two steps on synthetic data" in done.stdout, done.stderr
    assert not list(tmp_path.iterdir())


def test_quickstart(tmp_path):
    pytest.importorskip("sklearn")
    done = mxdl("quickstart", "--out", str(tmp_path / "run"), "--json")
    found = json.loads(done.stdout.splitlines()[-1])
    assert done.returncode == 0 and found["good"], (found, done.stderr)
    assert found["trained_accuracy"] >= 0.97 and found["greatest_difference"] <= 1e-5
