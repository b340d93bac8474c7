"""mx.profiler: what is noted, when, and what the trace and the table say."""
import json
import time

import numpy as np
import pytest

import mxdl as mx
from mxdl import autograd, gluon, profiler
from mxdl.autograd.state import State
from mxdl.errors import MXNetError
from mxdl.ndarray import mixed_precision
from mxdl.ops.precision import Policy
from mxdl.recorder import MOST_EVENTS, recorder


@pytest.fixture(autouse=True)
def fresh(tmp_path):
    """The profiler as a program finds it."""
    profiler.set_state("stop")
    recorder.clear()
    for process in profiler._config:
        profiler._config[process] = dict(profiler._DEFAULTS)
    profiler.set_config(filename=str(tmp_path / "profile.json"))
    yield
    profiler.set_state("stop")
    recorder.clear()


def counts(category="operator"):
    found = json.loads(profiler.dumps(format="json"))["Time"].get(category, {})
    return {name: row["Count"] for name, row in found.items()}


def test_eager_operators_are_noted_while_it_runs():
    x = mx.nd.ones((8, 8))
    x + 1
    profiler.set_state("run")
    began = time.perf_counter()
    for _ in range(3):
        y = mx.nd.dot(x, x) + 1
    took = time.perf_counter() - began
    profiler.set_state("stop")
    x * 2
    assert counts() == {"dot": 3, "_plus_scalar": 3} and float(y[0, 0].asscalar()) == 9
    spans = [event for event in recorder.events if event["ph"] == "X"]
    assert 0 < sum(event["dur"] for event in spans) <= 1e6 * took
    assert abs(spans[0]["ts"] / 1e6 - time.time()) < 60
    assert State.taker is None and not recorder.programs   # nothing is left that would take time


@pytest.mark.parametrize("kinds", [{"profile_symbolic": True}, {"profile_imperative": True}, {"profile_all": True}, {}],
                         ids=str)
def test_hybridized_operators_and_their_gradients_are_noted(kinds):
    net = gluon.nn.Dense(4, activation="tanh", in_units=3)
    net.initialize()
    net.hybridize()
    x = mx.nd.ones((2, 3))
    profiler.set_config(**kinds)
    profiler.set_state("run")
    with autograd.record():
        loss = net(x).sum()
    loss.backward()
    profiler.set_state("stop")
    found = counts()
    symbolic = {"FullyConnected", "Activation"} <= set(found) and any(name.startswith("_backward") for name in found)
    assert symbolic == (kinds != {"profile_imperative": True})
    assert ("sum" in found) == (kinds != {"profile_symbolic": True})
    assert counts("autograd") == ({} if kinds == {"profile_symbolic": True} else {"backward": 1})


def test_a_pause_leaves_out_what_happens_in_it():
    x = mx.nd.ones((2,))
    profiler.set_state("run")
    x + x
    profiler.pause()
    x - x
    with profiler.Task(profiler.Domain("mine"), "unseen"):
        x * x
    profiler.resume()
    x / x
    profiler.set_state("stop")
    assert counts() == {"elemwise_add": 1, "elemwise_div": 1} or set(counts()) == {"broadcast_add", "broadcast_div"}
    assert counts("mine") == {}


def test_mixed_precision_and_profiler_work_together_in_any_order():
    import torch
    x, w = mx.nd.ones((2, 3)), mx.nd.ones((4, 3))
    try:
        for first in ("profiler", "policy"):
            recorder.clear()
            for which in (first, "policy" if first == "profiler" else "profiler"):
                if which == "profiler":
                    profiler.set_state("run")
                else:
                    mixed_precision.use(Policy(torch.bfloat16))
            y = mx.nd.FullyConnected(x, w, no_bias=True, num_hidden=4)
            profiler.set_state("stop")
            assert y.dtype == "bfloat16" or str(y._data.dtype) == "torch.bfloat16"
            assert counts() == {"FullyConnected": 1}
            assert State.taker is not None   # the policy still is
            mixed_precision.use(None)
    finally:
        mixed_precision.use(None)
    assert State.taker is None


def test_tasks_counters_and_markers(tmp_path):
    domain = profiler.Domain("mine")
    profiler.set_state("run")
    task, frame, event = domain.new_task("task"), domain.new_frame("frame"), profiler.Event("event")
    for span in (task, frame, event):
        span.start()
        time.sleep(0.002)
        span.stop()
    counter = domain.new_counter("count", 5)
    counter += 3
    counter -= 1
    domain.new_marker("mark").mark("global")
    profiler.set_state("stop")
    profiler.dump()
    events = {(e["name"], e["ph"]): e for e in json.loads((tmp_path / "profile.json").read_text())["traceEvents"]}
    assert all(events[name, "X"]["dur"] >= 2000 for name in ("task", "frame", "event"))
    assert events["count", "C"]["args"] == {"count": 7} and events["mark", "i"]["s"] == "g"
    assert {events[name, "X"]["cat"] for name in ("task", "frame")} == {"mine"} and str(domain) == "mine"
    assert recorder.events == []   # the next run begins anew
    with pytest.raises(MXNetError, match="'task' is stopped without a start"):
        task.stop()
    with pytest.raises(MXNetError, match="scope is one of global, .*got 'universe'"):
        domain.new_marker("mark").mark("universe")


def test_the_table_is_sorted_and_its_sums_are_right():
    for name, milliseconds in (("slow", 3.0), ("often", 1.0), ("often", 1.5)):
        recorder.span(name, "operator", 0.0, milliseconds / 1e3)
    rows = json.loads(profiler.dumps(format="json"))["Time"]["operator"]
    assert rows["often"]["Count"] == 2
    np.testing.assert_allclose([rows["often"][key] for key in ("Total", "Min", "Max", "Avg")], [2.5, 1, 1.5, 1.25])
    assert list(rows) == ["slow", "often"]
    assert list(json.loads(profiler.dumps(format="json", sort_by="count"))["Time"]["operator"]) == ["often", "slow"]
    table = profiler.dumps(reset=True, ascending=True).splitlines()
    names = [line.split()[0] for line in table if line.startswith(("slow", "often"))]
    assert names == ["often", "slow"] and recorder.events == []
    with pytest.raises(MXNetError, match="sort_by is one of count, total, min, max, avg; got 'size'"):
        recorder.span("a", "b", 0, 1)
        profiler.dumps(sort_by="size")


def test_memory_is_sampled():
    profiler.set_config(profile_memory=True)
    profiler.set_state("run")
    mx.nd.ones((100,)) + 1
    profiler.set_state("stop")
    memory = json.loads(profiler.dumps(format="json"))["Memory"]["memory"]["Memory: cpu/0"]
    assert memory["Count"] >= 1 and 1e4 < memory["Max"] < 1e9
    assert "Device Storage" in profiler.dumps()


def test_rounds_of_a_store_are_in_the_trace():
    store = mx.kv.create("dist_sync")
    try:
        store.init("w", mx.nd.zeros((1000,)))
        profiler.set_state("run")
        out = mx.nd.empty((1000,))
        store.push("w", mx.nd.ones((1000,)))
        store.pull("w", out=out)
        profiler.set_state("stop")
        assert float(out.sum().asscalar()) == 1000
    finally:
        store.close()
    rounds = [event for event in recorder.events if event["cat"] == "kvstore"]
    assert any("key 'w'" in event["name"] and event["args"] == {"bytes": 4000} for event in rounds), rounds
    assert any(event["name"] == "wait for all workers" for event in rounds)


def test_too_many_events_are_counted_and_said(monkeypatch, tmp_path):
    monkeypatch.setattr("mxdl.recorder.MOST_EVENTS", 2)
    for _ in range(5):
        recorder.span("a", "b", 0, 1)
    assert len(recorder.events) == 2 and recorder.left_out == 3 and MOST_EVENTS > 10**5
    with pytest.warns(UserWarning, match="3 events came after the most that are kept"):
        profiler.dump()


def test_continuous_dump_writes_when_it_stops(tmp_path):
    profiler.set_config(continuous_dump=True)
    profiler.set_state("run")
    mx.nd.ones((2,)) + 1
    profiler.set_state("stop")
    assert json.loads((tmp_path / "profile.json").read_text())["traceEvents"]


def test_old_names_and_bad_arguments(tmp_path):
    profiler.profiler_set_config(mode="imperative", filename=str(tmp_path / "old.json"))
    profiler.profiler_set_state("run")
    mx.nd.ones((2,)) + 1
    profiler.profiler_set_state("stop")
    profiler.dump_profile()
    assert json.loads((tmp_path / "old.json").read_text())["traceEvents"]
    for call, said in ((lambda: profiler.set_config(filname="x"), "got 'filname'.*did you mean 'filename'"),
                       (lambda: profiler.set_state("go"), "'run' or 'stop'; got 'go'"),
                       (lambda: profiler.set_state("run", "workers"), "'worker' or 'server'; got 'workers'"),
                       (lambda: profiler.dumps(format="xml"), "'table' or 'json'; got 'xml'"),
                       (lambda: profiler.profiler_set_config("some"), "got 'some'")):
        with pytest.raises(MXNetError, match=said):
            call()
