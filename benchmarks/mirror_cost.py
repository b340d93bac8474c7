"""What recomputing costs: steps that keep everything and steps under a plan in turn, in one process.

Claims: at most 35 % more CPU time for the headline nets' layers, by the allocator as it comes, and at most 25 % for
ResNet-50 in the memory of a plan whose stages were marked by hand.
The headline nets have the deep ones' layers at a depth that fits without: [3, 16, 24, 3] of batch 8, whose fraction of
memory makes it recompute as much of its operations as the deep plan does (40 %), and 4 LSTM layers x 1000 units x 32
steps of batch 32.  Early steps of the net that keeps everything take pages that the machine has to make first; they are
told but do not count: the last half does.
    python benchmarks/mirror_cost.py CASE [--rounds 6]
"""
from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable
from statistics import median
from typing import Any, NamedTuple

import numpy as np
from headline_nets import Lstm, ResNet

import mxdl as mx
from mxdl.executor.memory import track


class Case(NamedTuple):
    """make: the net with its loss.   mirror, max_recompute: for hybridize.   inputs: data and labels."""

    make: Callable[[], mx.gluon.HybridBlock]
    mirror: object
    inputs: Callable[[np.random.Generator], tuple[np.ndarray, np.ndarray]]
    max_recompute: float = 1


class Scored(mx.gluon.HybridBlock):
    """A net of the model zoo with the cross entropy."""

    def __init__(self, name: str):
        super().__init__()
        self.net = mx.gluon.model_zoo.vision.get_model(name)
        self.loss = mx.gluon.loss.SoftmaxCrossEntropyLoss()

    def hybrid_forward(self, F, images, labels):
        return self.loss(self.net(images), labels)


def images(batch: int, side: int = 224) -> Callable[[np.random.Generator], tuple[np.ndarray, np.ndarray]]:
    return lambda rng: (rng.standard_normal((batch, 3, side, side), np.float32), rng.integers(0, 1000, (batch,)))


CASES = {
    "resnet1000": Case(lambda: ResNet((3, 16, 24, 3)), 0.075, images(8), 2),
    "lstm": Case(lambda: Lstm(4, 1000, 32), "sqrt", lambda rng: (
        rng.integers(0, 1000, (32, 32)), rng.integers(0, 1000, (32, 32)))),
    "resnet50": Case(lambda: Scored("resnet50_v1"), 0.374, images(32)),   # memonger's plan: 977 MB
    "vgg16": Case(lambda: Scored("vgg16"), "min", images(8)),
    "inception_v3": Case(lambda: Scored("inceptionv3"), 0.5, images(8, 299)),
    "densenet121": Case(lambda: Scored("densenet121"), 0.5, images(8)),
}


def made(case: Case, mirror: object) -> tuple[mx.gluon.HybridBlock, mx.gluon.Trainer]:
    mx.random.seed(0)
    net = case.make()
    net.initialize(mx.init.Xavier())
    net.hybridize(mirror=mirror, max_recompute=case.max_recompute)
    return net, mx.gluon.Trainer(net.collect_params(), "sgd", {"learning_rate": 1e-3, "momentum": 0.9})


def step(net: mx.gluon.HybridBlock, trainer: mx.gluon.Trainer, x: Any, y: Any) -> float:
    """CPU seconds of a training step."""
    began = time.process_time()
    with mx.autograd.record():
        loss = net(x, y)
    trainer.backward_and_step(loss, len(y))
    loss.asnumpy()
    return time.process_time() - began


def memory(net: mx.gluon.HybridBlock, case: Case, x: Any, y: Any) -> str:
    """What was planned, and what the tensors of a step without the optimizer take."""
    plan = net.memory_plan(x, y, mirror=case.mirror, max_recompute=case.max_recompute)
    net.collect_params().zero_grad()
    with track() as usage:
        with mx.autograd.record():
            loss = net(x, y)
        loss.backward()
    planned = plan.peak - plan.after.timeline.fixed
    whole = plan.before.timeline.activation_peak
    return (f"activations {plan.activation_peak / 2**20:.0f} of {whole / 2**20:.0f} MiB; the step "
            f"planned {planned / 2**20:.1f} MiB, tracked {usage.peak / 2**20:.1f}; "
            f"operations {plan.extra_flops / plan.before.flops:+.1%}, modelled time {plan.extra_time:+.1%}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("case", choices=CASES)
    parser.add_argument("--rounds", type=int, default=6, help="steps of each, besides the first (default 6)")
    args = parser.parse_args()
    case = CASES[args.case]
    x, y = map(mx.nd.array, case.inputs(np.random.default_rng(0)))
    nets = [made(case, False), made(case, case.mirror)]
    for net in nets:
        step(*net, x, y)        # traces, plans
    print(f"{args.case}, mirror={case.mirror!r}: {memory(nets[1][0], case, x, y)}", flush=True)
    rows = []
    for _ in range(args.rounds):
        rows.append([step(*net, x, y) for net in nets])
        print(f"kept {rows[-1][0]:.2f} s, recomputed {rows[-1][1]:.2f} s: {rows[-1][1] / rows[-1][0] - 1:+.1%}, "
              f"load {os.getloadavg()[0]:.1f}", flush=True)
    counted = [more / kept - 1 for kept, more in rows[len(rows) // 2:]]
    print(f"{args.case}: recomputing costs {median(counted):.1%} ({min(counted):.1%} to {max(counted):.1%}) of "
          f"a step's CPU time")


if __name__ == "__main__":
    main()
