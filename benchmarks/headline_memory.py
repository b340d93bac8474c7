"""The two headline results of sublinear memory, executed: one whole training step of a net of about 1000 layers.

Claim (Chen et al. 2016 and MXNet's documentation say 130 to 4 GB and 270 to 2.5 GB): with everything included
(interpreter, weights, momentum) the process peaks at 4.0 GB for the ResNet [3, 128, 199, 3] of batch 32, 224x224; at
1.2 GB for the LSTM of 4 layers x 1000 hidden x 1000 steps, batch 32, at most 35 % slower a layer than without.
    python benchmarks/headline_memory.py resnet1000|lstm [--threads 2] [--no-before] [--extra [ROUNDS]] [--json]
The step runs in a process of its own (`--step`), whose VmHWM is what is reported; the planner's figures for the step
that shares nothing are counted, not run.
--extra: also steps of two shallow nets that fit as they are, in turn, by the same allocator; what a layer more costs
them, against what one costs the deep net.  Their first steps do not count: they take pages that the machine has to make
first, several GB of them, which is no work of a layer and varies by a half.  The deep net has its first step alone,
less what tracing and planning took.
--against keep: the shallow nets by the allocator as it comes, which faults fewer pages.
"""
from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from statistics import median, quantiles
from typing import NamedTuple

import harness

MAPPED = {"MXDL_MALLOC": "return", "THP_MEM_ALLOC_ENABLE": "1"}   # the process holds what its arrays hold
ROUNDS, STEPS = 3, 4     # processes of each shallow net, and steps of each, the first of which does not count


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
    "resnet-8-12": Net("resnet", (3, 8, 12, 3), 32, False, 1, (), 8.0),
    "resnet-16-24": Net("resnet", (3, 16, 24, 3), 32, False, 1, (), 16.0),
    "lstm-25": Net("lstm", (4, 1000, 25), 32, False, 1, (), 4.0),
    "lstm-50": Net("lstm", (4, 1000, 50), 32, False, 1, (), 8.0),
}
#: two nets of the same layers that fit as they are, whose difference is what a layer costs
KEPT = {"resnet1000": ("resnet-8-12", "resnet-16-24"), "lstm": ("lstm-25", "lstm-50")}


def depth_of(net: Net) -> int:
    """Residual units of the two long stages, or time steps."""
    return sum(net.sizes[1:3]) if net.kind == "resnet" else net.sizes[2]


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


def run_step(name: str, again: int = 0) -> dict:
    """Build, initialize and train one step; what the process took.   again: further steps, whose times are told."""
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
    found = {"parameters": parameters, "loss": float(loss.mean().asscalar()), "wall_s": time.time() - wall,
             "cpu_s": time.process_time() - cpu, "planning_cpu_s": planned_at[0] - cpu,
             "prepared_bytes": prepared, "after_forward_bytes": forward, "peak_bytes": status("VmHWM"),
             "total_s": time.time() - started, "later_cpu_s": []}
    for _ in range(again):
        cpu = time.process_time()
        with mx.autograd.record():
            loss = model(x, y)
        trainer.backward_and_step(loss, net.batch)
        loss.wait_to_read()
        found["later_cpu_s"].append(time.process_time() - cpu)
    return found


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


def extra_time(name: str, threads: int, step_s: float, rounds: int, environment: dict) -> dict:
    """CPU seconds a layer, recomputed in the deep net's step and kept in shallow ones, by differences.

    extra: by the medians of the shallow nets' steps.   spread: its quartiles over all pairs of a step of each.
    """
    times: dict[str, list[float]] = {net: [] for net in KEPT[name]}
    for _ in range(rounds):
        for net, found in times.items():
            found += in_a_process(threads, environment, "--step", net, "--again", str(STEPS - 1))["later_cpu_s"]
    few, more, all_ = (depth_of(NETS[net]) for net in (*KEPT[name], name))
    shallow, deeper = times.values()

    def extra(one: float, other: float) -> float:
        return (step_s - one) / (all_ - few) / ((other - one) / (more - few)) - 1
    pairs = [extra(one, other) for one in shallow for other in deeper if other > one]
    low, _, high = quantiles(pairs, n=4)
    kept = (median(deeper) - median(shallow)) / (more - few)
    return {"kept_cpu_s": times, "kept_cpu_s_a_layer": kept,
            "recomputed_cpu_s_a_layer": (step_s - median(shallow)) / (all_ - few),
            "extra": extra(median(shallow), median(deeper)), "spread": [low, high]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("net", nargs="?", choices=list(KEPT), default="resnet1000")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--no-before", action="store_true", help="do not count the step that shares nothing")
    parser.add_argument("--extra", type=int, nargs="?", const=ROUNDS, default=0, metavar="ROUNDS",
                        help="measure the extra time a layer, against shallow nets")
    parser.add_argument("--against", choices=["return", "keep"], default="return",
                        help="MXDL_MALLOC of the shallow nets (default: the deep net's)")
    parser.add_argument("--step-cpu-s", type=float, metavar="S",
                        help="the deep step's CPU time without planning, where it was measured")
    parser.add_argument("--json", action="store_true", help="print one JSON object as the last line")
    parser.add_argument("--step", choices=list(NETS), help=argparse.SUPPRESS)
    parser.add_argument("--again", type=int, default=0, help=argparse.SUPPRESS)
    parser.add_argument("--count", choices=list(NETS), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.step:
        print(json.dumps(run_step(options.step, options.again)))
    elif options.count:
        print(json.dumps(count_before(options.count)))
    else:
        show(options)


def show(options: argparse.Namespace) -> None:
    net = NETS[options.net]
    found, rows = {}, []
    if options.step_cpu_s is None:
        step = found["measured"] = in_a_process(options.threads, MAPPED, "--step", options.net)
        rows = [["measured: peak of the process", f"{step['peak_bytes'] / 1e9:.2f} GB", f"at most {net.limit_gb} GB"],
                ["  after the forward pass", f"{step['after_forward_bytes'] / 1e9:.2f} GB", ""],
                ["  step: wall, CPU (planning)",
                 f"{step['wall_s']:.0f} s, {step['cpu_s']:.0f} s ({step['planning_cpu_s']:.0f} s)", ""],
                ["  parameters", f"{step['parameters'] / 1e6:.0f} M", ""]]
    if not options.no_before:
        found["planned"] = in_a_process(1, {}, "--count", options.net)
    if options.extra:
        found["extra"] = extra_time(options.net, options.threads,
                                    options.step_cpu_s or step["cpu_s"] - step["planning_cpu_s"], options.extra,
                                    {**MAPPED, "MXDL_MALLOC": options.against})
    if "planned" in found:
        plan, published = found["planned"], [f"published {gb} GB" for gb in net.published_gb] or ["", ""]
        rows += [["planned: nothing shared", f"{plan['nothing_shared'] / 1e9:.1f} GB", published[0]],
                 ["planned: freed and in place", f"{plan['in_place'] / 1e9:.1f} GB", ""],
                 ["planned: mirrored", f"{plan['mirrored'] / 1e9:.2f} GB", published[1]],
                 ["  of which activations", f"{plan['activations'] / 1e9:.2f} GB", ""],
                 ["  extra FLOPs, extra time", f"{plan['extra_flops']:.0%}, {plan['extra_time']:.0%}", ""]]
    if "extra" in found:
        extra, (low, high) = found["extra"], found["extra"]["spread"]
        rows += [["measured extra CPU time a layer", f"{extra['extra']:.0%}", "at most 35%"],
                 ["  quartiles over pairs of kept steps", f"{low:.0%} to {high:.0%}", ""],
                 ["  a layer, kept and recomputed", f"{extra['kept_cpu_s_a_layer']:.3f} s, "
                  f"{extra['recomputed_cpu_s_a_layer']:.3f} s", ""]]
    harness.table(f"{options.net}: one training step, batch {net.batch}, {options.threads} threads",
                  ["", "figure", "claim"], rows)
    if options.json:
        print(json.dumps({"benchmark": "headline_memory", "net": options.net, **found}))


if __name__ == "__main__":
    main()
