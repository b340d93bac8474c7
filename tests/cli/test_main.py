"""The command line as a user meets it: quick, one clear message for a mistake, and exit codes that scripts can use."""
import json
import subprocess
import sys

import pytest

from mxdl.cli.main import COMMANDS, main, message
from mxdl.errors import MXNetError


def mxdl(*words: str, **options) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, "-m", "mxdl.cli.main", *words], capture_output=True, text=True, **options)


@pytest.mark.parametrize("words", [["--help"], ["train", "--help"], ["list"], ["describe", "vision/lenet_digits"]])
def test_answers_without_loading_the_engine(words):
    code = ("import sys\nfrom mxdl.cli.main import main\n"
            f"try:\n    main({words!r})\nexcept SystemExit:\n    pass\n"
            "heavy = [m for m in ('torch', 'numpy.linalg', 'sklearn') if m in sys.modules]\n"
            "assert 'torch' not in heavy and 'sklearn' not in heavy, heavy\n")
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


def test_help_names_every_command(capsys):
    with pytest.raises(SystemExit) as caught:
        main(["--help"])
    assert caught.value.code == 0
    text = capsys.readouterr().out
    for name in ("train", "eval", "predict", "export", "list", "describe", "launch", "run", "doctor", "plan",
                 "quickstart"):
        assert f"    {name}" in text
    assert len(COMMANDS) == 11


@pytest.mark.parametrize("words, message", [
    (["train", "vision/lenet_digit"], "did you mean 'vision/lenet_digits'"),
    (["train", "lenet_digits", "train.epoch=3"], "train.epoch=3: train.epoch: unknown key; did you mean 'epochs'?"),
    (["train", "missing.yaml"], "no such file"),
    (["eval", "nothing/here"], "there is none of that name"),
    (["export", "nothing/here", "--to", "c", "-o", "x.c"], "neither a run nor"),
    (["run", "missing.py"], "no such script"),
])
def test_mistakes_of_users_give_one_message_and_code_2(words, message, tmp_path):
    done = mxdl(*words, cwd=tmp_path)
    assert done.returncode == 2
    assert message in done.stderr and "Traceback" not in done.stderr
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("error, text", [
    (OSError(28, "cannot write a: the disk is full"), "cannot write a: the disk is full"),
    (FileNotFoundError(2, "No such file", "a.txt"), "a.txt: No such file"), (MXNetError("matmul: no"), "matmul: no")])
def test_messages_have_no_numbers(error, text):
    assert message(error) == text


def test_debug_shows_the_traceback():
    assert "Traceback" in mxdl("train", "--debug", "vision/lenet_digit").stderr


def test_errors_are_json_in_json_mode():
    done = mxdl("train", "--json", "lenet_digits", "train.epoch=3")
    event = json.loads(done.stdout)
    assert done.returncode == 2 and event["event"] == "error" and event["kind"] == "RecipeError"


def test_a_reader_that_goes_away_is_no_error():
    done = subprocess.run(f"{sys.executable} -m mxdl.cli.main describe lenet_digits | head -1", shell=True,
                          capture_output=True, text=True)
    assert done.stderr == ""


def test_describe_tells_sources(capsys):
    assert main(["describe", "lenet_digits", "train.epochs=3", "--json"]) == 0
    rows = {row["key"]: row for row in map(json.loads, capsys.readouterr().out.splitlines())}
    assert rows["train.epochs"]["layer"] == "command line" and rows["train.epochs"]["value"] == 3
    assert rows["model.name"]["layer"] == "recipe" and rows["train.clip_norm"]["layer"] == "default"


def test_overrides_may_stand_after_options(capsys):
    assert main(["describe", "lenet_digits", "--json", "train.epochs=3", "--changed", "seed=4"]) == 0
    rows = {row["key"]: row["value"] for row in map(json.loads, capsys.readouterr().out.splitlines())}
    assert rows["train.epochs"] == 3 and rows["seed"] == 4
    with pytest.raises(SystemExit):
        main(["describe", "lenet_digits", "seed=4", "--jsn"])


def test_list_shows_components(capsys):
    main(["list", "optimizers"])
    assert "learning_rate=0.001" in capsys.readouterr().out
