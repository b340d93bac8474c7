"""Inference of language models, BERT and SSD-300, batch 1, one thread: the exported C file, ONNX Runtime, torch.

Claim: the file that plain `cc -O3` compiles is at least as fast as ONNX Runtime on each, with AVX2 alone (peers
that end in -avx2, as in inference.py) as well.  ONNX Runtime runs torch's own export of the same net; of SSD-300 it
runs the net alone, mxdl's file also the suppression.
    python benchmarks/inference_sequence.py [--case lstm ...] [--peer mxdl-c ...] [--runs 5] [--json]
"""
from __future__ import annotations

import ctypes
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import harness
import numpy as np
from inference import HIDDEN, hidden_environments

PEERS = ["mxdl-c", "onnxruntime", "torch", "mxdl-c-avx2", "onnxruntime-avx2"]
VOCABULARY, SIZE = 1000, 128
BERT = {"layers": 4, "size": 256, "hidden": 1024, "heads": 4, "vocabulary": VOCABULARY, "longest": 128}
SCALES = tuple(zip([(0.1, 0.141), (0.2, 0.272), (0.37, 0.447), (0.54, 0.619), (0.71, 0.79), (0.88, 0.961)],
                   [(1, 2, 0.5), *[(1, 2, 0.5, 3, 1 / 3)] * 3, *[(1, 2, 0.5)] * 2], strict=True))
CASES = ["lstm", "gru", "bert", "ssd300"]


def inputs(case: str) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    if case == "ssd300":
        return [rng.normal(size=(1, 3, 300, 300)).astype("float32")]
    if case == "bert":
        return [rng.integers(0, VOCABULARY, (1, 128)), rng.integers(0, 2, (1, 128)), np.array([100])]
    return [rng.integers(0, VOCABULARY, (32, 1))]


def gluon_net(case: str):
    sys.path.insert(0, str(harness.ROOT))
    from mxdl.gluon import nn, rnn
    from mxdl.gluon.model_zoo import vision
    from tests.codegen import block_nets as nets
    if case == "bert":
        return nets.BERT(**BERT)
    if case == "ssd300":
        body = nn.HybridSequential()
        for layer in list(vision.resnet18_v1(pretrained=False).features._children.values())[:-2]:
            body.add(layer)
        return nets.SSD(body, SCALES, 20, 128, 400)
    return nets.LanguageModel({"lstm": rnn.LSTM, "gru": rnn.GRU}[case], VOCABULARY, SIZE)


def torch_net(case: str):
    import inference_torch
    import torch
    torch.set_num_threads(1)
    made = {"bert": lambda: inference_torch.BERT(**BERT), "ssd300": lambda: inference_torch.SSD(SCALES, 20, 128)}
    cell = {"lstm": torch.nn.LSTM, "gru": torch.nn.GRU}
    return (made[case]() if case in made else inference_torch.LanguageModel(cell[case], VOCABULARY, SIZE)).eval()


def compiled(case: str, folder: Path, flags: list[str]):
    """The exported file as a shared library, its handle, and facts.   flags: for the compiler, beside -O3"""
    import mxdl as mx
    from mxdl.codegen import export_c
    from mxdl.types import TensorType
    net, arrays = gluon_net(case), inputs(case)
    net.initialize(mx.init.Normal(0.05))
    net.hybridize()
    net(*[mx.nd.array(array, dtype=str(array.dtype)) for array in arrays])
    net.export(str(folder / "net"))
    graph = mx.sym.load(str(folder / "net-symbol.json")).graph()
    given = {key.split(":", 1)[-1]: a.to_torch() for key, a in mx.nd.load(str(folder / "net-0000.params")).items()}
    names = [n.name for n in graph.inputs if n.name not in given]
    types = {name: TensorType(a.shape, str(a.dtype)) for name, a in zip(names, arrays, strict=True)}
    export_c(graph, given, types, folder / "net.c", "net")
    command = ["cc", "-O3", *flags, "-shared", "-fPIC", folder / "net.c", "-o", folder / "net.so", "-lm"]
    subprocess.run(command, check=True)
    library = ctypes.CDLL(str(folder / "net.so"))
    library.net_create.restype, library.net_isa.restype = ctypes.c_void_p, ctypes.c_char_p
    model = ctypes.c_void_p(library.net_create())
    for i, array in enumerate(arrays):
        place = np.ascontiguousarray(array).ctypes.data_as(ctypes.c_void_p)
        assert library.net_set_input(model, i, place, ctypes.c_size_t(array.size)) == 0
    facts = {"isa": library.net_isa(model).decode(), "file_kb": (folder / "net.c").stat().st_size // 1024,
             "library_kb": (folder / "net.so").stat().st_size // 1024}
    return lambda: library.net_forward(model), facts


def prepare(peer: str, case: str):
    if peer.startswith("mxdl-c"):
        flags = ["-DNET_MAX_ISA=1"] if peer.endswith(HIDDEN) else []
        call, facts = compiled(case, Path(tempfile.mkdtemp(prefix="mxdl-bench-")), flags)
        return call, lambda: facts
    peer = peer.removesuffix(HIDDEN)
    import torch
    net, tensors = torch_net(case), tuple(torch.from_numpy(array) for array in inputs(case))
    parameters = {"parameters": sum(p.numel() for p in net.parameters())}
    if peer == "torch":
        def call():
            with torch.inference_mode():
                net(*tensors)
        return call, lambda: parameters
    import onnxruntime
    path = os.path.join(tempfile.mkdtemp(prefix="mxdl-bench-"), "net.onnx")
    names = [f"input{i}" for i in range(len(tensors))]
    torch.onnx.export(net, tensors, path, dynamo=False, input_names=names)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    feed = dict(zip(names, (t.numpy() for t in tensors), strict=True))
    return lambda: session.run(None, feed), lambda: parameters


def main() -> None:
    options = harness.arguments(__doc__, CASES, PEERS)
    with tempfile.TemporaryDirectory() as folder:
        environments = hidden_environments(options, Path(folder))
        results = {case: harness.side_by_side(__file__, case, options.peer, options.runs, environments)
                   for case in options.case}
    rows, ratios = [], {}
    for case, found in results.items():
        for end in ("", HIDDEN):
            theirs, ours = (found.get(peer + end, {}) for peer in ("onnxruntime", "mxdl-c"))
            if "cpu_ms" in theirs and "cpu_ms" in ours:
                ratios[case + end] = theirs["cpu_ms"] / ours["cpu_ms"]
        cells = [f"{found[p]['ms']:.3f} / {found[p]['cpu_ms']:.3f}" if "ms" in found[p] else "failed"
                 for p in options.peer]
        shown = [f"{ratios[key]:.2f}" if key in ratios else "-" for key in (case, case + HIDDEN)]
        rows.append([case, *cells, *shown])
    harness.table("inference, batch 1, one pinned thread: median ms wall / CPU",
                  ["net", *options.peer, "ONNX Runtime over mxdl, CPU", "AVX2"], rows)
    if options.json:
        print(json.dumps({"benchmark": "inference_sequence", "onnxruntime_over_mxdl": ratios, "results": results}))


if __name__ == "__main__":
    harness.run(main, prepare)
