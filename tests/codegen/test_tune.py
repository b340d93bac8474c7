"""The search of schedules: bounded, kept, told in the banner, and right whatever it chooses."""
import json
import time

import numpy as np
import pytest
import torch

import mxdl as mx
from mxdl.codegen import export_c, tune
from mxdl.codegen.export import c_source
from mxdl.codegen.frame import Options
from mxdl.codegen.schedules import Schedule
from mxdl.errors import MXNetError
from mxdl.types import TensorType
from tests.codegen.compiled import assert_same, needs_compiler
from tests.codegen.test_packed import COMPILER
from tests.codegen.test_threads import answer, compiled

pytestmark = needs_compiler
SHAPE = (1, 16, 12, 12)


def net():
    rng, x = np.random.default_rng(0), mx.sym.var("x")
    parameters = {}
    for name, channels, filters in (("a", 16, 32), ("b", 32, 16)):
        weight = rng.normal(size=(filters, channels, 3, 3)) / 12
        parameters[f"{name}_weight"] = torch.tensor(weight, dtype=torch.float32)
        x = mx.sym.Convolution(x, kernel=(3, 3), num_filter=filters, pad=(1, 1), no_bias=True, name=name)
    return x.graph(), parameters, {"x": TensorType(SHAPE)}


@pytest.fixture
def home(monkeypatch, tmp_path):
    monkeypatch.setenv("MXDL_HOME", str(tmp_path / "home"))
    return tmp_path


def pretended(monkeypatch, best: Schedule) -> list:
    """Measuring takes no time and finds `best`; what was measured of each site, call by call."""
    measured = []

    def measure(plan, ways, until):
        if time.monotonic() > until:
            return None
        measured.append({site.name: {way[site] for way in ways} for site in ways[0]})
        return {site: {way[site]: float(way[site] != best) + (way[site].tile != best.tile) for way in ways}
                for site in ways[0]}
    monkeypatch.setattr(tune, "measure", measure)
    return measured


def exported(**options) -> tuple[str, list[str]]:
    said: list[str] = []
    return c_source(*net(), Options("net", **options), said.append).text, said


@pytest.mark.parametrize("best,kernel", [(Schedule(), "conv_direct("), (Schedule(2), "winograd_products(16,"),
                                         (Schedule(4), "winograd_products(36,"),
                                         (Schedule(4, streamed=True), "streamed_products(v,")])
def test_what_was_measured_best_is_taken_told_and_kept(best, kernel, home, monkeypatch):
    measured = pretended(monkeypatch, best)
    text, said = exported(tune=60)
    assert kernel in text and "tuned 2 of 2 shapes" in said[0]
    assert f"1x16x12x12-32 pad 1,1 warm: {tune.describe(best)}; 1x32x12x12-16 pad 1,1 warm: " in text.split("*/")[0]
    assert len(measured) == 2 and measured[0]["1x16x12x12-32 pad 1,1 warm"] == set(tune.WAYS)
    kept, = (home / "home" / "tuned").iterdir()
    assert {tuple(one["schedule"]) for one in json.loads(kept.read_text()).values()} == {tuple(best)}
    assert exported(tune=60)[0] == text and len(measured) == 2


@pytest.mark.parametrize("damage", [lambda text: text[:-9], lambda text: text.replace('"schedule"', '"scedule"'),
                                    lambda text: text.replace("2,", "3,")], ids=["cut", "name", "number"])
def test_a_damaged_file_of_what_was_found_is_measured_anew(damage, home, monkeypatch):
    measured = pretended(monkeypatch, Schedule(2))
    text = exported(tune=60)[0]
    kept, = (home / "home" / "tuned").iterdir()
    whole = kept.read_text()
    kept.write_text(damage(whole))
    with pytest.warns(UserWarning, match=f"{kept.name}: a damaged file of measurements"):
        assert exported(tune=60)[0] == text
    assert len(measured) == 4 and kept.read_text() == whole


def test_fewer_tiles_at_a_time_are_tried_around_the_best_side(home, monkeypatch):
    measured = pretended(monkeypatch, Schedule(2, 18))
    text, _ = exported(tune=60)
    assert measured[1]["1x16x12x12-32 pad 1,1 warm"] == {Schedule(2), Schedule(2, 18)}      # of 36 at once as a rule
    assert text.split("*/")[0].count("F(2x2, 3x3) by 18 tiles") == 2 and "winograd_products(16, v, u, z, 18, " in text


def test_without_time_the_cost_model_decides(home, monkeypatch):
    measured = pretended(monkeypatch, Schedule())
    text, said = exported(tune=1e-9)
    assert not measured and "tuned 0 of 2 shapes" in said[0] and "as the cost model says" in said[0]
    assert "nothing was tuned" in text and text.count("winograd_products(") == exported()[0].count("winograd_products(")


def test_tuning_is_refused_where_there_is_no_choice(home):
    for options in ({"tune": -1}, {"tune": 5, "winograd": False}):
        with pytest.raises(MXNetError, match="give seconds and leave winograd out"):
            exported(**options)


@pytest.mark.slow
def test_a_real_search_gives_a_file_with_the_frameworks_answers(home):
    graph, parameters, inputs = net()
    said: list[str] = []
    export_c(graph, parameters, inputs, home / "net.c", "net", tune=120, tell=said.append)
    assert "tuned 2 of 2" in said[0] and COMPILER
    data = np.random.default_rng(1).normal(size=SHAPE).astype(np.float32)
    x = torch.from_numpy(data)
    for name in ("a", "b"):
        x = torch.nn.functional.conv2d(x, parameters[f"{name}_weight"], padding=1)
    assert_same(answer(compiled(home / "net.c"), data), [x.numpy()])
    kept, = (home / "home" / "tuned").iterdir()
    for one in json.loads(kept.read_text()).values():
        assert len(one["ms"]) >= 3 and min(one["ms"].values()) > 0
