"""Parts of a gradient that outlive the whole are copied, so that the whole can be freed."""
import numpy as np
import pytest

import mxdl as mx
from mxdl import autograd
from mxdl.gluon import nn
from mxdl.ops import get
from mxdl.passes import pipeline
from mxdl.passes.own_memory import own_memory
from mxdl.passes.pipeline import training_plan
from mxdl.passes.schedule import schedule


class Skip(nn.HybridSequential):
    """A layer, and a skip past the other layers, concatenated with what they give.  x: float[N, C]"""

    def hybrid_forward(self, F, x):
        first, *layers = self._children.values()
        inner = x = first(x)
        for layer in layers:
            inner = layer(inner)
        return F.concat(x, inner, dim=1) * 2   # so that the gradient is not the caller's


def skip(depth):
    net = Skip()
    for _ in range(depth + 1):
        net.add(nn.Dense(16, in_units=16))
    net.initialize(mx.init.Xavier())
    return net


def copies(depth):
    out = skip(depth)(mx.sym.var("x"))
    graph = mx.sym.sum(out * out).graph()
    plan = training_plan(graph, True, graph.inputs)
    steps = schedule([v for v in plan.grads if v is not None], [*plan.heads, *plan.saved])
    return [node.name for node in steps if node.op is get("_own_memory")]


def test_only_what_waits_long_is_copied():
    assert len(copies(20)) == 1 and copies(2) == []


@pytest.mark.parametrize("mirror", [False, "sqrt"])
def test_gradients_keep_their_bits(mirror, monkeypatch):
    net, found = skip(20), []
    x = mx.nd.random.uniform(-1, 1, (8, 16))
    x.attach_grad()
    for copying in (own_memory, lambda grads, given: list(grads)):
        monkeypatch.setattr(pipeline, "own_memory", copying)
        net.hybridize(mirror=mirror)
        with autograd.record():
            out = net(x)
            loss = (out * out).sum()
        loss.backward()
        found.append([x.grad.asnumpy(), *(p.grad().asnumpy() for p in net.collect_params().values())])
    for mine, other in zip(*found, strict=True):
        assert mine.any()
        np.testing.assert_array_equal(mine, other)


def test_the_whole_is_freed(monkeypatch):
    """While the deepest layers run backward, one part is alive and not the other one beside it."""
    plans = []
    for copying in (own_memory, lambda grads, given: list(grads)):
        monkeypatch.setattr(pipeline, "own_memory", copying)
        timeline = skip(40).memory_plan((4096, 16)).before.timeline
        plans.append(timeline.live[-20])
    part = 4096 * 16 * 4
    assert plans[1] - plans[0] == part
