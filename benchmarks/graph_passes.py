"""The whole training pipeline over large graphs: seconds a pass, and how they grow with the number of nodes.

Claim: a graph of 100,000 nodes goes through the pipeline (types, forward passes, gradient, mirror, programs) in
under 20 s, in near-linear time: ten times the nodes cost at most about ten times the seconds.
    python benchmarks/graph_passes.py [--nodes 1000 10000 100000] [--runs 5] [--json]
"""
from __future__ import annotations

import argparse
import json
import statistics
import time

import harness

from mxdl.executor.cached_op import Runner
from mxdl.graph import Graph
from mxdl.graph.node import apply, variable
from mxdl.ops import get
from mxdl.passes.infer_types import infer_types
from mxdl.passes.pipeline import training_plan
from mxdl.types import TensorType

UNITS = 8
STAGES = ("build", "infer types", "training plan", "training plan, mirror=True", "training plan, mirror='sqrt'",
          "programs")


def deep_net(num_nodes: int) -> tuple[Graph, dict[str, TensorType]]:
    """Residual blocks of a dense layer, a normalization, a relu and an addition; six nodes a block with parameters."""
    dense, norm, relu, add = (get(name) for name in ("FullyConnected", "LayerNorm", "relu", "elemwise_add"))
    known = {"data": TensorType((4, UNITS)), "gamma": TensorType((UNITS,)), "beta": TensorType((UNITS,))}
    x, gamma, beta = variable("data"), variable("gamma"), variable("beta")
    for i in range(num_nodes // 6):
        weight, bias = variable(f"weight{i}"), variable(f"bias{i}")
        known[weight.node.name], known[bias.node.name] = TensorType((UNITS, UNITS)), TensorType((UNITS,))
        y = apply(dense, (x, weight, bias), {"num_hidden": UNITS}, f"dense{i}")
        y, _, _ = apply(norm, (y, gamma, beta), {}, f"norm{i}")  # and its mean and deviation
        x = apply(add, (x, apply(relu, (y,), {}, f"relu{i}")), {}, f"add{i}")
    return Graph([x]), known


def measure(num_nodes: int) -> dict[str, float]:
    """Seconds of CPU time of each stage for one graph: it is pure Python on one thread."""
    seconds: dict[str, float] = {}

    def timed(stage: str, call):
        started = time.process_time()
        result = call()
        seconds[stage] = time.process_time() - started
        return result

    graph, known = timed("build", lambda: deep_net(num_nodes))
    wrt = [node for node in graph.inputs if node.name != "data"]
    timed("infer types", lambda: infer_types(graph, known))
    plans = [timed(stage, lambda mode=mode: training_plan(graph, True, wrt, mode, known))
             for stage, mode in zip(STAGES[2:5], (False, True, "sqrt"), strict=True)]
    timed("programs", lambda: Runner(plans[0], None))
    return seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nodes", nargs="+", type=int, default=[1000, 10_000, 100_000])
    parser.add_argument("--runs", type=int, default=5, help="runs of each size; the median counts (default 5)")
    parser.add_argument("--json", action="store_true", help="print one JSON object as the last line")
    options = parser.parse_args()
    runs = {n: [measure(n) for _ in range(options.runs)] for n in options.nodes}
    median = {n: {stage: statistics.median(run[stage] for run in found) for stage in STAGES}
              for n, found in runs.items()}
    rows = [[stage, *(f"{median[n][stage]:.3f}" for n in options.nodes)] for stage in STAGES]
    header = ["stage", *(f"{n:,} nodes" for n in options.nodes)]
    harness.table("training pipeline, seconds of CPU time, median", header, rows)
    if options.json:
        print(json.dumps({"benchmark": "graph_passes", "median_s": median, "runs": runs}))


if __name__ == "__main__":
    main()
