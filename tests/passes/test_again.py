"""What makes a value again from the small results that the forward pass kept (an operator's `again` rule)."""
import numpy as np
import pytest
import torch

import mxdl as mx
from mxdl.gluon import nn
from mxdl.ops import get
from mxdl.passes.cost import USUAL, seconds_of
from mxdl.passes.liveness import timeline
from mxdl.passes.mirror import forward_nodes, keep_costly, mirror
from mxdl.passes.recompute import copy_of, evaluate, problem_of
from mxdl.types import TensorType
from tests.ops.calls import rule_call, sample_cases
from tests.passes.plans import plain_plan
from tests.passes.test_mirror_zoo import bits_of_step, initial

SHAPE = (4, 3, 12, 12)


class Shared(mx.gluon.HybridBlock):
    """A batch norm that runs twice, one whose statistics are read, one that uses the running ones, one with relu."""

    def __init__(self):
        super().__init__()
        with self.name_scope():
            self.convs = nn.HybridSequential()
            for _ in range(4):
                self.convs.add(nn.Conv2D(8, 3, padding=1))
            self.shared, self.fixed = nn.BatchNorm(), nn.BatchNorm(use_global_stats=True)
            self.seen, self.joined = nn.BatchNorm(), nn.BatchNormReLU()

    def hybrid_forward(self, F, x):
        first, second, third, fourth = self.convs._children.values()
        x = F.relu(self.shared(first(x)))
        x = F.relu(self.shared(second(x)))
        x = self.joined(F.sigmoid(self.fixed(third(x))))
        out, mean, spread = F.BatchNorm(fourth(x), F.ones((8,)), F.zeros((8,)), F.zeros((8,)), F.ones((8,)),
                                        output_mean_var=True)
        return F.tanh(self.seen(F.tanh(out))).sum() + F.relu(mean).sum() * F.sqrt(spread).sum()


@pytest.mark.parametrize("mode", [True, "sqrt", "min", 0.6])
def test_every_kind_of_batch_norm_is_made_again_to_the_bit(mode):
    x = mx.nd.array(np.random.RandomState(0).rand(*SHAPE).astype("float32"))
    net = Shared()
    start = initial(net, x)
    plain = bits_of_step(net, x, start, False)
    mirrored = bits_of_step(net, x, start, mode)
    assert [key for key in plain if plain[key] != mirrored[key]] == []
    assert sum("running" in key for key in plain) == 8


def test_what_makes_a_value_again_gives_its_bits_on_every_sample():
    """Every operator that has an `again` rule, on its samples: the same bits."""
    count = 0
    for case in sample_cases():
        if case.op.again_rule is not None:
            call = rule_call(case.op, case.call)
            found = case.op.again_rule(call.inputs, call.outputs, call.attrs)
            if found is not None:
                op, inputs, attrs = found
                assert torch.equal(op.kernel(*inputs, **attrs), call.outputs[0]), case
                count += 1
    assert count >= 6


def batch_norm_plan(depth):
    net = nn.HybridSequential()
    for _ in range(depth):
        net.add(nn.Conv2D(8, 3, padding=1, in_channels=3 if not len(net) else 8), nn.BatchNorm(in_channels=8),
                nn.Activation("relu"))
    return plain_plan(net(mx.sym.var("data")).graph(), {"data": TensorType(SHAPE)})


def test_a_plan_takes_no_statistics_twice():
    plan, types = batch_norm_plan(3)
    forward, choice = forward_nodes(plan), keep_costly(forward_nodes(plan))
    recomputed = mirror(plan, choice)
    names = [node.op.name for node in timeline(recomputed, types_of(recomputed)).steps]
    assert names.count("BatchNorm") == 3
    assert names.count("_again_BatchNorm") == 3
    norms = [node for node in forward if node.op is get("BatchNorm")]
    saved = {(v.node, v.index) for v in recomputed.saved}
    assert all((norm, i) in saved for norm in norms for i in (1, 2))


def types_of(plan):
    from mxdl.passes.plan import plan_types
    return plan_types(plan, {"data": TensorType(SHAPE)})


def test_the_numbers_are_those_of_the_plan():
    """What the planner counts is what the plan takes, and reading the data once is quicker than three times."""
    plan, types = batch_norm_plan(6)
    seconds = seconds_of(types, USUAL._replace(call=0))
    problem = problem_of(plan, types, seconds)
    choice = keep_costly(problem.nodes)
    mirrored = mirror(plan, choice)
    assert evaluate(problem, choice).curve.live == timeline(mirrored, types_of(mirrored)).live
    for node, time in zip(problem.nodes, problem.times, strict=True):
        if node.op is get("BatchNorm"):
            assert copy_of(node).op is get("_again_BatchNorm")
            assert time < 0.6 * seconds(node)
        else:
            assert copy_of(node) is node
            assert time == seconds(node)
