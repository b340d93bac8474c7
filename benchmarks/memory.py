"""Memory and time of a training step: mxdl under budgets against the peers' ways to recompute.

Claim: at every budget mxdl is at least as quick as each peer that reaches it, and it reaches budgets that they do not.
Peers: torch, torch.utils.checkpoint in sqrt(n) segments, torch.compile with activation_memory_budget, MXNet 1.9.1 with
and without MXNET_BACKWARD_DO_MIRROR.  A budget is a fraction of what mxdl's step takes when nothing is recomputed.
MB grown: what VmHWM goes over what is resident between steps, weights and gradients; every process maps blocks of 128
KiB and more (torch's in huge pages) and gives them back when they are freed.  That costs time: MXNet, which pools its
blocks, does not pay it, and neither do peers with ":keep", whose allocators are as they come.
"mxdl:...:inductor" is `hybridize(backend="inductor")` under the same budget.  Free blocks of the heap, which compiling
leaves, are given back before growth is counted and before each timed step, so that no step hides in them.
MB planned: the same by `memory_plan`.   MB tracked: bytes of tensors that the step made, at most;
compiled code makes its own, unseen.
    python benchmarks/memory.py [--case mlp ...] [--peer mxdl torch ...] [--runs 5] [--apart] [--json]
"""
from __future__ import annotations

import ctypes
import gc
import importlib
import json
import signal
import time
from pathlib import Path

import harness

BUDGETS = (0.75, 0.5, 0.25, 0.1)
COMPILE = [f"torch:compile:{budget}" for budget in (1, *BUDGETS[:3])]
INDUCTOR = ["mxdl:inductor", *(f"mxdl:{budget}:inductor" for budget in BUDGETS[:3])]
KEEPING = ["mxdl:keep", *(f"mxdl:{budget}:keep" for budget in BUDGETS[:3]), "torch:keep", "torch:checkpoint:keep",
           *(f"{peer}:keep" for peer in COMPILE[2:])]
PEERS = ["mxdl", *(f"mxdl:{budget}" for budget in BUDGETS), "mxdl:sqrt", "mxdl:min", *INDUCTOR, "torch",
         "torch:checkpoint", *COMPILE, "mxnet", "mxnet:mirror", *KEEPING]
CASES = ["resnet50", "resnet200", "densenet121", "unet", "lstm", "transformer", "mlp"]
MAPPED = {"MXDL_MALLOC": "system", "MALLOC_MMAP_THRESHOLD_": str(1 << 17), "MALLOC_TRIM_THRESHOLD_": str(1 << 17),
          "THP_MEM_ALLOC_ENABLE": "1", "TORCHINDUCTOR_COMPILE_THREADS": "1"}
FIRST_S = 900            # a peer whose first step takes longer is left out
REACHED = 1.05           # what counts as within a budget: the process grows by a little more than its arrays
MAX_RECOMPUTE = 3        # extra forward passes, where one does not reach the budget


def status(key):
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(key))


def gluon_step(name, case, how):
    """(function that trains one step, trained parameters, what the process held before the first step)."""
    import memory_nets
    mx = importlib.import_module(name)
    net = memory_nets.gluon_net(mx, case)
    net.initialize()
    options, planned = ({}, None) if name == "mxnet" else mirroring(net, memory_nets.SHAPES[case], how)
    net.hybridize(static_alloc=True, static_shape=True, **options)
    x = mx.nd.random.uniform(shape=memory_nets.SHAPES[case])
    resident = status("VmRSS")

    def step(zero=name == "mxdl"):   # as torch's users do; in MXNet it saves nothing
        if zero:
            net.collect_params().zero_grad()
        with mx.autograd.record():
            y = net(x)
        y.backward()
        mx.nd.waitall()
    step()
    return step, sum(p.data().size for p in net.collect_params().values() if p.grad_req != "null"), resident, planned


def mirroring(net, shape, how):
    """(arguments of hybridize, planned bytes of growth).   how: "", "sqrt", "min" or a part of the growth, then perhaps
    ":inductor"."""
    options = {"backend": "inductor"} if how.endswith("inductor") else {}
    how = how.removesuffix("inductor").rstrip(":")
    plan = net.memory_plan(shape)
    between = plan.after.timeline.fixed + plan.after.timeline.grads   # what is resident between steps
    if not how:
        return options, net.memory_plan(shape, **options).peak - between
    budget = how if how in ("sqrt", "min") else int(between + float(how) * (plan.peak - between))
    options.update(mirror=budget, max_recompute=MAX_RECOMPUTE)
    return options, net.memory_plan(shape, **options).peak - between


def torch_step(case, how):
    import memory_nets
    import memory_torch_nets
    import torch
    net, forward = memory_torch_nets.torch_forward(case, how)
    x = torch.rand(memory_nets.SHAPES[case])
    if x.dim() == 4:
        net, x = net.to(memory_format=torch.channels_last), x.to(memory_format=torch.channels_last)
    parameters = sum(p.numel() for p in net.parameters())
    resident = status("VmRSS") - 4 * parameters     # which are there already

    def step():
        net.zero_grad(set_to_none=True)
        forward(x).sum().backward()
    step()
    return step, parameters, resident, None


def prepare(peer, case):
    """In a process of its own: (a step, what tells of its size and memory)."""
    name, *hows = peer.split(":")
    keeps = hows[-1:] == ["keep"]
    how = ":".join(hows[:-1] if keeps else hows)
    signal.alarm(FIRST_S)
    started = time.process_time()
    step, parameters, resident, planned = torch_step(case, how) if name == "torch" else gluon_step(name, case, how)
    first = time.process_time() - started
    signal.alarm(0)

    def tell():
        gc.collect()
        if not keeps:
            trim()
        # where what was freed is kept, growth counts from before the first step, less parameters and gradients
        before = resident + 2 * 4 * parameters if name == "mxnet" or keeps else status("VmRSS")
        Path("/proc/self/clear_refs").write_text("5")   # VmHWM starts anew
        step()
        # gradients of the last step are part of `before`, and those of the next replace them at the end
        grown = status("VmHWM") - before
        return {"parameters": int(parameters), "grown_bytes": grown, "first_cpu_s": first, "planned_bytes": planned,
                "tracked_bytes": tracked(step) if name == "mxdl" and "inductor" not in hows else None}
    if not keeps:
        step.before = trim
    return step, tell


def trim():
    """Give the heap's free blocks back.  Compiling leaves many, in which a step's arrays would hide: they would take no
    memory, and no time to get it."""
    ctypes.CDLL("libc.so.6").malloc_trim(0)


def tracked(step):
    """Bytes of the tensors that a step of mxdl makes, at most, beyond those that it holds at the end (gradients)."""
    memory = importlib.import_module("mxdl.executor.memory")
    with memory.track() as usage:
        step(zero=False)   # which would count zeros that have no memory yet
    return usage.peak - usage.live


def verdicts(found: dict) -> list:
    """For each budget: mxdl's quickest way to it, the quickest of the peers that reach it, the ratio of their times."""
    rows = []
    for budget in BUDGETS:
        limit = budget * found["mxdl"]["grown_bytes"] * REACHED
        fit = {peer: r for peer, r in found.items() if "error" not in r and r["grown_bytes"] <= limit}
        mine, others = ({p: r for p, r in fit.items() if p.startswith("mxdl") == own} for own in (True, False))
        least = [min(group, key=lambda p: group[p]["cpu_least_ms"], default=None) for group in (mine, others)]
        ratio = f"{others[least[1]]['cpu_least_ms'] / mine[least[0]]['cpu_least_ms']:.2f}" if all(least) else "-"
        rows.append([f"{budget:.0%}", f"{limit / REACHED / 1e6:.0f}", least[0] or "none", least[1] or "none", ratio])
    return rows


def main() -> None:
    options = harness.arguments(__doc__, CASES, PEERS)
    results = {}
    for case in options.case:
        environments = {p: {} if p.endswith("keep") else MAPPED for p in options.peer}
        found = results[case] = harness.side_by_side(__file__, case, options.peer, options.runs, environments,
                                                     apart=options.apart)
        counts = {r["parameters"] for r in found.values() if "error" not in r}
        if len(counts) > 1:
            raise RuntimeError(f"{case}: the peers' nets differ; got {counts} parameters; make them the same net")
        rows = [[peer, *["-"] * 6, r["error"].rpartition("the peer's process ")[2]] if "error" in r else
                [peer, *("-" if r[f"{kind}_bytes"] is None else f"{r[f'{kind}_bytes'] / 1e6:.0f}"
                         for kind in ("planned", "tracked", "grown")),
                 f"{r['cpu_least_ms']:.0f}", f"{r['cpu_ms']:.0f}", f"{r['first_cpu_s']:.1f}", ""]
                for peer, r in found.items()]
        harness.table(f"{case}: one training step, one thread, {max(counts, default=0) / 1e6:.2f} M parameters",
                      ["peer", "MB planned", "tracked", "grown", "CPU ms, least", "median", "first step, CPU s", ""],
                      rows)
        if "error" not in found.get("mxdl", {"error": "left out"}):
            harness.table(f"{case}: who reaches a budget, and the time of the quickest peer over mxdl's",
                          ["budget", "MB", "mxdl", "quickest peer", "ratio"], verdicts(found))
    if options.json:
        print(json.dumps({"benchmark": "memory", "results": results}))


if __name__ == "__main__":
    harness.run(main, prepare, warmup=0)
