"""Printed graphs and memory plans of ten nets: a refactor leaves them identical, an optimization shows its difference.

Renew them with ``python -m tests.golden`` (`make golden`) and commit the difference with the change that made it.
"""
import difflib
from pathlib import Path

import pytest

from tests.golden.nets import NETS
from tests.golden.text import golden


def path_of(name: str) -> Path:
    return Path(__file__).with_name(f"{name}.txt")


@pytest.mark.parametrize("name", NETS)
def test_the_graphs_are_as_they_were(name):
    expected, found = path_of(name).read_text(), golden(name)
    changed = list(difflib.unified_diff(expected.splitlines(), found.splitlines(), "golden", "now", lineterm="", n=1))
    assert not changed, "\n".join([*changed[:40], f"({len(changed)} lines differ; renew with: python -m tests.golden)"])


def test_there_are_ten_and_every_text_has_its_net():
    assert len(NETS) == 10
    assert {path.stem for path in Path(__file__).parent.glob("*.txt")} == set(NETS)
    for name in NETS:
        assert "== train: backward ==" in path_of(name).read_text()
