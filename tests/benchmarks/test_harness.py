"""The benchmark harness with a stand-in for a benchmark: what is timed, told and reported when a peer fails."""
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = """
import sys, time
import harness

def prepare(peer, case):
    if peer == "broken":
        raise ValueError("cannot be prepared")
    print("noise that a library writes")
    return (lambda: time.sleep(0.03)), (lambda: {"parameters": len(case)})

harness.serve(lambda: prepare(*harness.serving()))
"""


@pytest.fixture
def harness(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    import harness
    yield harness
    sys.modules.pop("harness")


def test_peers_are_timed_side_by_side(harness, tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(harness.ROOT / "benchmarks"))
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    found = harness.side_by_side(str(script), "case", ["one", "broken"], runs=2)
    assert found["one"]["parameters"] == 4 and found["one"]["runs"] == 2
    assert 30 <= found["one"]["ms"] < 300 and found["one"]["cpu_ms"] < 30
    assert "ended with status 1" in found["broken"]["error"]


def test_warming_up_may_be_left_out(harness, tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(harness.ROOT / "benchmarks"))
    script = tmp_path / "script.py"
    script.write_text(SCRIPT.replace("harness.serving()))", "harness.serving()), warmup=0)"))
    assert harness.side_by_side(str(script), "case", ["one"], runs=1)["one"]["runs"] == 1


def test_summary_and_mean(harness):
    assert harness.summary([{"wall_s": w, "cpu_s": 0.001} for w in (0.003, 0.001, 0.002)]) == {
        "ms": 2.0, "spread_ms": [1.0, 3.0], "cpu_ms": 1.0, "cpu_least_ms": 1.0, "runs": 3}
    assert harness.geometric_mean([2, 8]) == pytest.approx(4)


def test_a_peer_that_is_not_installed_is_left_out_aloud(harness, monkeypatch, capsys):
    monkeypatch.setattr(harness, "PACKAGES", {"strange": ("no_such_package", "json")})
    monkeypatch.setattr(sys, "argv", ["benchmark"])
    options = harness.arguments("", ["case"], ["plain", "strange"])
    assert options.peer == ["plain"] and "strange IS LEFT OUT: pip install no_such_package," in capsys.readouterr().err
    monkeypatch.setenv(harness.PEER_VARIABLE, sys.executable)
    assert harness.python_of("strange") == harness.python_of("plain") == sys.executable
