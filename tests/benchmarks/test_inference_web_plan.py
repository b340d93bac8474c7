"""The steps that tfjs is given compute what the ONNX file says."""
import json

import numpy as np
import pytest
import torch

import mxdl as mx
from benchmarks.inference_web_plan import plan_of
from mxdl.gluon import nn

onnx = pytest.importorskip("onnx", reason="the package onnx is not installed")


def run(steps: list[dict], weights: np.ndarray, x: torch.Tensor) -> torch.Tensor:
    """The steps in torch, NCHW."""
    functions = {"linear": lambda v: v, "relu": torch.relu, "relu6": torch.nn.functional.relu6}

    def kept(place):
        return torch.from_numpy(weights[place["at"]:place["at"] + int(np.prod(place["shape"]))].reshape(place["shape"]))
    values = {"data": x}
    for step in steps:
        given = [values[name] for name in step["in"]]
        if step["op"] == "Conv":
            w = kept(step["w"]).permute((2, 3, 0, 1) if step["depthwise"] else (3, 2, 0, 1))
            assert step["pads"][:2] == step["pads"][2:]
            out = torch.conv2d(given[0], w, kept(step["b"]), step["strides"], step["pads"][:2],
                               groups=len(w) if step["depthwise"] else 1)
        elif step["op"] == "MaxPool":
            out = torch.max_pool2d(given[0], step["size"], step["strides"], step["pads"][:2])
        elif step["op"] == "Gemm":
            out = given[0] @ kept(step["w"]) + kept(step["b"])
        else:
            out = {"Add": lambda a, b: a + b, "Relu": torch.relu, "Clip": functions["relu6"],
                   "Identity": lambda a: a,
                   "GlobalAveragePool": lambda a: a.mean((2, 3), keepdim=True),
                   "Reshape": lambda a: a.reshape(1, -1)}[step["op"]](*given)
        values[step["out"]] = functions[step.get("then", "linear")](out)
    return values[steps[-1]["out"]]


class Net(mx.gluon.HybridBlock):
    def __init__(self):
        super().__init__()
        self.stem = nn.HybridSequential()
        self.stem.add(nn.Conv2D(8, 3, padding=1, use_bias=False), nn.BatchNorm(), nn.Activation("relu"),
                      nn.MaxPool2D(2, 2))
        self.wide = nn.HybridSequential()
        self.wide.add(nn.Conv2D(8, 3, padding=1, groups=8, use_bias=False), nn.BatchNorm())
        self.end = nn.HybridSequential()
        self.end.add(nn.GlobalAvgPool2D(), nn.Flatten(), nn.Dense(5))

    def hybrid_forward(self, F, x):
        x = self.stem(x)
        return self.end(F.clip(F.relu(self.wide(x) + x), 0, 6))


def test_steps_compute_what_the_file_says(tmp_path):
    from mxdl.codegen.export import load_files
    from mxdl.codegen.onnx import onnx_model
    from mxdl.types import TensorType
    net, rng = Net(), np.random.default_rng(0)
    net.initialize(mx.init.Xavier())
    net.hybridize()
    x = mx.nd.array(rng.normal(size=(1, 3, 8, 8)))
    net(x)
    for name, parameter in net.collect_params().items():
        if name.endswith(("mean", "var", "gamma", "beta")):
            parameter.set_data(mx.nd.array(rng.uniform(0.5, 1.5, parameter.shape)))
    net.export(str(tmp_path / "net"))
    plan = plan_of(onnx_model(*load_files(str(tmp_path / "net")), {"data": TensorType((1, 3, 8, 8))}))
    steps, weights = plan.files()
    found = run(json.loads(steps), np.frombuffer(weights, "<f4").copy(), torch.from_numpy(x.asnumpy()))
    np.testing.assert_allclose(found.numpy(), net(x).asnumpy(), rtol=1e-5, atol=1e-6)
    assert not any("BatchNormalization" == step["op"] for step in plan.steps)
    strange = onnx.helper.make_graph([onnx.helper.make_node("Erf", ["data"], ["y"])], "strange", [], [])
    with pytest.raises(ValueError, match="Erf is not known"):
        plan_of(onnx.helper.make_model(strange))
