"""Rules that tell a backward operator's types say what its kernel gives.  Without them the first plan of a recurrent or
convolutional net runs torch's meta kernels, whose first call imports torch's compiler: 2 to 18 s of CPU time."""
import torch

from mxdl.graph import Graph, Value, apply, variable
from mxdl.ops import get
from mxdl.types import DTYPE_NAMES, TORCH_DTYPES, TensorType
from tests.passes.plans import dense_chain, plain_plan


def pooled() -> Graph:
    """Pooling of every kind between dense layers with relu, whose bias is read too."""
    h = variable("x")
    for kind in ("max", "avg", "sum", "lp"):
        more = {"p_value": 2} if kind == "lp" else {}
        attrs = {"kernel": (3, 3), "stride": (2, 2), "pad": (1, 1), "pool_type": kind, **more}
        out = apply(get("Pooling"), [h], attrs, kind)
        h = out if isinstance(out, Value) else out[0]
    return Graph([apply(get("FullyConnected"), [h, variable("w"), variable("b")], {"num_hidden": 5}, "dense")])


def checked(graph: Graph, x: TensorType) -> set[str]:
    """Names of the operators whose rule was compared with their kernel."""
    plan, types = plain_plan(graph, {"x": x}, data_gradients=True)
    names: set[str] = set()
    seen, stack = set(), [v for v in plan.grads if v is not None]
    while stack:
        node = stack.pop().node
        if node.op is None or node in seen:
            continue
        seen.add(node)
        stack.extend(node.inputs)
        inputs = tuple(types[v] for v in node.inputs)
        if node.op.infer_rule is not None and node.op.name.startswith("_"):
            found = node.op.bind(node.attrs)(*(torch.zeros(t.shape, dtype=TORCH_DTYPES[t.dtype]) for t in inputs))
            found = found if isinstance(found, tuple) else (found,)
            told = tuple(node.op.infer_rule(inputs, node.op.filled(node.attrs)))
            assert told == tuple(TensorType(tuple(t.shape), DTYPE_NAMES[t.dtype]) for t in found), node.op.name
            names.add(node.op.name)
    return names


def test_backward_types_are_told_by_rules():
    assert {"_accumulate__backward_FullyConnected", "_backward_FullyConnected"} <= checked(
        dense_chain(4, 8, shared=True), TensorType((3, 8)))
    assert {"_backward_Pooling", "_backward_lp_Pooling", "_backward_FullyConnected"} <= checked(
        pooled(), TensorType((2, 3, 33, 33)))
