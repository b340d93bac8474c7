"""Graphs drawn by hypothesis: what every pass must leave equal."""
from hypothesis import strategies as st

from mxdl.graph import Graph, Value, apply, variable
from mxdl.ops import get

UNARY = ("relu", "sigmoid", "tanh", "square", "negative")
BINARY = ("elemwise_add", "elemwise_mul", "elemwise_sub", "broadcast_maximum")
WIDTH = 4


@st.composite
def graphs(draw):
    """A graph of float32[3, 4] values: matrix products with (shared) weights, elementwise nodes, several outputs."""
    values = [variable("x")]
    weights: list[Value] = []
    for step in range(draw(st.integers(2, 14))):
        kind = draw(st.sampled_from(("dense", "unary", "binary", "scalar", "split")))
        a = draw(st.sampled_from(values))
        if kind == "dense":
            fresh = not weights or draw(st.booleans())
            if fresh:
                weights.append(variable(f"w{step}"))
            weight = weights[-1] if fresh else draw(st.sampled_from(weights))
            values.append(apply(get("FullyConnected"), [a, weight], {"num_hidden": WIDTH, "no_bias": True}, f"n{step}"))
        elif kind == "unary":
            values.append(apply(get(draw(st.sampled_from(UNARY))), [a], {}, f"n{step}"))
        elif kind == "binary":
            b = draw(st.sampled_from(values))
            values.append(apply(get(draw(st.sampled_from(BINARY))), [a, b], {}, f"n{step}"))
        elif kind == "scalar":
            values.append(apply(get("_mul_scalar"), [a], {"scalar": 0.7}, f"n{step}"))
        else:
            halves = apply(get("SliceChannel"), [a], {"num_outputs": 2, "axis": 1}, f"n{step}")
            values.append(apply(get("Concat"), [halves[1], halves[0]], {"dim": 1}, f"m{step}"))
    outputs = [values[-1], *draw(st.lists(st.sampled_from(values[1:]), max_size=2))]
    return Graph(outputs)
