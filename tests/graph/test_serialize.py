"""Symbol JSON: what is written, what is read back, what is refused."""
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mxdl.errors import FileFormatError, NotBuiltError, OperatorError
from mxdl.graph import Graph, Node, Value, variable
from mxdl.graph.json_text import quoted
from mxdl.graph.serialize import from_json, to_json
from mxdl.ops import get


def fc(data, name, **attrs):
    names = get("FullyConnected").input_names(attrs)[1:]
    inputs = [data, *(variable(f"{name}_{n}") for n in names)]
    return Value(Node(get("FullyConnected"), name, attrs, inputs), 0)


def node_of(op, inputs=(), **more):
    return {"op": op, "name": op.lower(), "inputs": [[i, 0, 0] for i in inputs], **more}


def symbol_text(*nodes, version=10901, **more):
    return json.dumps({"nodes": nodes, "arg_nodes": [], "heads": [[len(nodes) - 1, 0, 0]],
                       "attrs": {"mxnet_version": ["int", version]}, **more})


def test_the_text_is_mxnets():
    text = to_json(Graph([fc(variable("x", {"__shape__": "(2, 3)", "a": "\"q\"\n"}), "f", num_hidden=3)]))
    assert text.splitlines()[:12] == [
        "{", '  "nodes": [', "    {", '      "op": "null", ', '      "name": "x", ', '      "attrs": {',
        '        "__shape__": "(2, 3)", ', '        "a": "\\"q\\"\\n"', "      }, ", '      "inputs": []', "    }, ",
        "    {"]
    assert text.splitlines()[-5:] == [
        '  "arg_nodes": [0, 1, 2], ', '  "node_row_ptr": [0, 1, 2, 3, 4], ', '  "heads": [[3, 0, 0]], ',
        '  "attrs": {"mxnet_version": ["int", 10901]}', "}"]


def test_attribute_texts_are_kept_as_given_while_they_are_true():
    text = symbol_text(node_of("null"), node_of("null"), node_of("FullyConnected", [0, 1], attrs={
        "num_hidden": " 3", "no_bias": "1", "flatten": "true"}))
    graph = from_json(text)
    node = graph.outputs[0].node
    assert node.attrs == {"num_hidden": 3, "no_bias": True, "flatten": True}
    assert json.loads(to_json(graph))["nodes"][2]["attrs"] == {"num_hidden": " 3", "no_bias": "1", "flatten": "true"}
    changed = Graph([Value(node.replaced(attrs={**node.attrs, "num_hidden": 4}), 0)])
    assert json.loads(to_json(changed))["nodes"][2]["attrs"]["num_hidden"] == "4"


@given(st.text(st.characters(blacklist_categories=("Cs",))))
def test_any_string_survives(text):
    assert json.loads(quoted(text), strict=False) == text


@given(st.lists(st.integers(1, 9), min_size=1, max_size=6))
def test_what_is_written_is_read_back(sizes):
    value = variable("data")
    for i, n in enumerate(sizes):
        value = fc(value, f"fc{i}", num_hidden=n, no_bias=bool(n % 2))
    text = to_json(Graph([value]))
    assert to_json(from_json(text)) == text


def test_unknown_operators_are_all_named_at_once():
    text = symbol_text(node_of("Foo"), node_of("Bar", [0]), {**node_of("Foo", [1]), "name": "second"})
    with pytest.raises(OperatorError, match=r"Foo \(node 'foo' and 1 more\), Bar \(node 'bar'\)"):
        from_json(text)


@pytest.mark.parametrize("text, says", [
    ("hello", "not JSON at byte 0"), ("{}", "needs nodes"), ("[1]", "not a symbol"),
    ('{"nodes": [{"name": "a"}], "heads": []}', "op"),
    (symbol_text(node_of("null"), heads=[[5, 0, 0]]), "heads: an edge leads to node 5"),
    (symbol_text(node_of("FullyConnected", [0], attrs={"num_hidden": "1"})), "before it"),
    (symbol_text(node_of("null"), node_of("FullyConnected", [0], attrs={"zork": "1"})), "no attribute 'zork'"),
])
def test_what_is_no_symbol_file_is_refused(text, says):
    with pytest.raises(FileFormatError, match=says):
        from_json(text, "some.json")


def test_a_truncated_file_is_refused_at_every_length():
    text = to_json(Graph([fc(variable("x"), "f", num_hidden=3)]))
    for length in range(0, len(text) - 1, 7):
        with pytest.raises(FileFormatError, match="bytes? "):
            from_json(text[:length])


def test_operators_that_cannot_run_load_and_save():
    inner = {"nodes": [node_of("null")], "arg_nodes": [0], "node_row_ptr": [0, 1], "heads": [[0, 0, 0]]}
    text = symbol_text(node_of("null"), node_of("_sg_mkldnn_conv", [0], attrs={"quantized": "true"},
                                                subgraphs=[inner]), node_row_ptr=[0, 1, 4])
    graph = from_json(text)
    node = graph.outputs[0].node
    assert node.num_outputs == 3
    written = json.loads(to_json(graph))
    assert written["nodes"][1]["subgraphs"] == [inner] and written["node_row_ptr"] == [0, 1, 4]
    with pytest.raises(NotBuiltError, match="_sg_mkldnn_conv: .*node '_sg_mkldnn_conv'"):
        node.op.kernel(None)


def test_old_files_are_upgraded():
    old = {"nodes": [
        {"op": "null", "name": "data", "inputs": [], "param": {}, "attr": {"lr_mult": "0.2"}},
        {"op": "FullyConnected", "name": "fc", "inputs": [[0, 0]], "param": {"num_hidden": "4"},
         "attr": {"ctx_group": "s", "weight_lr_mult": "1.2"}}], "arg_nodes": [0], "heads": [[1, 0]]}
    graph = from_json(json.dumps(old))
    data, weight, bias = graph.inputs
    assert data.hidden == {"__lr_mult__": "0.2"}
    assert (weight.name, bias.name) == ("fc_weight", "fc_bias")
    assert graph.outputs[0].node.attrs == {"num_hidden": 4}
    assert graph.outputs[0].node.hidden["__ctx_group__"] == "s"


def places(content, path=()):
    """The path of everything inside a JSON value."""
    items = content.items() if isinstance(content, dict) else enumerate(content) if isinstance(content, list) else ()
    for key, value in items:
        yield (*path, key)
        yield from places(value, (*path, key))


@given(st.integers(0, 2**32), st.sampled_from([None, -1, 1000, "x", [], {}, [[]], 3.5, True, "null", "remove"]))
def test_a_damaged_file_is_refused_or_read_never_a_crash(place, damage):
    content = json.loads(to_json(Graph([fc(fc(variable("x"), "f", num_hidden=3), "g", num_hidden=2, no_bias=True)])))
    *path, last = list(places(content))[place % len(list(places(content)))]
    spot = content
    for key in path:
        spot = spot[key]
    if damage == "remove":
        del spot[last]
    else:
        spot[last] = damage
    try:
        to_json(from_json(json.dumps(content)))
    except (FileFormatError, OperatorError) as error:
        assert str(error)
