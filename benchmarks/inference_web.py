"""Exported nets in Node, one thread: mxdl's script against onnxruntime-web's wasm engine.

Claim: at least 2.0x onnxruntime-web on the convolutional nets.  Needs the extras [export,onnx], node, and the peer:
    npm install --prefix FOLDER onnxruntime-web        then --peers FOLDER
"""
from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import numpy as np
from harness import summary, table

import mxdl as mx
from mxdl.codegen.export import load_files
from mxdl.codegen.formats import export_files
from mxdl.gluon.model_zoo import vision

CASES = ("resnet18_v1", "mobilenetv2_1.0", "resnet50_v1")
PEERS = ("mxdl-relaxed", "mxdl-simd", "onnxruntime-web")
RUNNER = Path(__file__).with_suffix(".js")


def write(case: str, folder: Path) -> Path:
    """Exports the net both ways; returns the path without a suffix."""
    net = vision.get_model(case)
    net.initialize(mx.init.Xavier())
    net.hybridize()
    shape = (1, 3, 224, 224)
    net(mx.nd.zeros(shape))
    prefix, stem = str(folder / "files"), folder / "model"
    net.export(prefix)
    graph, parameters = load_files(prefix)
    for to in ("js", "onnx"):
        export_files(graph, parameters, {"data": shape}, to, stem.with_suffix(f".{to}"), "model")
    stem.with_suffix(".json").write_text(json.dumps({"data": shape}))
    return stem


class Node:
    """A peer's process, pinned to the last core; its first call is done."""

    def __init__(self, peer: str, stem: Path, peers: str):
        core = max(os.sched_getaffinity(0))
        flags = ["--experimental-wasm-relaxed-simd"] if peer == "mxdl-relaxed" and old_node() else []
        self.process = subprocess.Popen(["node", *flags, RUNNER, peer, stem, peers], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, text=True,
                                        preexec_fn=lambda: os.sched_setaffinity(0, {core}))
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"{peer}: Node ended early")
        self.info, self.times = json.loads(line), []

    def call(self) -> None:
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        self.times.append(json.loads(self.process.stdout.readline()))

    def close(self) -> None:
        self.process.stdin.close()
        self.process.stdout.close()
        self.process.wait(60)


def old_node() -> bool:
    return int(subprocess.run(["node", "-p", "process.versions.node"], capture_output=True, text=True,
                              check=True).stdout.split(".")[0]) < 22


def measure(case: str, peers: list[str], folder: str, runs: int) -> dict[str, dict]:
    """{peer: summary and facts}; the peers take turns.  Fails when their answers differ."""
    with tempfile.TemporaryDirectory() as scratch:
        stem = write(case, Path(scratch))
        workers = {peer: Node(peer, stem, folder) for peer in peers}
        for _ in range(runs):
            for worker in workers.values():
                worker.call()
        first, *rest = (np.array(worker.info.pop("answer")) for worker in workers.values())
        for other in rest:
            assert np.abs(first - other).max() <= 1e-4 * np.abs(first).max(), f"{case}: the peers' answers differ"
        for worker in workers.values():
            worker.close()
        return {peer: {**worker.info, **summary(worker.times),
                       "least_cpu_ms": 1e3 * min(t["cpu_s"] for t in worker.times)}
                for peer, worker in workers.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--case", nargs="+", choices=CASES, default=CASES[:2])
    parser.add_argument("--peers", default="", metavar="FOLDER", help="where npm installed onnxruntime-web")
    parser.add_argument("--runs", type=int, default=15)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    if not shutil.which("node"):
        parser.exit(1, "inference_web: no node here\n")
    peers = list(PEERS)
    if not Path(args.peers, "node_modules/onnxruntime-web").is_dir():
        print("onnxruntime-web is left out: it is not in --peers FOLDER")
        peers.remove("onnxruntime-web")
    results = {case: measure(case, peers, args.peers, args.runs) for case in args.case}
    for case, found in results.items():
        base = found.get("onnxruntime-web")
        table(f"{case}, Node, batch 1, one core", ["peer", "ms", "least CPU ms", "x onnxruntime-web", "MB", "start ms"],
              [[peer, f"{f['ms']:.1f}", f"{f['least_cpu_ms']:.1f}",
                f"{base['least_cpu_ms'] / f['least_cpu_ms']:.2f}" if base else "", f"{f['bytes'] / 1e6:.1f}",
                f"{f['start_ms']:.0f}"] for peer, f in found.items()])
    if args.json:
        print(json.dumps(results))


if __name__ == "__main__":
    main()
