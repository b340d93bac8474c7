"""Summaries and pictures of symbols."""
import sys
import types

import pytest

import mxdl as mx
from mxdl.errors import NotBuiltError


def net():
    hidden = mx.sym.FullyConnected(mx.sym.var("data"), num_hidden=8, name="fc1")
    return mx.sym.FullyConnected(hidden, num_hidden=3, no_bias=True, name="fc2")


def test_summary_is_mxnets_table(capsys):
    mx.viz.print_summary(net(), shape={"data": (2, 5)}, line_length=60, positions=[.4, .6, .75, 1.])
    assert capsys.readouterr().out.splitlines() == [
        "_" * 60,
        "Layer (type)            Output ShapeParam #  Previous Layer ",
        "=" * 60,
        "data(null)              5           0                       ",
        "_" * 60,
        "fc1(FullyConnected)     8           48       data           ",
        "_" * 60,
        "fc2(FullyConnected)     3           24       fc1            ",
        "=" * 60,
        "Total params: 72",
        "_" * 60]


def test_summary_without_shapes_and_with_a_shared_weight():
    weight = mx.sym.var("w_weight")
    one = mx.sym.FullyConnected(mx.sym.var("data"), weight, num_hidden=5, no_bias=True, name="a")
    two = mx.sym.FullyConnected(one, weight, num_hidden=5, no_bias=True, name="b")
    rows = list(mx.viz.summary_rows(two, {"data": (1, 5)}))
    assert [(row.layer, row.num_params) for row in rows] == [
        ("data(null)", 0), ("a(FullyConnected)", 25), ("b(FullyConnected)", 0)]
    assert [row.shape for row in mx.viz.summary_rows(two)] == ["", "", ""]


def test_dot_text_needs_no_package():
    text = mx.viz.dot_text(net(), title="my net", shape={"data": (2, 5)}, node_attrs={"shape": "oval"})
    assert text.startswith('digraph "my net" {\n') and text.endswith("}\n")
    assert '"fc1" [label="FullyConnected\\n8" shape="oval"' in text
    assert '"fc2" -> "fc1" [dir="back" arrowtail="open" label="8"]' in text
    assert "weight" not in text
    assert '"fc1_weight"' in mx.viz.dot_text(net(), hide_weights=False)


def test_plot_network_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "graphviz", None)
    with pytest.raises(NotBuiltError, match=r"pip install 'mxdl\[plot\]'.*dot_text"):
        mx.viz.plot_network(net())


def test_plot_network_draws_with_graphviz(monkeypatch):
    drawn = []

    class Digraph:
        def __init__(self, name, format):
            drawn.append((name, format))

        def node(self, name, **attrs):
            drawn.append((name, attrs["label"], attrs["shape"]))

        def edge(self, tail_name, head_name, **attrs):
            drawn.append((tail_name, head_name, attrs["label"]))

    monkeypatch.setitem(sys.modules, "graphviz", types.SimpleNamespace(Digraph=Digraph))
    mx.viz.plot_network(net(), shape={"data": (2, 5)})
    assert drawn == [("plot", "pdf"), ("data", "data", "oval"), ("fc1", "FullyConnected\n8", "box"),
                     ("fc2", "FullyConnected\n3", "box"), ("fc1", "data", "5"), ("fc2", "fc1", "8")]
