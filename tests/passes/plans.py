"""Plans for the planner's tests: types alone, nothing runs."""
from mxdl.graph import Graph, Value, apply, variable
from mxdl.ops import get
from mxdl.passes.infer_types import Types, infer_types
from mxdl.passes.pipeline import training_plan
from mxdl.passes.plan import Plan, plan_types
from mxdl.types import TensorType

STATES = ("moving_mean", "moving_var", "running_mean", "running_var")


def known_types(graph: Graph, **data: TensorType) -> dict[str, TensorType]:
    """Types of all variables of the graph, from those of its data."""
    types = infer_types(graph, data)
    return {n.name: types[Value(n, 0)] for n in graph.inputs}


def plain_plan(graph: Graph, data: dict[str, TensorType], data_gradients: bool = False) -> tuple[Plan, Types]:
    """The plan that recomputes nothing, with gradients of every parameter."""
    known = known_types(graph, **data)
    wrt = [n for n in graph.inputs if not n.name.endswith(STATES) and (data_gradients or n.name not in data)]
    plan = training_plan(graph, True, wrt, False, known)
    return plan, plan_types(plan, known)


def dense_chain(length: int, width: int = 64, shared: bool = False) -> Graph:
    """`length` dense layers with tanh; `shared`: one weight for all."""
    h = variable("x")
    weight = variable("w")
    for i in range(length):
        own = weight if shared else variable(f"w{i}")
        h = apply(get("FullyConnected"), [h, own], {"num_hidden": width, "no_bias": True}, f"fc{i}")
        h = apply(get("tanh"), [h], {}, f"tanh{i}")
    return Graph([h])
