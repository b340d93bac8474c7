"""Graphs as text."""
from mxdl.graph import Graph, Node, Value, variable
from mxdl.graph.printer import graph_text
from mxdl.ops import get
from mxdl.types import TensorType


def test_one_line_a_node_with_types_where_known():
    x, w = variable("x"), variable("w")
    node = Node(get("FullyConnected"), "fc", {"num_hidden": 4, "no_bias": True}, [x, w])
    graph = Graph([Value(node, 0)])
    assert graph_text(graph) == ("%x\n%w\n%fc = FullyConnected(%x, %w) {no_bias=True, num_hidden=4}\nreturn %fc\n")
    types = {x: TensorType((2, 3)), Value(node, 0): TensorType((2, 4), "float16")}
    assert graph_text(graph, types.get, {node: "kept"}).splitlines() == [
        "%x : float32[2, 3]", "%w",
        "%fc = FullyConnected(%x, %w) {no_bias=True, num_hidden=4} : float16[2, 4]   # kept", "return %fc"]
