"""How long the first training step takes, from building done to gradients applied: mxdl, MXNet, torch.compile.

Claim (design.md section 4): hybridize() generates no code, so its first call is at least 10x quicker than
torch.compile's.  Every run is a fresh process with empty compiler caches.
    python benchmarks/first_call.py [--case resnet50] [--peer mxdl torch.compile ...] [--runs 5] [--json]
"""
from __future__ import annotations

import json
import statistics
import tempfile
from pathlib import Path

import cases
import harness

PEERS = ["mxdl", "mxnet", "torch", "torch.compile"]
TRAIN_STEP = str(Path(__file__).with_name("train_step.py"))  # serves the same nets


def first_call_s(peer: str, case: str) -> float:
    with tempfile.TemporaryDirectory() as cache:
        worker = harness.Worker(TRAIN_STEP, peer, case, environment={"TORCHINDUCTOR_CACHE_DIR": cache})
        worker.close()
    return worker.info["first_call_s"]


def main() -> None:
    options = harness.arguments(__doc__, list(cases.CASES), PEERS, default_cases=["resnet50"])
    results: dict = {case: {peer: [] for peer in options.peer} for case in options.case}
    for _ in range(options.runs):
        for case in options.case:
            for peer in options.peer:
                results[case][peer].append(first_call_s(peer, case))
    rows = []
    for case, found in results.items():
        median = {peer: statistics.median(times) for peer, times in found.items()}
        both = "mxdl" in median and "torch.compile" in median
        rows.append([case, *(f"{median[p]:.2f} [{min(found[p]):.2f}, {max(found[p]):.2f}]" for p in options.peer),
                     f"{median['torch.compile'] / median['mxdl']:.1f}" if both else "-"])
    harness.table("first training step, seconds: median [least, greatest]",
                  ["net", *options.peer, "torch.compile / mxdl"], rows)
    if options.json:
        print(json.dumps({"benchmark": "first_call", "seconds": results}))


if __name__ == "__main__":
    main()
