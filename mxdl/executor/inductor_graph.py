"""The graph that Inductor is given: one for all of a program, whose inputs are freed as soon as nothing reads them."""
from __future__ import annotations

import operator
from collections.abc import Callable, Sequence

import torch
from torch.fx import Graph, Node

Compiled = Callable[[list[torch.Tensor]], Sequence[torch.Tensor]]
#: of Inductor's: it takes our programs for inference, where it moves each node to its first reader; a weight's gradient
#: has none but the program's end, where all that it is computed from would wait for it
_OPTIONS = {"reorder_for_locality": False}

_aten = torch.ops.aten


def compiled_whole(function: Callable, tensors: list[torch.Tensor]) -> Compiled:
    """`function` compiled as one graph for inputs as these; it takes them in a list, which it empties."""
    import torch._inductor  # seconds, and only here
    from torch.fx.experimental.proxy_tensor import make_fx
    flat = make_fx(function, tracing_mode="fake", _allow_non_fake_inputs=True)(*tensors)
    add_biases_in_loops(flat.graph)
    graph = torch.fx.Graph()
    inputs = graph.placeholder("inputs")
    inputs.meta["steal_arg"] = True   # the compiled code takes the tensors out of the list, and frees them as it goes
    places = [node for node in flat.graph.nodes if node.op == "placeholder"]
    read = {node: graph.call_function(operator.getitem, (inputs, i)) for i, node in enumerate(places)}
    graph.output(graph.graph_copy(flat.graph, read))
    return torch._inductor.compile(torch.fx.GraphModule(flat, graph), [list(tensors)], options=_OPTIONS)


def add_biases_in_loops(graph: Graph) -> None:
    """Where loops alone read bias + a @ b, write it as a @ b - (-bias).

    addmm first fills its result with copies of the bias, a pass over memory that a loop does not need.  Inductor makes
    an addmm of a product and a sum, but not of a product and a difference.
    """
    for node in list(graph.find_nodes(op="call_function", target=_aten.addmm.default)):
        bias, a, b = node.args
        if node.kwargs or bias.meta["val"].dim() != 1 or not _is_read_by_loops(node):
            continue
        with graph.inserting_before(node):
            product = graph.call_function(_aten.mm.default, (a, b))
            total = graph.call_function(_aten.sub.Tensor, (product, graph.call_function(_aten.neg.default, (bias,))))
        product.meta["val"] = total.meta["val"] = node.meta["val"]
        node.replace_all_uses_with(total)
        graph.erase_node(node)


def _is_read_by_loops(node: Node) -> bool:
    return bool(node.users) and all(_is_read_by_loops(user) if user.target in _VIEWS else
                                    torch.Tag.pointwise in getattr(user.target, "tags", ()) for user in node.users)


_VIEWS = {operator.getitem, _aten.split.Tensor, _aten.slice.Tensor, _aten.view.default, _aten.chunk.default}
