"""What every graph must satisfy; run between passes in tests (MXDL_VERIFY_PASSES=1).  Linear in nodes and edges."""
from __future__ import annotations

from ..errors import GraphError
from .graph import Graph
from .node import Node, Value

_ON_PATH, _DONE = 1, 2


def verify(graph: Graph, where: str = "verify") -> None:
    """Raises GraphError naming `where` and the first node that breaks a rule:

    no cycle; every input is a value of a node with that many outputs; as many inputs as the operator takes;
    variables have no inputs and names of their own; the outputs exist; `inputs` holds every variable that is used.
    """
    nodes = _walk(graph, where)
    names: dict[str, Node] = {}
    known = set(graph.inputs)
    for node in nodes:
        for position, value in enumerate(node.inputs):
            _check_value(value, f"{where}: input {position} of {node!r}")
        if node.op is not None:
            _check_arity(node, where)
            continue
        if node.inputs:
            raise GraphError(f"{where}: {node!r}: a variable has no inputs; got {len(node.inputs)}; the pass that made "
                             f"it lost its operator")
        if names.setdefault(node.name, node) is not node:
            raise GraphError(f"{where}: two variables of one name; got {node.name!r} twice; give each its own name")
        if node not in known:
            raise GraphError(f"{where}: {node!r}: used but not among the graph's inputs; got "
                             f"{len(graph.inputs)} inputs; add it to Graph(inputs=...)")
    for node in graph.inputs:
        if node.op is not None:
            raise GraphError(f"{where}: an input that is no variable; got {node!r}; inputs of a graph are variables")
    for i, value in enumerate(graph.outputs):
        _check_value(value, f"{where}: output {i}")


def _walk(graph: Graph, where: str) -> list[Node]:
    """The nodes in depth-first post-order; a graph with a cycle has none."""
    order: list[Node] = []
    state: dict[Node, int] = {}
    for head in graph.outputs:
        stack = [(head.node, iter(head.node.inputs))] if head.node not in state else []
        while stack:
            node, inputs = stack[-1]
            state[node] = _ON_PATH
            for value in inputs:
                if value.node not in state:
                    stack.append((value.node, iter(value.node.inputs)))
                    break
                if state[value.node] == _ON_PATH:
                    raise GraphError(f"{where}: a cycle; got {value.node!r}, which needs {node!r} and is needed by "
                                     f"it; a pass linked a node to its own result")
            else:
                state[node] = _DONE
                order.append(node)
                stack.pop()
    return order


def _check_value(value: Value, where: str) -> None:
    if not 0 <= value.index < value.node.num_outputs:
        raise GraphError(f"{where}: no such output; got output {value.index} of {value.node!r}, which has "
                         f"{value.node.num_outputs}; the pass that made the edge miscounts outputs")


def _check_arity(node: Node, where: str) -> None:
    op = node.op
    if op is None or op.variadic:
        return
    names = op.input_names(node.attrs, len(node.inputs))
    required = sum(name not in op.optional for name in names)
    if not required <= len(node.inputs) <= len(names):
        raise GraphError(f"{where}: {node!r}: wrong number of inputs; got {len(node.inputs)}; it takes "
                         f"{', '.join(names)}")
