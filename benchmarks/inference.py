"""Inference of the model zoo's convolutional nets, batch 1, one thread: the exported C file against other runtimes.

Claim: the file that plain `cc -O3` compiles takes the best instruction set and is faster than ONNX Runtime, with AVX2
alone no slower than ONNX Runtime with AVX2.  Every peer runs the zoo's own net (resnet50_v1 strides in its 1x1
convolutions): mxdl exports it to C, torch runs it as torch layers, ONNX Runtime, OpenVINO and MNN what torch's exporter
writes of these, ncnn what pnnx makes of them.  CPU time counts, of blocks of 20 calls as a server makes them; beside it
by turns, each of them a few calls of which the first is cold.  Peers that are not installed are left out, aloud;
MXDL_PEER_PYTHON names a Python that has them and torch.  Peers whose names end in -avx2 run where CPUID tells of no
AVX-512 (without_avx512.c), and are left out, aloud, where the kernel cannot do that.
    python benchmarks/inference.py [--case resnet18_v1 ...] [--peer mxdl-c ...] [--runs 5] [--json]
"""
from __future__ import annotations

import ctypes
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import harness
import numpy as np

HIDDEN = "-avx2"    # ends the names of peers from which AVX-512 is hidden
OTHERS = ["onnxruntime", "openvino", "ncnn", "mnn", "torch"]
PEERS = ["mxdl-c", *OTHERS, "torch.compile", "mxnet", "mxdl-c-avx2", *(peer + HIDDEN for peer in OTHERS)]
harness.PACKAGES |= {peer + HIDDEN: harness.PACKAGES[peer] for peer in OTHERS if peer in harness.PACKAGES}
CASES = ["resnet18_v1", "resnet50_v1", "mobilenetv2_1.0"]
SHAPE = (1, 3, 224, 224)
BLOCK = 20      # calls that follow each other


def example() -> np.ndarray:
    return np.random.default_rng(0).normal(size=SHAPE).astype("float32")


def peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def exported(case: str, flags: list[str], folder: Path):
    """(the forward pass of the compiled file, facts about it)."""
    import mxdl as mx
    from mxdl.codegen import export_c_files
    net = mx.gluon.model_zoo.vision.get_model(case)
    net.initialize(mx.init.Xavier())
    net.hybridize()
    net(mx.nd.array(example()))
    net.export(str(folder / "net"))
    export_c_files(str(folder / "net"), 0, {"data": SHAPE}, folder / "net.c", "net", weights="beside")
    started = time.perf_counter()
    subprocess.run(["cc", "-O3", *flags, "-shared", "-fPIC", folder / "net.c", "-o", folder / "net.so", "-lm"],
                   check=True)
    facts = {"compile_s": time.perf_counter() - started, "source_kb": (folder / "net.c").stat().st_size / 1024,
             "library_kb": (folder / "net.so").stat().st_size / 1024}
    library = ctypes.CDLL(str(folder / "net.so"))
    library.net_open.restype, library.net_isa.restype = ctypes.c_void_p, ctypes.c_char_p
    before, started = peak_mb(), time.process_time()
    model = ctypes.c_void_p(library.net_open(str(folder / "net.bin").encode(), None))
    facts |= {"create_ms": 1e3 * (time.process_time() - started), "memory_mb": peak_mb() - before,
              "isa": library.net_isa(model).decode()}
    data = example()
    if library.net_set_input(model, 0, data.ctypes.data_as(ctypes.c_void_p), ctypes.c_size_t(data.size)):
        raise RuntimeError(f"{case}: the exported model refuses its input")
    return lambda: library.net_forward(model), lambda: facts


def torch_net(case: str):
    import inference_zoo_torch
    import torch
    torch.set_num_threads(1)
    return inference_zoo_torch.NETS[case]().eval()


def onnx_file(case: str, folder: Path) -> str:
    import torch
    path = str(folder / "net.onnx")
    torch.onnx.export(torch_net(case), (torch.from_numpy(example()),), path, dynamo=False, input_names=["data"])
    return path


def onnxruntime_call(path: str):
    import onnxruntime
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    feed = {"data": example()}
    return lambda: session.run(None, feed)


def openvino_call(path: str):
    import openvino
    core = openvino.Core()
    core.set_property("CPU", {"INFERENCE_NUM_THREADS": 1, "INFERENCE_PRECISION_HINT": "f32"})
    compiled, data = core.compile_model(path, "CPU"), example()
    return lambda: compiled(data)


def mnn_call(path: str):
    import MNN
    made = path.replace(".onnx", ".mnn")
    import _tools  # MNN's converter itself: its command would install a package that reports to its makers
    _tools.mnnconvert(["mnnconvert", "-f", "ONNX", "--modelFile", path, "--MNNModel", made])
    net = MNN.Interpreter(made)
    session = net.createSession({"numThread": 1, "precision": "high"})
    given = MNN.Tensor(SHAPE, MNN.Halide_Type_Float, example(), MNN.Tensor_DimensionType_Caffe)
    net.getSessionInput(session).copyFrom(given)
    return lambda: net.runSession(session)


def ncnn_call(case: str, folder: Path):
    import ncnn
    import pnnx
    import torch
    torch.jit.trace(torch_net(case), torch.from_numpy(example())).save(str(folder / "net.pt"))
    shape = ",".join(map(str, SHAPE))   # the program itself: its Python face also reads names that Python cannot
    subprocess.run([pnnx.EXEC_PATH, "net.pt", f"inputshape=[{shape}]f32", "fp16=0"], check=True, cwd=folder,
                   stdout=subprocess.DEVNULL)
    net = ncnn.Net()
    net.opt.num_threads = 1
    net.opt.use_fp16_packed = net.opt.use_fp16_storage = net.opt.use_fp16_arithmetic = net.opt.use_bf16_storage = False
    net.load_param(str(folder / "net.ncnn.param"))
    net.load_model(str(folder / "net.ncnn.bin"))
    data = ncnn.Mat(example()[0])

    def call():
        extractor = net.create_extractor()
        extractor.input("in0", data)
        if extractor.extract("out0")[0]:
            raise RuntimeError("ncnn: the net could not be run")
    return call


def torch_call(case: str, is_compiled: bool):
    import torch
    net, data = torch_net(case), torch.from_numpy(example())
    run = torch.compile(net) if is_compiled else net

    def call():
        with torch.inference_mode():
            run(data)
    return call


def mxnet_call(case: str):
    import mxnet as mx
    from mxnet.gluon.model_zoo import vision
    net, data = vision.get_model(case), mx.nd.array(example())
    net.initialize(mx.init.Xavier())
    net.hybridize(static_alloc=True, static_shape=True)
    return lambda: net(data).wait_to_read()


def prepare(peer: str, case: str):
    folder = Path(tempfile.mkdtemp(prefix="mxdl-bench-"))
    if peer.startswith("mxdl-c"):
        return exported(case, ["-DNET_MAX_ISA=1"] if peer.endswith(HIDDEN) else [], folder)
    peer = peer.removesuffix(HIDDEN)
    before = peak_mb()
    if peer == "mxnet":
        call = mxnet_call(case)
    elif peer.startswith("torch"):
        call = torch_call(case, peer == "torch.compile")
    elif peer == "ncnn":
        call = ncnn_call(case, folder)
    else:
        path = onnx_file(case, folder)
        before = peak_mb()
        call = {"onnxruntime": onnxruntime_call, "openvino": openvino_call, "mnn": mnn_call}[peer](path)
    return call, lambda: {"memory_mb": peak_mb() - before}


def without_avx512(folder: Path) -> dict[str, str]:
    """The environment in which programs see no AVX-512; raises RuntimeError where the machine cannot hide it."""
    library = folder / "without_avx512.so"
    source = Path(__file__).with_name("without_avx512.c")
    environment = {"LD_PRELOAD": str(library)}
    done = subprocess.run(["cc", "-O2", "-shared", "-fPIC", source, "-o", library], stderr=subprocess.PIPE, text=True)
    if not done.returncode:
        done = subprocess.run(["true"], env=os.environ | environment, stderr=subprocess.PIPE, text=True)
    if done.returncode:
        raise RuntimeError(done.stderr.strip())
    return environment


def hidden_environments(options, folder: Path) -> dict[str, dict[str, str]]:
    """The environment of each peer from which AVX-512 is hidden; takes these peers away where that cannot be."""
    peers = [peer for peer in options.peer if peer.endswith(HIDDEN) and not peer.startswith("mxdl")]
    try:
        return dict.fromkeys(peers, without_avx512(folder)) if peers else {}
    except RuntimeError as error:
        print(f"{', '.join(peers)} ARE LEFT OUT: {error}", file=sys.stderr)
        options.peer = [peer for peer in options.peer if peer not in peers]
        return {}


def main() -> None:
    options = harness.arguments(__doc__, CASES, PEERS)
    with tempfile.TemporaryDirectory() as folder:
        environments = hidden_environments(options, Path(folder))
        results = {case: harness.side_by_side(__file__, case, options.peer, options.runs, environments, block=BLOCK)
                   for case in options.case}
    ratios: dict = {}
    for case, found in results.items():
        rows = []
        for peer in options.peer:
            result = found[peer]
            base = found.get("onnxruntime" + HIDDEN * peer.endswith(HIDDEN), {})     # by its like
            if "cpu_ms" not in result:
                rows.append([peer, "failed", *"-" * 8])
                continue
            both = [base["block"]["cpu_ms"] / result["block"]["cpu_ms"], base["cpu_ms"] / result["cpu_ms"]
                    ] if "cpu_ms" in base else []
            if both:
                ratios.setdefault(case, {})[peer] = dict(zip(["blocks", "turns"], both, strict=True))
            block, turns = [f"{ratio:.2f}" for ratio in both] or "--"
            rows.append([peer, f"{result['block']['ms']:.2f}", f"{result['block']['cpu_ms']:.2f}", block,
                         f"{result['cpu_ms']:.2f}", turns,
                         *(f"{result[key]:.0f}" if key in result else "-"
                           for key in ("create_ms", "compile_s", "library_kb", "memory_mb"))])
        header = ["peer", "wall ms", "CPU ms", "ONNX Runtime / it", "by turns: CPU ms", "ONNX Runtime / it",
                  "create ms", "compile s", "library kB", "memory MB"]
        harness.table(f"{case}, batch 1, one pinned thread, median", header, rows)
    if options.json:
        print(json.dumps({"benchmark": "inference", "load": os.getloadavg(), "onnxruntime_over": ratios,
                          "results": results}))


if __name__ == "__main__":
    harness.run(main, prepare)
