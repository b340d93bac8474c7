"""Copies of graphs with variables replaced, operators bypassed."""
from mxdl.graph import Graph, Node, Value, variable
from mxdl.graph.substitute import bypassed, substituted
from mxdl.ops import get


def fc(*inputs, name="fc"):
    return Value(Node(get("FullyConnected"), name, {"num_hidden": 1, "no_bias": True}, inputs), 0)


def test_every_node_is_new_except_what_is_put_in():
    x, w, z = variable("x"), variable("w"), variable("z")
    out = fc(fc(x, w, name="a"), w, name="b")
    [copy] = substituted([out], {x.node: z})
    assert [n.name for n in Graph([copy]).nodes] == ["z", "w", "a", "b"]
    assert z.node in Graph([copy]).inputs and w.node not in Graph([copy]).inputs


def test_bypassing_joins_inputs_to_consumers_and_keeps_outputs():
    x, w = variable("x"), variable("w")
    cast = Value(Node(get("amp_cast"), "cast", {"dtype": "float16"}, [x]), 0)
    [joined] = bypassed([fc(cast, w)], ["amp_cast"])
    assert [n.name for n in Graph([joined]).nodes] == ["x", "w", "fc"]
    assert [n.name for n in Graph(bypassed([cast], ["amp_cast"])).nodes] == ["x", "cast"]
