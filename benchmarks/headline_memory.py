"""The two headline results of sublinear memory, executed: one whole training step of a net of about 1000 layers.

Claim (Chen et al. 2016 and MXNet's documentation say 130 to 4 GB and 270 to 2.5 GB): with everything included
(interpreter, weights, momentum) the process peaks at 4.0 GB for the ResNet [3, 128, 199, 3] of batch 32, 224x224; at
1.2 GB for the LSTM of 4 layers x 1000 hidden x 1000 steps, batch 32, at most 35 % slower a layer than without.
    python benchmarks/headline_memory.py resnet1000|lstm [--threads 2] [--no-before] [--json]
The step runs in a process of its own (`--step`), whose VmHWM is what is reported; the planner's figures for the step
that shares nothing are counted, not run.
What recomputing costs a layer is mirror_cost.py's.
"""
from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

import harness

MAPPED = {"MXDL_MALLOC": "return", "THP_MEM_ALLOC_ENABLE": "1"}   # the process holds what its arrays hold


class Net(NamedTuple):
    """kind, sizes: for `build`.   batch.   mirror, max_recompute: for hybridize.   published_gb: before and after.
    limit_gb: of the process."""

    kind: str
    sizes: tuple
    batch: int
    mirror: object
    max_recompute: float
    published_gb: tuple
    limit_gb: float


NETS = {
    "resnet1000": Net("resnet", (3, 128, 199, 3), 32, 0.0255, 2, (130, 4), 4.0),
    "lstm": Net("lstm", (4, 1000, 1000), 32, "sqrt", 1, (270, 2.5), 1.2),
}


def status(key: str) -> int:
    """VmHWM (the peak) or VmRSS of this process in bytes."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(key))


def build(net: Net):
    import headline_nets
    if net.kind == "resnet":
        return headline_nets.ResNet(net.sizes), [(net.batch, 3, 224, 224), (net.batch,)]
    layers, hidden, steps = net.sizes
    return headline_nets.Lstm(layers, hidden, steps), [(steps, net.batch), (steps, net.batch)]


def batch_of(net: Net, shapes: list):
    import numpy as np

    import mxdl as mx
    rng = np.random.default_rng(0)
    classes = 1000 if net.kind == "resnet" else net.sizes[1]
    data = rng.standard_normal(shapes[0], np.float32) if net.kind == "resnet" else rng.integers(0, classes, shapes[0])
    return mx.nd.array(data), mx.nd.array(rng.integers(0, classes, shapes[1]))


def at_first_run() -> list[float]:
    """Will hold the process's CPU time when the first program begins: the net is traced and planned then."""
    from mxdl.executor.program import Program
    found: list[float] = []
    plain = Program.run

    def run(self, *args):
        Program.run = plain
        found.append(time.process_time())
        return plain(self, *args)
    Program.run = run
    return found


def run_step(name: str) -> dict:
    """Build, initialize and train one step; what the process took."""
    import mxdl as mx
    net, started = NETS[name], time.time()
    model, shapes = build(net)
    x, y = batch_of(net, shapes)
    model.initialize(mx.init.Xavier())
    model.hybridize(mirror=net.mirror, max_recompute=net.max_recompute)
    trainer = mx.gluon.Trainer(model.collect_params(), "sgd", {"learning_rate": 1e-3, "momentum": 0.9})
    parameters = sum(p.data().size for p in model.collect_params().values() if p.grad_req != "null")
    planned_at = at_first_run()
    prepared, wall, cpu = status("VmHWM"), time.time(), time.process_time()
    with mx.autograd.record():
        loss = model(x, y)
    forward = status("VmHWM")
    trainer.backward_and_step(loss, net.batch)
    return {"parameters": parameters, "loss": float(loss.mean().asscalar()), "wall_s": time.time() - wall,
             "cpu_s": time.process_time() - cpu, "planning_cpu_s": planned_at[0] - cpu,
             "prepared_bytes": prepared, "after_forward_bytes": forward, "peak_bytes": status("VmHWM"),
             "total_s": time.time() - started}


def count_before(name: str) -> dict:
    """Bytes of the step that recomputes nothing, and of the one that is run, by the planner."""
    net, started = NETS[name], time.time()
    model, shapes = build(net)
    plan = model.memory_plan(*shapes, mirror=net.mirror, max_recompute=net.max_recompute, hand_over=True)
    return {"nothing_shared": plan.nothing_shared, "in_place": plan.before.timeline.peak,
            "mirrored": plan.peak, "activations": plan.activation_peak, "extra_time": plan.extra_time,
            "extra_flops": plan.extra_flops / plan.before.flops, "planning_s": time.time() - started}


def in_a_process(threads: int, environment: dict, *words: str) -> dict:
    env = {**os.environ, "OMP_NUM_THREADS": str(threads), "MKL_NUM_THREADS": str(threads), **environment}
    run = subprocess.run([sys.executable, __file__, *words], env=env, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(run.stdout.splitlines()[-1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("net", nargs="?", choices=list(NETS), default="resnet1000")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--no-before", action="store_true", help="do not count the step that shares nothing")
    parser.add_argument("--json", action="store_true", help="print one JSON object as the last line")
    parser.add_argument("--step", choices=list(NETS), help=argparse.SUPPRESS)
    parser.add_argument("--count", choices=list(NETS), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.step:
        print(json.dumps(run_step(options.step)))
    elif options.count:
        print(json.dumps(count_before(options.count)))
    else:
        show(options)


def show(options: argparse.Namespace) -> None:
    net = NETS[options.net]
    step = in_a_process(options.threads, MAPPED, "--step", options.net)
    found = {"measured": step}
    rows = [["measured: peak of the process", f"{step['peak_bytes'] / 1e9:.2f} GB", f"at most {net.limit_gb} GB"],
            ["  after the forward pass", f"{step['after_forward_bytes'] / 1e9:.2f} GB", ""],
            ["  step: wall, CPU (planning)",
             f"{step['wall_s']:.0f} s, {step['cpu_s']:.0f} s ({step['planning_cpu_s']:.0f} s)", ""],
            ["  parameters", f"{step['parameters'] / 1e6:.0f} M", ""]]
    if not options.no_before:
        plan = found["planned"] = in_a_process(1, {}, "--count", options.net)
        published = [f"published {gb} GB" for gb in net.published_gb]
        rows += [["planned: nothing shared", f"{plan['nothing_shared'] / 1e9:.1f} GB", published[0]],
                 ["planned: freed and in place", f"{plan['in_place'] / 1e9:.1f} GB", ""],
                 ["planned: mirrored", f"{plan['mirrored'] / 1e9:.2f} GB", published[1]],
                 ["  of which activations", f"{plan['activations'] / 1e9:.2f} GB", ""],
                 ["  extra FLOPs, extra time", f"{plan['extra_flops']:.0%}, {plan['extra_time']:.0%}", ""]]
    harness.table(f"{options.net}: one training step, batch {net.batch}, {options.threads} threads",
                  ["", "figure", "claim"], rows)
    if options.json:
        print(json.dumps({"benchmark": "headline_memory", "net": options.net, **found}))


if __name__ == "__main__":
    main()
