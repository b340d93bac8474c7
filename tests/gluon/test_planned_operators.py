"""What kernels made of several torch operators hold while they run is in the memory plan: planned is tracked."""
import subprocess
import sys

import pytest

import mxdl as mx
from mxdl import autograd, gluon
from mxdl.executor.memory import track

UNARY = ["arcsinh", "arctan", "cbrt", "cos", "erf", "exp", "expm1", "gamma", "hard_sigmoid", "log1p", "log2", "rcbrt",
         "rsqrt", "sin", "sinh", "sqrt", "square", "tan", "softmin", "log_softmax", "L2Normalization", "sigmoid"]
CHAINS = {
    **{name: lambda F, x, name=name: getattr(F, name)(x) for name in UNARY},
    **{f"LeakyReLU {kind}": lambda F, x, kind=kind: F.LeakyReLU(x, act_type=kind)
       for kind in ("leaky", "elu", "selu", "gelu")},
    **{f"Activation {kind}": lambda F, x, kind=kind: F.Activation(x, act_type=kind)
       for kind in ("relu", "sigmoid", "tanh", "softrelu", "softsign")},
    "smooth_l1": lambda F, x: F.smooth_l1(x, scalar=1.0),
    "power": lambda F, x: x ** 3,
    "where": lambda F, x: F.where(x > 0, x, x * 0.2),
    "one over": lambda F, x: 1 / (2 + x),
    "LRN": lambda F, x: F.LRN(x.reshape((4, 16, 16, -1)), nsize=3).reshape((16, 1024)),
    "broadcast_hypot": lambda F, x: F.broadcast_hypot(x, x),
    "sort": lambda F, x: F.sort(x, axis=1),
    "cumsum": lambda F, x: F.cumsum(x, axis=1),
}


class Chain(gluon.HybridBlock):
    """One operator four times, with a product after each.  x: float[16, 1024]"""

    def __init__(self, apply):
        super().__init__()
        self._apply = apply
        self.weight = self.params.get("weight", shape=(16, 1024))

    def hybrid_forward(self, F, x, weight):
        x = x + weight
        for _ in range(4):
            x = self._apply(F, x) * 0.5
        return x


@pytest.mark.parametrize("name", CHAINS)
def test_a_step_takes_what_was_planned(name):
    net = Chain(CHAINS[name])
    net.initialize(mx.init.Uniform(0.1))
    net.hybridize(mirror="sqrt")
    x = mx.nd.random.uniform(0.2, 0.8, shape=(16, 1024))

    def step():
        with autograd.record():
            out = net(x)
        out.backward()

    step()
    net.collect_params().zero_grad()
    plan = net.memory_plan(x, mirror="sqrt")
    with track() as usage:
        step()
    assert usage.peak == pytest.approx(plan.peak - plan.after.timeline.fixed, rel=0.01)


def test_enough_operators_were_planned():
    assert len(CHAINS) >= 39


def test_planning_does_not_load_the_compiler():
    """It takes seconds and 60 MB, which the process would be said to grow by."""
    program = ("import sys, mxdl as mx; net = mx.gluon.model_zoo.vision.resnet18_v1(); net.initialize(); "
               "net.memory_plan((2, 3, 64, 64), mirror='sqrt'); assert 'torch._dynamo' not in sys.modules")
    subprocess.run([sys.executable, "-c", program], check=True, timeout=120)
