"""The loop: it learns, it resumes to the same bits, and it says what goes wrong."""
import io
import json
import signal

import numpy as np
import pytest

from mxdl.recipes import catalog, train
from mxdl.recipes.checkpoint import BEST, LAST, Checkpoints
from mxdl.recipes.components import component
from mxdl.recipes.engine import NotFinite
from mxdl.recipes.evaluate import evaluate_run, missed, newest_run
from mxdl.recipes.metrics import read
from mxdl.recipes.progress import Progress
from mxdl.recipes.resolve import resolve
from mxdl.recipes.run import Run, RunFolderError
from mxdl.recipes.task import TRAIN, VALID, generator
from mxdl.recipes.text.datasets import Corpus
from mxdl.recipes.vision.datasets import ImageSet


@component("data", "toy_pictures", task="image_classification")
def toy_pictures():
    """Two classes: the bright half is on the left, or on the right."""
    def load():
        splits = {}
        for split, count in ((TRAIN, 80), (VALID, 32)):
            draw = generator(count)
            labels = draw.integers(0, 2, count, dtype=np.int32)
            pixels = draw.integers(0, 60, (count, 1, 8, 8), dtype=np.uint8)
            for picture, label in zip(pixels, labels, strict=True):
                picture[0, :, 4 * label:4 * label + 4] += 150
            splits[split] = pixels, labels
        return splits
    return ImageSet(("left", "right"), (1, 8, 8), (0.4,), (0.3,), load)


@component("data", "toy_text", task="language_model")
def toy_text():
    """Counting to seven, over and over."""
    words = [f"n{number % 7}" for number in range(900)]
    return Corpus(lambda: {TRAIN: words, VALID: words[:200]})


SMALL = {
    "vision/lenet_digits": ["data=toy_pictures", "model.channels=[4]", "model.hidden=8", "model.dropout=0.2",
                            "task.augment=flip_shift", "train.batch_size=16", "train.epochs=3"],
    "text/lstm_ptb": ["data=toy_text", "model.hidden=12", "train.batch_size=4", "task.steps=10", "train.epochs=3"],
}


def resolved(name: str, *overrides: str):
    return resolve(catalog.find(name)[1], name, [*SMALL.get(name, []), "log.plot=false", *overrides])


def quiet() -> Progress:
    return Progress("quiet", stream=io.StringIO())


def start(folder, name: str, *overrides: str) -> Run:
    recipe = resolved(name, *overrides)
    run = Run.create(folder, recipe)
    train.train(train.prepare(recipe), recipe, run, quiet())
    return run


def files(run: Run) -> dict[str, bytes]:
    """The bytes of the last checkpoint, without the seconds it took."""
    folder = Checkpoints(run.path("checkpoints")).find(LAST)
    found = {path.name: path.read_bytes() for path in folder.iterdir()}
    state = json.loads(found["state.json"])
    state.pop("seconds")
    return found | {"state.json": json.dumps(state).encode()}


def figures(run: Run) -> list[dict]:
    return [{key: record[key] for key in ("epoch", "step", "rate", "train", "valid")} for record in read(run)]


@pytest.mark.parametrize("name", sorted(SMALL))
@pytest.mark.parametrize("stop_after", [1, 7, 9])
def test_resumed_run_gives_the_bits_of_an_uninterrupted_one(tmp_path, monkeypatch, name, stop_after):
    whole = start(tmp_path / "whole", name)
    recipe = resolved(name)
    run = Run.create(tmp_path / "parts", recipe)
    step = train.Engine.step

    def step_then_signal(engine, number, batch, *whole_size):
        if number + 1 == stop_after:
            signal.raise_signal(signal.SIGINT)
        return step(engine, number, batch, *whole_size)

    monkeypatch.setattr(train.Engine, "step", step_then_signal)
    how = f"saved at step {stop_after}; resume with:\n  mxdl train .*parts --resume"
    with pytest.raises(train.Interrupted, match=how) as caught:
        train.train(train.prepare(recipe), recipe, run, quiet())
    assert caught.value.code == 130
    monkeypatch.undo()
    np.random.seed(stop_after)  # nothing may hang on what was drawn before
    train.train(train.prepare(recipe), recipe, run, quiet(), resume=True)
    assert figures(run) == figures(whole)
    assert files(run) == files(whole)


@pytest.mark.parametrize("name", sorted(SMALL))
def test_same_seed_same_bits_and_another_seed_others(tmp_path, name):
    runs = [start(tmp_path / str(i), name, f"seed={seed}", "train.epochs=1") for i, seed in enumerate((5, 5, 6))]
    first, second, third = (files(run)["model.params"] for run in runs)
    assert first == second != third


def test_learns_pictures(tmp_path):
    run = start(tmp_path / "run", "vision/lenet_digits", "task.augment=none", "train.epochs=12")
    assert figures(run)[-1]["valid"]["accuracy"] >= 0.95
    again = evaluate_run(run, run.resolved())
    assert again == pytest.approx(figures(run)[-1]["valid"])
    assert Checkpoints(run.path("checkpoints")).find(BEST)


def test_learns_text(tmp_path):
    run = start(tmp_path / "run", "text/lstm_ptb", "optimizer=adam", "optimizer.learning_rate=0.05",
                "schedule=constant", "model.dropout=0", "train.epochs=4")
    assert figures(run)[0]["valid"]["perplexity"] > figures(run)[-1]["valid"]["perplexity"]
    assert figures(run)[-1]["valid"]["perplexity"] < 1.5


@pytest.mark.parametrize("broken, where", [("weights", "the value of lenet_dense1_bias"),
                                           ("data", "the output of lenet_conv0_tanh")])
def test_not_finite_stops_before_the_update_and_names_the_place(tmp_path, monkeypatch, broken, where):
    recipe = resolved("vision/lenet_digits", "optimizer=sgd", "model.activation=tanh")
    run = Run.create(tmp_path / "run", recipe)
    step = train.Engine.step

    def step_that_breaks(engine, number, batch, *whole_size):
        if number == 7 and broken == "weights":
            last = [*engine.net.collect_params().values()][-1]
            last.set_data(last.data() * float("nan"))
        elif number == 7:
            batch.data[:] = np.nan
        return step(engine, number, batch, *whole_size)

    monkeypatch.setattr(train.Engine, "step", step_that_breaks)
    with pytest.raises(NotFinite, match=f"the loss is nan at step 7; first not finite: {where}"):
        train.train(train.prepare(recipe), recipe, run, quiet())
    assert Checkpoints(run.path("checkpoints")).find(LAST).name == "00000005"


@pytest.mark.parametrize("name", sorted(catalog.recipes()))
def test_every_recipe_runs_two_steps_on_synthetic_data(tmp_path, name):
    found = train.dry_run(resolve(catalog.find(name)[1], name, ["train.batch_size=4"]), tmp_path)
    assert found["parameters"] > 1000 and np.isfinite(found["loss"])


def test_two_devices_give_the_gradient_of_one(tmp_path):
    plain = ["task.augment=none", "model.dropout=0", "optimizer=sgd", "optimizer.learning_rate=0.05", "train.epochs=1"]
    one, two = (start(tmp_path / name, "vision/lenet_digits", *plain, f"train.devices={devices}")
                for name, devices in (("one", "[cpu]"), ("two", "[cpu(0), cpu(1)]")))
    assert figures(one)[0]["train"]["loss"] == pytest.approx(figures(two)[0]["train"]["loss"], rel=1e-4)


def test_expectation():
    recipe = resolved("vision/lenet_digits", "expect.value=0.9", "expect.tolerance=0.05")
    assert not missed(recipe, {"accuracy": 0.85}) and "misses" in missed(recipe, {"accuracy": 0.84})
    recipe = resolved("text/lstm_ptb", "expect.value=100", "expect.tolerance=5")
    assert not missed(recipe, {"perplexity": 105}) and "misses" in missed(recipe, {"perplexity": 106})


def test_newest_run_of_a_recipe(tmp_path):
    with pytest.raises(RunFolderError, match="train one with: mxdl train vision/lenet_digits"):
        newest_run("vision/lenet_digits", tmp_path)
    for number in (1, 2):
        Run.create(tmp_path / str(number), resolved("vision/lenet_digits")).write_info(started=f"2026-01-0{number}")
    assert newest_run("vision/lenet_digits", tmp_path).folder.name == "2"
