"""Exported nets in Node and in headless Chromium, one thread: mxdl's script against onnxruntime-web and tfjs-wasm.

Claim: at least 2.0x onnxruntime-web and 1.4x tfjs-wasm on the convolutional nets, 1.0x onnxruntime-web on an LSTM and a
BERT (those of inference_sequence.py).  Needs the extras [export,onnx],
Node or Chromium, and the peers, each left out with a message where it is not installed:
    npm install --prefix FOLDER onnxruntime-web @tensorflow/tfjs-core @tensorflow/tfjs-backend-wasm
    python benchmarks/inference_web.py --peers FOLDER [--engine node chromium] [--case ...] [--runs 15]
tfjs runs the steps of inference_web_plan.py: fused convolutions with batch norms folded, as its converter makes them;
it has none for the LSTM and the BERT.
"""
from __future__ import annotations

import argparse
import json
import os
import shutil
import tempfile
from pathlib import Path

import numpy as np
from browser import CHROMIUM
from harness import summary, table
from inference_sequence import VOCABULARY, gluon_net, inputs
from inference_web_engines import RUNTIME, Chromium, Node
from inference_web_plan import plan_of

import mxdl as mx
from mxdl.codegen.export import load_files
from mxdl.codegen.formats import export_files
from mxdl.gluon.model_zoo import vision
from mxdl.types import TensorType

CASES = ("resnet18_v1", "mobilenetv2_1.0", "resnet50_v1", "lstm", "bert")
SEQUENCES = {"lstm": [VOCABULARY], "bert": [VOCABULARY, 2, 1]}      # how many numbers each integer input may hold
PEERS = ("mxdl-relaxed", "mxdl-simd", "onnxruntime-web", "tfjs-wasm")
INSTALLED = {"onnxruntime-web": "onnxruntime-web", "tfjs-wasm": "@tensorflow/tfjs-backend-wasm"}
ENGINES = {"node": (Node, shutil.which("node")), "chromium": (Chromium, CHROMIUM)}


def write(case: str, folder: Path) -> Path:
    """Exports the net for every peer; returns the path without a suffix."""
    import onnx
    net, arrays = (gluon_net(case), inputs(case)) if case in SEQUENCES else (
        vision.get_model(case), [np.zeros((1, 3, 224, 224), "float32")])
    arrays = [array if array.dtype == "float32" else array.astype("int32") for array in arrays]
    net.initialize(mx.init.Normal(0.05) if case in SEQUENCES else mx.init.Xavier())
    net.hybridize()
    net(*[mx.nd.array(array, dtype=str(array.dtype)) for array in arrays])
    prefix, stem = str(folder / "files"), folder / "model"
    net.export(prefix)
    graph, parameters = load_files(prefix)
    names = [node.name for node in graph.inputs if node.name not in parameters]
    types = {name: TensorType(a.shape, str(a.dtype)) for name, a in zip(names, arrays, strict=True)}
    for to in ("js", "onnx"):
        export_files(graph, parameters, types, to, stem.with_suffix(f".{to}"), "model")
    if case not in SEQUENCES:
        steps, weights = plan_of(onnx.load(str(stem.with_suffix(".onnx")))).files()
        (folder / "model.plan.json").write_text(steps)
        (folder / "model.plan.bin").write_bytes(weights)
    below = SEQUENCES.get(case, [0])
    stem.with_suffix(".json").write_text(json.dumps(
        {name: {"shape": types[name].shape, "dtype": types[name].dtype, "below": numbers,
                "from": int(array[0]) if numbers == 1 else 0}
         for name, array, numbers in zip(names, arrays, below, strict=True)}))
    return stem


def megabytes(peer: str, stem: Path, peers: str) -> float:
    """What a browser fetches."""
    own = {"onnxruntime-web": [".onnx"], "tfjs-wasm": [".plan.json", ".plan.bin"]}.get(peer, [".js"])
    files = [stem.with_name(stem.name + end) for end in own]
    files += [Path(peers, "node_modules", name) for name in RUNTIME.get(peer, ())]
    return sum(file.stat().st_size for file in files) / 1e6


def measure(case: str, engine: str, peers: list[str], folder: str, runs: int, stem: Path) -> dict[str, dict]:
    """{peer: summary and facts}; the peers take turns.  Fails when their answers differ."""
    workers = {peer: ENGINES[engine][0](peer, stem, folder) for peer in peers}
    for _ in range(runs):
        for worker in workers.values():
            worker.call()
    first, *rest = (np.array(worker.info.pop("answer")) for worker in workers.values())
    for other in rest:
        assert np.abs(first - other).max() <= 1e-4 * np.abs(first).max(), f"{case}: the peers' answers differ"
    for worker in workers.values():
        worker.close()
    return {peer: {**worker.info, **summary(worker.times), "mb": megabytes(peer, stem, folder),
                   "least_cpu_ms": 1e3 * min(t["cpu_s"] for t in worker.times)} for peer, worker in workers.items()}


def report(case: str, engine: str, found: dict[str, dict]) -> None:
    rows = []
    for peer, one in found.items():
        ratios = [f"{found[base]['least_cpu_ms'] / one['least_cpu_ms']:.2f}" if base in found else "-"
                  for base in INSTALLED]
        rows.append([peer, f"{one['ms']:.1f}", f"{one['least_cpu_ms']:.1f}", *ratios, f"{one['mb']:.1f}",
                     f"{one['start_ms']:.0f}"])
    table(f"{case}, {found['mxdl-simd']['engine'] if 'mxdl-simd' in found else engine}, batch 1, one core",
          ["peer", "ms", "least CPU ms", *(f"{base} / it" for base in INSTALLED), "MB", "start ms"], rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--case", nargs="+", choices=CASES, default=CASES[:2])
    parser.add_argument("--engine", nargs="+", choices=tuple(ENGINES), default=tuple(ENGINES))
    parser.add_argument("--peers", default="", metavar="FOLDER", help="where npm installed the peers")
    parser.add_argument("--runs", type=int, default=15)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    engines = [engine for engine in args.engine if ENGINES[engine][1]]
    for engine in sorted({*args.engine} - {*engines}):
        print(f"{engine} is left out: it is not installed here")
    if not engines:
        parser.exit(1, "inference_web: neither Node nor Chromium here\n")
    peers = list(PEERS)
    for peer, package in INSTALLED.items():
        if not Path(args.peers, "node_modules", package).is_dir():
            print(f"{peer} is left out: {package} is not in --peers FOLDER")
            peers.remove(peer)
    results: dict = {"load": os.getloadavg()}
    for case in args.case:
        with tempfile.TemporaryDirectory() as scratch:
            stem = write(case, Path(scratch))
            able = [peer for peer in peers if case not in SEQUENCES or peer != "tfjs-wasm"]
            for engine in engines:
                found = results[f"{case}, {engine}"] = measure(case, engine, able, args.peers, args.runs, stem)
                report(case, engine, found)
    if args.json:
        print(json.dumps(results))


if __name__ == "__main__":
    main()
