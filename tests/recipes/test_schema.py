"""A recipe with mistakes: each is told, all at once, with its line and the nearest valid name."""
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mxdl.recipes import catalog
from mxdl.recipes.check import convert, describe, parse
from mxdl.recipes.resolve import RecipeError, resolve
from mxdl.recipes.run import as_yaml

FIVE_MISTAKES = """\
task: image_classification
model: {name: lennet}
data: digits
optimizer:
  name: adam
  learning_rat: 0.01
train:
  epochs: many
  batch_size: 0
  mirrror: sqrt
"""


def test_five_mistakes_give_five_messages_with_lines(tmp_path):
    path = tmp_path / "bad.yaml"
    path.write_text(FIVE_MISTAKES)
    with pytest.raises(RecipeError) as caught:
        resolve(path, "bad")
    first, *rest = str(caught.value).splitlines()
    assert first == "bad: 5 mistakes"
    assert [line.split(":")[1] for line in rest] == ["2", "6", "8", "9", "10"]
    assert "did you mean 'lenet'?" in rest[0]
    assert "optimizer.learning_rat: unknown key; did you mean 'learning_rate'?" in rest[1]
    assert "train.epochs: must be an integer, at least 1; got 'many'" in rest[2]
    assert "train.batch_size: must be an integer, at least 1; got 0" in rest[3]
    assert "did you mean 'mirror'?" in rest[4]


WHOLE = "task: image_classification\nmodel: mlp\ndata: digits\noptimizer: sgd\n"


def test_checking_a_recipe_loads_no_engine_and_no_data():
    code = ("import sys; from mxdl.recipes import catalog, resolve\n"
            "resolve.resolve(catalog.find('lenet_digits')[1], 'x')\n"
            "print([m for m in ('torch', 'sklearn') if m in sys.modules])")
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "[]"


@pytest.mark.parametrize("text, message", [
    ("", "must hold keys and values; got nothing"),
    ("- a\n", "must hold keys and values"),
    ("a: [1\n", "not valid YAML"),
    ("task: image_classification\nmodel: mlp\nmodel: mlp\ndata: digits\noptimizer: sgd\n", "given twice"),
    ("task: image_classification\nmodel: mlp\ndata: digits\n", "optimizer.name: missing"),
    ("task: image_classification\nmodel: mlp\ndata: ptb\noptimizer: sgd\n", "'ptb' is for the task 'language_model'"),
    (WHOLE + "train: 3\n", "train: holds keys of its own"),
    (WHOLE + "expect: {metric: bleu}\n", "no measure 'bleu'"),
    ("task: [a]\nmodel: mlp\ndata: digits\noptimizer: sgd\n", "there is no task named"),
])
def test_broken_files(tmp_path, text, message):
    path = tmp_path / "bad.yaml"
    path.write_text(text)
    with pytest.raises(RecipeError) as caught:
        resolve(path, "bad")
    assert message in str(caught.value)


def lenet(*overrides, files=()):
    name, path = catalog.find("vision/lenet_digits")
    return resolve(path, name, list(overrides), list(files))


def test_sources_in_order_of_precedence(tmp_path):
    extra = tmp_path / "extra.yaml"
    extra.write_text("seed: 5\ntrain: {epochs: 6}\n")
    resolved = lenet("train.epochs=7", files=[extra])
    values, sources = resolved.values, {key: source.layer for key, source in resolved.sources.items()}
    assert (values["train.epochs"], sources["train.epochs"]) == (7, "command line")
    assert (values["seed"], sources["seed"]) == (5, "file")
    assert sources["model.kernel"] == "recipe" and sources["train.clip_norm"] == "default"
    assert str(resolved.sources["seed"]) == "extra.yaml:1"


def test_typed_overrides():
    recipe = lenet("train.mirror=true", "summary=007", "optimizer.learning_rate=1e-3", "model.channels=[4, 8]").recipe
    assert recipe.train.mirror is True and recipe.summary == "007"
    assert recipe.optimizer.options["learning_rate"] == 0.001 and recipe.model.options["channels"] == (4, 8)
    for text, mode in [("4GB", "4GB"), ("512MiB", "512MiB"), ("0.5", 0.5), ("min", "min"), ("true", True)]:
        assert lenet(f"train.mirror={text}").recipe.train.mirror == mode
    assert lenet("train.max_recompute=2").recipe.train.max_recompute == 2
    assert lenet("train.mirror=sqrt", "train.devices=[gpu(1)]").recipe.train.devices == ("gpu(1)",)
    with pytest.raises(RecipeError, match="must be a list of texts, such as auto, cpu or gpu"):
        lenet("train.devices=[tpu]")


def test_dropping_a_key_goes_back_to_the_default():
    assert lenet("~train.mirror").recipe.train.mirror is False
    with pytest.raises(RecipeError, match="nothing to drop"):
        lenet("~train.clip_norm")


def test_another_component_drops_the_options_of_the_old_one():
    recipe = lenet("optimizer=sgd", "optimizer.momentum=0.9").recipe
    assert recipe.optimizer.name == "sgd"
    assert recipe.optimizer.options == {"learning_rate": 0.1, "momentum": 0.9, "wd": 0.0}


def test_a_word_that_is_no_override():
    with pytest.raises(RecipeError, match="must be key=value"):
        lenet("fast")


def test_resolved_recipe_reads_back_the_same(tmp_path):
    first = lenet("summary=a: b # c\nd: e")
    path = tmp_path / "recipe.yaml"
    path.write_text(as_yaml(first))
    assert resolve(path, "again").recipe == first.recipe


def test_every_recipe_that_comes_with_mxdl_is_valid():
    found = catalog.recipes()
    assert len(found) == 5
    for name, path in found.items():
        resolved = resolve(path, name)
        header = "\n".join(catalog.header(path))
        assert f"mxdl train {name}" in header and "Data:" in header and "Expect:" in header and "Cost:" in header, name
        recipe = resolved.recipe
        assert recipe.summary and recipe.expect.metric and recipe.expect.value is not None, name
        figure = f"{100 * recipe.expect.value:.1f} %" if recipe.expect.metric == "accuracy" else recipe.expect.value
        assert f"{recipe.expect.metric} {figure} on the held-out" in header, name


def test_names_of_recipes():
    assert catalog.find("lenet_digits")[0] == "vision/lenet_digits"
    with pytest.raises(catalog.RecipeNotFound, match="did you mean 'vision/lenet_digits'"):
        catalog.find("vision/lenet_digit")
    with pytest.raises(catalog.RecipeNotFound, match="no such file"):
        catalog.find("mine.yaml")


@pytest.mark.parametrize("value, annotation, expected", [
    (3, float, 3.0), ("1e-3", float, 1e-3), (True, bool, True), ([1, 2], list[int], (1, 2)),
    (None, float | None, None), ("ab", list[str], ("ab",)), ("c,js", list[str], ("c", "js"))])
def test_conversions(value, annotation, expected):
    assert convert(value, annotation) == expected


@pytest.mark.parametrize("value, annotation", [
    (True, int), (1, bool), (1.5, int), ("x", float), (float("nan"), float), (3, str), ({"a": 1}, list[str])])
def test_refused_conversions(value, annotation):
    with pytest.raises(ValueError, match="must be"):
        convert(value, annotation)


def test_text_stays_text_where_a_text_is_wanted():
    assert parse("007", str) == "007" and parse("true", str) == "true" and parse("[", str) == "["
    assert describe(list[int]) == "a list of integers"


OWN_MODEL = '''
from mxdl.recipes.components import component

@component("model")
def tiny(facts, *, size: int = 3):
    """Tiny."""
'''


def test_components_of_ones_own(tmp_path):
    (tmp_path / "mine.py").write_text(OWN_MODEL)
    path = tmp_path / "mine.yaml"
    path.write_text(WHOLE.replace("mlp", "{name: tiny, size: 5}") + "extend: [mine.py]\n")
    first = resolve(path, "mine")
    assert first.recipe.model.options == {"size": 5}
    (tmp_path / "elsewhere").mkdir()
    copy = tmp_path / "elsewhere" / "recipe.yaml"
    copy.write_text(as_yaml(first))
    assert resolve(copy, "again").recipe == first.recipe


@pytest.mark.parametrize("content, message", [
    (None, "no such file"), ("1 / 0", "failed: ZeroDivisionError"),
    (OWN_MODEL.replace("tiny", "mlp"), "registered twice")])
def test_broken_files_of_ones_own(tmp_path, content, message):
    if content is not None:
        (tmp_path / "mine.py").write_text(content)
    path = tmp_path / "mine.yaml"
    path.write_text(WHOLE + "extend: [mine.py]\n")
    with pytest.raises(RecipeError) as caught:
        resolve(path, "mine")
    assert message in str(caught.value) and "mine.yaml:5" in str(caught.value)


@settings(max_examples=60, deadline=None)
@given(summary=st.text(max_size=40), rate=st.floats(0, 1e6), channels=st.lists(st.integers(-5, 2**40), max_size=4),
       epochs=st.integers(1, 10**9), mirror=st.sampled_from([True, False, "sqrt", "min", "1.5GB", 0.25]))
def test_any_resolved_recipe_reads_back_the_same(summary, rate, channels, epochs, mirror):
    first = lenet(f"summary={json.dumps(summary)}", f"optimizer.learning_rate={rate!r}", f"model.channels={channels}",
                  f"train.epochs={epochs}", f"train.mirror={json.dumps(mirror)}")
    assert first.recipe.optimizer.options["learning_rate"] == rate
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "recipe.yaml"
        path.write_text(as_yaml(first), encoding="utf-8")
        assert resolve(path, "again").recipe == first.recipe
