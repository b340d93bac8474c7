"""`mxdl plan`: the memory of a recipe's step, and the largest batch that fits."""
import json

import pytest

from mxdl.cli.main import main

RECIPE = "vision/lenet_digits"


def planned(capsys, *words):
    assert main(["plan", RECIPE, "--json", *words]) == 0
    return json.loads(capsys.readouterr().out.splitlines()[-1])


def test_a_step_grows_with_the_batch_and_the_largest_fits(capsys):
    small = planned(capsys, "train.batch_size=16")
    assert planned(capsys, "train.batch_size=64")["peak_bytes"] > small["peak_bytes"] > 0
    found = planned(capsys, "--memory", "8MB", "train.batch_size=16")["largest_batch"]
    assert found["recomputing"] >= found["keeping everything"] > 16
    batch = found["keeping everything"]
    tight = planned(capsys, f"train.batch_size={batch}")
    assert tight["peak_bytes"] + tight["optimizer_bytes"] <= 8e6
    more = planned(capsys, f"train.batch_size={batch + 1}")
    assert more["peak_bytes"] + more["optimizer_bytes"] > 8e6


def test_the_text_and_the_pictures(capsys, tmp_path):
    pytest.importorskip("matplotlib")
    assert main(["plan", RECIPE, "--mirror", "sqrt", "--curve", str(tmp_path / "c.svg")]) == 0
    out = capsys.readouterr().out
    assert "mirrored (sqrt)" in out and "optimizer's states" in out and (tmp_path / "c.svg").exists()


def test_too_little_memory_says_how_much_is_needed(capsys):
    assert main(["plan", RECIPE, "--memory", "10kB"]) != 0
    assert "bytes; got" in capsys.readouterr().err
    assert main(["plan", RECIPE, "--memory", "1MB", "train.batch_size=512"]) != 0
    assert "least possible peak found is" in capsys.readouterr().err
