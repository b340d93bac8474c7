"""The run folder, its metrics files and what is printed."""
import csv
import io
import json
import sys

import pytest

from mxdl.recipes import catalog, metrics
from mxdl.recipes.metrics import Metrics, plot, read
from mxdl.recipes.progress import Progress, duration, figures, memory_bytes
from mxdl.recipes.resolve import resolve
from mxdl.recipes.run import Run, RunFolderError, versions
from mxdl.recipes.train import catching_signals


@pytest.fixture
def run(tmp_path):
    name, path = catalog.find("lenet_digits")
    return Run.create(tmp_path / "run", resolve(path, name, ["train.epochs=2"]))


def record(epoch: int) -> dict:
    return {"epoch": epoch, "step": 10 * epoch, "train": {"loss": 1 / epoch}, "valid": {"accuracy": 0.5, "loss": 2.0},
            "seconds": 1.0, "speed": 100.0, "memory_mb": 9.0}


def test_holds_what_was_run(run):
    info = run.info
    assert info["name"] == "vision/lenet_digits" and info["seed"] == 1 and info["command"] == sys.argv
    assert info["versions"]["torch"] == versions()["torch"]
    assert run.resolved().recipe.train.epochs == 2
    assert run.resolved(["train.epochs=3"]).recipe.train.epochs == 3
    assert "command line: train.epochs=2" in run.path("recipe.yaml").read_text()


def test_refuses_a_folder_in_use(run, tmp_path):
    resolved = run.resolved()
    with pytest.raises(RunFolderError, match="--resume"):
        Run.create(run.folder, resolved)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.tex").touch()
    with pytest.raises(RunFolderError, match="not empty"):
        Run.create(tmp_path / "other", resolved)
    with pytest.raises(RunFolderError, match="not a run"):
        Run.open(tmp_path / "other")


def test_metrics_in_two_formats_and_forgotten_on_resume(run):
    first = Metrics(run)
    for epoch in (1, 2, 3):
        first.add(record(epoch))
    rows = list(csv.DictReader(io.StringIO(run.path("metrics.csv").read_text())))
    assert [row["valid_accuracy"] for row in rows] == ["0.5"] * 3 and rows[1]["train_loss"] == "0.5"
    with open(run.path("metrics.jsonl"), "a") as stream:
        stream.write('{"epoch": 4, "st')  # a crash
    assert len(read(run)) == 3
    Metrics(run, up_to_step=20)
    assert [line["epoch"] for line in read(run)] == [1, 2]


def test_tensorboard_says_what_to_install(run, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(metrics.TensorBoardMissing, match="pip install"):
        Metrics(run, tensorboard=True)


def test_plot_is_a_png_or_says_what_to_install(tmp_path, monkeypatch):
    target = tmp_path / "metrics.png"
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(metrics.PlotMissing, match="pip install"):
        plot([record(1)], "title", target)
    monkeypatch.undo()
    pytest.importorskip("matplotlib")
    plot([record(1), record(2)], "title", target)
    assert target.read_bytes()[:4] == b"\x89PNG"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_progress_rewrites_its_line_on_a_terminal():
    stream, log = Terminal(), []
    progress = Progress("auto", 0.0, log.append, stream)
    assert progress.due()
    progress.tick("epoch 1/2  3/9", {"loss": 0.5}, 1234.5, "images", 75)
    progress.epoch(record(1), 2, "images", 3.0)
    text = stream.getvalue()
    assert "\repoch 1/2  3/9  loss 0.5000  1,23" in text and "eta 1:15" in text and "MB" in text
    assert text.count("\n") == 1 and len(log) == 1


def test_plain_lines_elsewhere_and_nothing_when_quiet():
    plain, quiet = io.StringIO(), io.StringIO()
    for mode, stream in (("auto", plain), ("quiet", quiet)):
        progress = Progress(mode, 0.0, None, stream)
        assert not progress.due()
        progress.epoch(record(1), 2, "images", 3.0)
    assert plain.getvalue().startswith("epoch 1/2  train loss 1  valid") and not quiet.getvalue()


def test_json_mode_prints_objects_only():
    stream = io.StringIO()
    progress = Progress("json", stream=stream)
    progress.say("hello")
    progress.epoch(record(1), 2, "images", 3.0)
    assert [json.loads(line)["event"] for line in stream.getvalue().splitlines()] == ["epoch"]


def test_figures_and_durations():
    assert [duration(x) for x in (4.21, 187, 3723)] == ["4.2 s", "3:07", "1:02:03"]
    assert figures({"accuracy": 0.98765, "perplexity": 123.456}) == "accuracy 0.9877  perplexity 123.5"
    assert memory_bytes() > 2**20


def test_signals_are_noted_once_and_then_as_before():
    import signal
    before = signal.getsignal(signal.SIGTERM)
    with catching_signals() as caught:
        signal.raise_signal(signal.SIGTERM)
        assert caught == [signal.SIGTERM] and signal.getsignal(signal.SIGTERM) == before
    assert signal.getsignal(signal.SIGTERM) == before
