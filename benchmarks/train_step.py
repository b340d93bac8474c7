"""One training step (forward, backward, SGD with momentum) of six nets: mxdl, MXNet 1.9.1, torch, torch.compile.

Claim (design.md section 4): mxdl hybridized is at least 1.0x the best of the peers in the geometric mean, and at
least 0.9x on each net.  One pinned thread each; mxdl and MXNet run the same text (gluon_nets.py).
    python benchmarks/train_step.py [--case mlp ...] [--peer mxdl torch ...] [--runs 5] [--json]
"""
from __future__ import annotations

import importlib
import json

import cases
import harness

PEERS = ["mxdl", "mxdl-inductor", "mxnet", "torch", "torch.compile"]
OURS = ("mxdl", "mxdl-inductor")


def prepare(peer: str, case: str):
    if peer.startswith("torch"):
        import torch_nets
        return torch_nets.training_step(case, compiled=peer == "torch.compile")
    import gluon_nets
    backend = {"backend": "inductor"} if peer == "mxdl-inductor" else {}
    return gluon_nets.training_step(importlib.import_module(peer.split("-")[0]), case, **backend)


def over_best(peers: dict, time: str) -> float | None:
    """How many times quicker mxdl is than the best of the peers; `time` is "ms" (wall) or "cpu_ms"."""
    others = [r[time] for peer, r in peers.items() if time in r and peer not in OURS]
    return min(others) / peers["mxdl"][time] if others and time in peers.get("mxdl", {}) else None


def cell(result: dict) -> str:
    if "error" in result:
        return "failed"
    return "{:.1f} [{:.1f}, {:.1f}]".format(result["ms"], *result["spread_ms"])


def show(results: dict, peers: list) -> dict:
    """Print the table; returns {"ms": ratios, "cpu_ms": ratios} of mxdl over the best peer, net by net."""
    rows = []
    ratios: dict = {"ms": {}, "cpu_ms": {}}
    for case, found in results.items():
        counts = {r["parameters"] for r in found.values() if "parameters" in r}
        if len(counts) > 1:
            raise AssertionError(f"{case}: the peers do not train the same net; parameters: {counts}")
        for time, by_case in ratios.items():
            ratio = over_best(found, time)
            if ratio is not None:
                by_case[case] = ratio
        rows.append([case, *(cell(found[peer]) for peer in peers),
                     *(f"{by_case[case]:.2f}" if case in by_case else "-" for by_case in ratios.values())])
    harness.table("training step, one pinned thread: median ms [least, greatest]",
                  ["net", *peers, "mxdl over the best peer", "by CPU time"], rows)
    for time, by_case in ratios.items():
        if by_case:
            mean, least = harness.geometric_mean(by_case.values()), min(by_case.values())
            clock = "wall" if time == "ms" else "CPU "
            print(f"  {clock}: geometric mean {mean:.2f}, least {least:.2f}  (goals: 1.0 and 0.9)")
            by_case["geometric_mean"] = mean
    return ratios


def main() -> None:
    options = harness.arguments(__doc__, list(cases.CASES), PEERS)
    results = {case: harness.side_by_side(__file__, case, options.peer, options.runs) for case in options.case}
    ratios = show(results, options.peer)
    if options.json:
        print(json.dumps({"benchmark": "train_step", "mxdl_over_best_peer": ratios, "results": results}))


if __name__ == "__main__":
    harness.run(main, prepare)
