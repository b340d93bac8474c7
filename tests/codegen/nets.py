"""Small nets for tests of the exported file's surroundings."""
import numpy as np
import torch

import mxdl as mx
from mxdl.codegen.export import c_source
from mxdl.codegen.frame import CFile, Options
from mxdl.codegen.selftest import expected_outputs, formula_input
from mxdl.types import TensorType


def small_net(seed: int = 3):
    """Graph, parameters and input types of a convolution, a pooling, a dense layer and a softmax: float[2, 2, 9, 7]."""
    rng = np.random.default_rng(seed)
    x = mx.sym.Convolution(mx.sym.var("x"), kernel=(3, 3), num_filter=5, pad=(1, 1), name="conv")
    x = mx.sym.Pooling(mx.sym.tanh(x), kernel=(2, 2), stride=(2, 2), pool_type="max")
    graph = mx.sym.softmax(mx.sym.FullyConnected(mx.sym.flatten(x), num_hidden=4, name="fc"), name="soft").graph()
    shapes = {"conv_weight": (5, 2, 3, 3), "conv_bias": (5,), "fc_weight": (4, 60), "fc_bias": (4,)}
    parameters = {name: torch.tensor(rng.normal(size=shape), dtype=torch.float32) for name, shape in shapes.items()}
    return graph, parameters, {"x": TensorType((2, 2, 9, 7))}


def small_file(**options) -> CFile:
    graph, parameters, inputs = small_net()
    return c_source(graph, parameters, inputs, Options(**{"name": "net", "weight_file": "net.bin", **options}))


def small_example() -> tuple[np.ndarray, np.ndarray]:
    """An input, and what the framework answers."""
    graph, parameters, inputs = small_net()
    answer = expected_outputs(graph, parameters, inputs)[0].values
    return formula_input(inputs["x"], 0).numpy(), np.array(answer, np.float32).reshape(2, 4)
