"""What recomputing costs a layer of the headline nets, at a depth that fits without: both steps in turn, one process.

Claim: at most 35 % more CPU time, by the allocator as it comes.  The nets have the deep ones' layers: [3, 16, 24, 3] of
batch 8, whose fraction of memory makes it recompute as much of its operations as the deep plan does (40 %), and 4 LSTM
layers x 1000 units x 32 steps of batch 32.  Early steps of the net that keeps everything take pages that the machine
has to make first; they are told but do not count: the last half does.
    python benchmarks/headline_extra.py resnet1000|lstm [--rounds 6]
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


class Case(NamedTuple):
    """make: the net.   mirror, max_recompute: for hybridize.   inputs: data and labels."""

    make: Callable[[], mx.gluon.HybridBlock]
    mirror: object
    max_recompute: float
    inputs: Callable[[np.random.Generator], tuple[np.ndarray, np.ndarray]]


CASES = {
    "resnet1000": Case(lambda: ResNet((3, 16, 24, 3)), 0.075, 2, lambda rng: (
        rng.standard_normal((8, 3, 224, 224), np.float32), rng.integers(0, 1000, (8,)))),
    "lstm": Case(lambda: Lstm(4, 1000, 32), "sqrt", 1, lambda rng: (
        rng.integers(0, 1000, (32, 32)), rng.integers(0, 1000, (32, 32)))),
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
    rows = []
    for _ in range(args.rounds):
        rows.append([step(*net, x, y) for net in nets])
        print(f"kept {rows[-1][0]:.2f} s, recomputed {rows[-1][1]:.2f} s: {rows[-1][1] / rows[-1][0] - 1:+.1%}, "
              f"load {os.getloadavg()[0]:.1f}", flush=True)
    counted = [more / kept - 1 for kept, more in rows[len(rows) // 2:]]
    print(f"{args.case}: recomputing costs {median(counted):.1%} ({min(counted):.1%} to {max(counted):.1%}) of "
          f"a step's CPU time; claim: at most 35 %")


if __name__ == "__main__":
    main()
