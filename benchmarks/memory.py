"""Memory and time of a training step: mxdl under budgets against the peers' ways to recompute.

Claim: at every budget mxdl is at least as quick as each peer that reaches it, and it reaches budgets that they do not.
Peers: torch, torch.utils.checkpoint in sqrt(n) segments, torch.compile with activation_memory_budget, MXNet 1.9.1 with
and without MXNET_BACKWARD_DO_MIRROR.  MB grown: what VmHWM goes over what is resident between steps; each process
gives freed blocks of 1 MiB and more back at once, which costs all of them time alike.
    python benchmarks/memory.py [--case mlp ...] [--peer mxdl torch ...] [--runs 5] [--json]
"""
from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import harness

BUDGETS = ("0.75", "0.5", "0.25", "0.1")
PEERS = ["mxdl", *("mxdl:" + b for b in BUDGETS), "mxdl:sqrt", "torch", "torch:checkpoint",
         *("torch:compile:" + b for b in BUDGETS[:3]), "mxnet", "mxnet:mirror"]
CASES = ["mlp", "resnet50", "transformer"]
MAPPED = {"MXDL_MALLOC": "return", "MALLOC_MMAP_THRESHOLD_": str(1 << 20), "MALLOC_TRIM_THRESHOLD_": str(1 << 20)}


def status(key):
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(key))


def gluon_step(name, case, how):
    import memory_nets
    mx = importlib.import_module(name)
    net = memory_nets.gluon_net(mx, case)
    net.initialize()
    mirror = {"mirror": how if how == "sqrt" else float(how)} if how and name == "mxdl" else {}
    net.hybridize(static_alloc=True, static_shape=True, **mirror)
    x = mx.nd.random.uniform(shape=memory_nets.SHAPES[case])
    resident = status("VmRSS")

    def step():
        with mx.autograd.record():
            y = net(x)
        y.backward()
        mx.nd.waitall()
    step()
    gradient_bytes = sum(4 * p.data().size for p in net.collect_params().values() if p.grad_req != "null")
    return step, gradient_bytes, resident + 2 * gradient_bytes if name == "mxnet" else None


def torch_step(case, how):
    import memory_nets
    import memory_torch_nets
    import torch
    net, forward = memory_torch_nets.torch_forward(case, how)
    x = torch.rand(memory_nets.SHAPES[case])
    if x.dim() == 4:
        net, x = net.to(memory_format=torch.channels_last), x.to(memory_format=torch.channels_last)

    def step():
        net.zero_grad(set_to_none=True)
        forward(x).sum().backward()
    step()
    return step, sum(p.nbytes for p in net.parameters()), None


def one(peer, case, runs):
    """In a process of its own: what a step takes."""
    name, _, how = peer.partition(":")
    step, gradient_bytes, begin = torch_step(case, how) if name == "torch" else gluon_step(name, case, how)
    step()
    # MXNet's pool keeps what was freed: its growth counts from before its first step, less parameters and gradients
    before = begin or status("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")   # VmHWM starts anew
    seconds = []
    for _ in range(runs):
        started = time.process_time()
        step()
        seconds.append(time.process_time() - started)
    # gradients of the last step are part of `before`, and those of the next replace them at the end
    return {"activation_bytes": status("VmHWM") - before, "gradient_bytes": gradient_bytes, "cpu_s": min(seconds)}


def measured(peer, case, runs):
    env = dict(os.environ, OMP_NUM_THREADS="1", MKL_NUM_THREADS="1", MXNET_CPU_WORKER_NTHREADS="1", **MAPPED)
    if peer == "mxnet:mirror":
        env["MXNET_BACKWARD_DO_MIRROR"] = "1"
    run = subprocess.run([harness.python_of(peer.partition(":")[0]), __file__, "--one", peer, case, str(runs)], env=env,
                         capture_output=True, text=True)
    if run.returncode:
        told = [line for line in run.stderr.splitlines() if "Error" in line] or run.stderr.splitlines()
        return {"error": told[-1][:160]}
    return json.loads(run.stdout.splitlines()[-1])


def main() -> None:
    options = harness.arguments(__doc__, CASES, PEERS)
    results = {case: {peer: measured(peer, case, options.runs) for peer in options.peer} for case in options.case}
    for case, found in results.items():
        rows = [[peer, "-", "-", r["error"]] if "error" in r else
                [peer, f"{r['activation_bytes'] / 1e6:.0f}", f"{1e3 * r['cpu_s']:.0f}", ""]
                for peer, r in found.items()]
        harness.table(f"{case}: one training step, one thread", ["peer", "MB grown", "CPU ms, least", ""], rows)
    if options.json:
        print(json.dumps({"benchmark": "memory", "results": results}))


if __name__ == "__main__":
    if sys.argv[1:2] == ["--one"]:
        print(json.dumps(one(sys.argv[2], sys.argv[3], int(sys.argv[4]))))
    else:
        main()
