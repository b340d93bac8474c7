"""What one eager call costs on tiny arrays: mxdl, torch, MXNet 1.9.1.

Claim (design.md section 4): `a + b` on 10 elements costs at most 2.5x torch's own call, at least 5x less than MXNet.
    python benchmarks/eager_overhead.py [--case add ...] [--peer mxdl torch mxnet] [--runs 5] [--json]
"""
from __future__ import annotations

import importlib
import json

import harness

CALLS = 1000  # a timed call is a loop of so many operations: a loop costs 20 ns a turn


def gluon_cases(mx):
    """The operations through MXNet's API, for mxdl and MXNet alike: name -> (operation, what waits for it)."""
    a, b = mx.nd.arange(10), mx.nd.ones((10,))
    m = mx.nd.ones((10, 10))
    w = mx.nd.ones((10,))
    w.attach_grad()
    idx = mx.nd.array([1, 2])

    def train():
        with mx.autograd.record():
            loss = (w * a).sum()
        loss.backward()

    return {
        "add": lambda: a + b,
        "add_scalar": lambda: a + 1.0,
        "relu": lambda: mx.nd.relu(a),
        "dot": lambda: mx.nd.dot(m, m),
        "sum": lambda: m.sum(axis=1),
        "reshape": lambda: m.reshape((5, 20)),
        "slice": lambda: m[2:4],
        "take": lambda: mx.nd.take(m, idx),
        "concat": lambda: mx.nd.concat(a, b, dim=0),
        "train": train,
    }, mx.nd.waitall


def torch_cases():
    import torch
    torch.set_num_threads(1)
    a, b, m = torch.arange(10.0), torch.ones(10), torch.ones(10, 10)
    w = torch.ones(10, requires_grad=True)
    idx = torch.tensor([1, 2])

    def train():
        w.grad = None
        (w * a).sum().backward()

    return {
        "add": lambda: a + b,
        "add_scalar": lambda: a + 1.0,
        "relu": lambda: torch.relu(a),
        "dot": lambda: m @ m,
        "sum": lambda: m.sum(1),
        "reshape": lambda: m.reshape(5, 20),
        "slice": lambda: m[2:4],
        "take": lambda: m[idx],
        "concat": lambda: torch.cat((a, b)),
        "train": train,
    }, lambda: None


CASES = ["add", "add_scalar", "relu", "dot", "sum", "reshape", "slice", "take", "concat", "train"]
PEERS = ["mxdl", "torch", "mxnet"]


def prepare(peer: str, case: str):
    cases, wait = torch_cases() if peer == "torch" else gluon_cases(importlib.import_module(peer))
    operation = cases[case]

    def call():
        for _ in range(CALLS):
            operation()
        wait()

    return call, dict


def main() -> None:
    options = harness.arguments(__doc__, CASES, PEERS)
    results = {case: harness.side_by_side(__file__, case, options.peer, options.runs) for case in options.case}
    rows = []
    for case, peers in results.items():
        us = {peer: 1e3 * r["ms"] / CALLS for peer, r in peers.items() if "ms" in r}
        rows.append([case, *(f"{us[p]:.2f}" if p in us else "-" for p in options.peer),
                     *(f"{us['mxdl'] / us[p]:.2f}" if "mxdl" in us and p in us else "-" for p in ("torch", "mxnet"))])
    harness.table("one eager call on tiny arrays, microseconds, median",
                  ["operation", *options.peer, "mxdl / torch", "mxdl / mxnet"], rows)
    if options.json:
        print(json.dumps({"benchmark": "eager_overhead", "calls_per_ms_entry": CALLS, "results": results}))


if __name__ == "__main__":
    harness.run(main, prepare)
