"""The verifier: every rule bites, good graphs pass, and time grows with the graph."""
import time

import pytest

from mxdl.errors import GraphError
from mxdl.graph import Graph, Node, Value, variable
from mxdl.graph.verify import verify
from mxdl.ops import get

FC = get("FullyConnected")


def fc(*inputs, name="fc"):
    return Value(Node(FC, name, {"num_hidden": 1, "no_bias": True}, inputs), 0)


def test_a_good_graph_passes():
    x = variable("x")
    verify(Graph([fc(x, variable("w")), x]))


def cycle():
    node = Node(FC, "loop", {"num_hidden": 1, "no_bias": True})
    other = fc(Value(node, 0), variable("w"), name="other")
    node.inputs = (other, variable("v"))
    graph = Graph([])
    graph.outputs = (other,)
    return graph


def broken_variable():
    node = Node(None, "v", inputs=[variable("x")])
    return Graph([Value(node, 0)])


@pytest.mark.parametrize("graph, says", [
    (cycle, "a cycle"),
    (lambda: Graph([fc(variable("x"))]), "wrong number of inputs; got 1; it takes data, weight"),
    (lambda: Graph([Value(variable("x").node, 1)]), "no such output; got output 1"),
    (lambda: Graph([fc(Value(variable("x").node, 2), variable("w"))]), "input 0 of <FullyConnected fc>"),
    (lambda: Graph([fc(variable("x"), variable("x"))]), "two variables of one name; got 'x'"),
    (lambda: Graph([variable("x")], inputs=[]), "not among the graph's inputs"),
    (lambda: Graph([], inputs=[fc(variable("x"), variable("w")).node]), "an input that is no variable"),
    (broken_variable, "a variable has no inputs"),
])
def test_every_rule_bites(graph, says):
    with pytest.raises(GraphError, match=says):
        verify(graph(), "some pass")


def test_time_grows_with_the_graph_only():
    value = variable("x")
    for i in range(20_000):
        value = fc(value, variable(f"w{i}"), name=f"n{i}")
    graph = Graph([value])
    start = time.process_time()
    verify(graph)
    assert time.process_time() - start < 2.0
