"""Nets of the model zoo for exports: statistics as after training, pictures as small as each net allows."""
from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch

import mxdl as mx
from mxdl.codegen.export import c_source
from mxdl.codegen.frame import CFile, Options
from mxdl.executor.program import Program
from mxdl.gluon.model_zoo import vision
from mxdl.graph import Graph, Value
from mxdl.passes.infer_types import infer_types
from mxdl.passes.pipeline import inference_plan
from mxdl.types import TensorType

NAMES = sorted(vision.MODELS)
#: the pooling before their last layer has a fixed window, which fits this side alone
FIXED = {"densenet": 224, "squeezenet": 224, "inception": 299}
SMALL = 64


class Case(NamedTuple):
    """graph, parameters: of the net.   x: float32[1, 3, side, side].   expected: what the framework answers."""

    graph: Graph
    parameters: dict[str, torch.Tensor]
    x: np.ndarray
    expected: np.ndarray

    def source(self, **options) -> CFile:
        return c_source(self.graph, self.parameters, {"data": TensorType(self.x.shape)},
                        Options(**{"name": "net", "weights": "beside", "weight_file": "net.bin", **options}))

    def exact(self) -> np.ndarray:
        """What the net answers in float64."""
        given = {name: tensor.double() for name, tensor in self.parameters.items()}
        given["data"] = torch.from_numpy(self.x).double()
        types = infer_types(self.graph, {name: TensorType(tuple(x.shape), "float64") for name, x in given.items()})
        plan = inference_plan(self.graph, False, {n.name: types[Value(n, 0)] for n in self.graph.inputs})
        with torch.no_grad():
            program = Program(plan.outputs, [Value(node, 0) for node in plan.inputs])
            return program.run([given[n.name] for n in plan.inputs], [0] * plan.num_seeds)[0].numpy()

    def off(self, found: np.ndarray) -> float:
        """The greatest difference from what is expected, of the greatest number expected."""
        assert found.size == self.expected.size and np.isfinite(found).all()
        return float(np.abs(found.reshape(self.expected.shape) - self.expected).max() / np.abs(self.expected).max())


def side(name: str) -> int:
    return next((fixed for start, fixed in FIXED.items() if name.startswith(start)), SMALL)


def case(name: str) -> Case:
    mx.random.seed(0)
    net = vision.get_model(name)
    net.initialize(mx.init.Xavier(magnitude=2))
    net.hybridize()
    x = mx.nd.array(np.random.default_rng(0).normal(size=(1, 3, side(name), side(name))))
    net(x)
    randomized(net)
    trace, arrays = net._traced_on((x,), [x], 0)
    parameters = {node.name: array.to_torch() for node, source, array in
                  zip(trace.graph.inputs, trace.sources, arrays, strict=True) if type(source) is not int}
    return Case(trace.graph, parameters, x.asnumpy(), net(x).asnumpy())


def randomized(net) -> None:
    """Statistics and scales as after training, not as after initialization, which hide faults of folding."""
    rng = np.random.default_rng(1)
    for name, parameter in net.collect_params().items():
        if name.endswith(("running_var", "gamma")):
            parameter.set_data(mx.nd.array(rng.uniform(0.5, 1.5, parameter.shape)))
        elif name.endswith(("running_mean", "beta")):
            parameter.set_data(mx.nd.array(rng.uniform(-0.2, 0.2, parameter.shape)))
