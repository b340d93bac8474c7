"""The single file: compiled by the system's C compiler, it gives the framework's answers."""
import shutil
import subprocess

import numpy as np
import pytest

import mxdl as mx
from mxdl.codegen import export_c
from mxdl.errors import MXNetError, NotBuiltError
from mxdl.executor import CachedOp
from mxdl.graph import Value
from mxdl.passes.infer_types import infer_types
from mxdl.types import TensorType

COMPILERS = [c for c in ("cc", "gcc", "clang") if shutil.which(c)]
FLAGS = "-O2 -std=c11 -Wall -Wextra -Werror"
needs_compiler = pytest.mark.skipif(not COMPILERS, reason="no C compiler on this machine")


def lenet(x):
    for filters in (4, 6):
        x = mx.sym.Activation(mx.sym.Convolution(x, kernel=(3, 3), num_filter=filters, pad=(1, 1)), act_type="tanh")
        x = mx.sym.Pooling(x, kernel=(2, 2), stride=(2, 2), pool_type="max")
    x = mx.sym.FullyConnected(mx.sym.flatten(x), num_hidden=8)
    return mx.sym.softmax(mx.sym.FullyConnected(mx.sym.Activation(x, act_type="sigmoid"), num_hidden=5))


def residual(x):
    def unit(data, filters, stride):
        h = mx.sym.Convolution(data, kernel=(3, 3), num_filter=filters, pad=(1, 1), stride=stride, no_bias=True)
        h = mx.sym.Activation(mx.sym.BatchNorm(h, fix_gamma=False), act_type="relu")
        h = mx.sym.BatchNorm(mx.sym.Convolution(h, kernel=(3, 3), num_filter=filters, pad=(1, 1), no_bias=True))
        side = mx.sym.Convolution(data, kernel=(1, 1), num_filter=filters, stride=stride)
        return mx.sym.Activation(h + side, act_type="relu")
    x = mx.sym.BatchNorm(x, fix_gamma=True)
    x = unit(unit(x, 4, (1, 1)), 6, (2, 2))
    return mx.sym.flatten(mx.sym.Pooling(x, global_pool=True, pool_type="avg"))


def odds_and_ends(x):
    left = mx.sym.LeakyReLU(mx.sym.Convolution(x, kernel=(3, 3), num_filter=4, num_group=2, dilate=(2, 2)), slope=0.1)
    right = mx.sym.Pooling(x, kernel=(3, 3), stride=(2, 2), pad=(1, 1), pool_type="avg", pooling_convention="full")
    left = mx.sym.clip(mx.sym.mean(left, axis=(2, 3)) * 3 - 1, 0, 6)
    right = mx.sym.log_softmax(mx.sym.flatten(right), axis=1)
    return mx.sym.Concat(left, right, mx.sym.expand_dims(mx.sym.max(right, axis=1), axis=1), dim=1)


def with_label(x):
    return mx.sym.SoftmaxOutput(mx.sym.FullyConnected(mx.sym.Dropout(x), num_hidden=3), name="softmax")


def values(graph, shape):
    types = infer_types(graph, {"x": TensorType(shape)})
    rng = np.random.default_rng(5)
    return {n.name: mx.nd.array(rng.uniform(0.2 if "var" in n.name or "gamma" in n.name else -1, 1,
                                            types[Value(n, 0)].shape)) for n in graph.inputs}


def run(source: str, examples: np.ndarray, folder, flags: str) -> np.ndarray:
    program = folder / "model"
    subprocess.run([COMPILERS[0], *flags.split(), "-DNET_MAIN", source, "-o", program, "-lm"], check=True, timeout=120)
    done = subprocess.run([program], input=examples.astype("<f4").tobytes(), capture_output=True, timeout=60,
                          check=True)
    return np.frombuffer(done.stdout, "<f4")


@needs_compiler
@pytest.mark.parametrize("net,shape", [(lenet, (1, 2, 9, 11)), (residual, (2, 3, 8, 8)),
                                       (odds_and_ends, (2, 4, 9, 8)), (with_label, (1, 7))],
                         ids=lambda p: getattr(p, "__name__", str(p)))
def test_compiled_file_agrees_with_the_framework(net, shape, tmp_path):
    graph = net(mx.sym.var("x")).graph()
    arrays = values(graph, shape)
    inputs = [arrays[n.name] for n in graph.inputs]
    parameters = {k: v.to_torch() for k, v in arrays.items() if k not in ("x", "softmax_label")}
    export_c(graph, parameters, {"x": shape}, tmp_path / "net.c", "net")
    more = np.random.default_rng(1).normal(size=(3, *shape)).astype("float32")
    got = run(str(tmp_path / "net.c"), more, tmp_path, FLAGS + " -fsanitize=address,undefined -fno-sanitize-recover")
    for example, result in zip(more, np.split(got, 3), strict=True):
        inputs[[n.name for n in graph.inputs].index("x")] = mx.nd.array(example)
        expected = CachedOp(graph)(*inputs)[0].asnumpy()
        np.testing.assert_allclose(result.reshape(expected.shape), expected, rtol=1e-5, atol=1e-5)


@needs_compiler
def test_the_file_is_also_cpp_and_its_header_stands_alone(tmp_path):
    graph = lenet(mx.sym.var("x")).graph()
    arrays = values(graph, (1, 2, 9, 11))
    export_c(graph, {k: v.to_torch() for k, v in arrays.items() if k != "x"}, {"x": (1, 2, 9, 11)},
             tmp_path / "net.c", "net")
    subprocess.run(["g++", "-x", "c++", "-std=c++17", "-Wall", "-Wextra", "-Werror", "-c", tmp_path / "net.c",
                    "-o", tmp_path / "net.o"], check=True, timeout=120)
    (tmp_path / "caller.c").write_text('#define NET_HEADER_ONLY\n#include "net.c"\n'
                                       "int main(void) { return net_num_inputs() == 1 ? 0 : 1; }\n")
    subprocess.run([COMPILERS[0], "-O1", tmp_path / "caller.c", tmp_path / "net.o", "-o", tmp_path / "caller", "-lm"],
                   check=True, timeout=120)
    assert subprocess.run([tmp_path / "caller"], timeout=10).returncode == 0


def test_same_model_same_bytes_and_another_seed_other_bytes(tmp_path):
    graph = lenet(mx.sym.var("x")).graph()
    parameters = {k: v.to_torch() for k, v in values(graph, (1, 2, 9, 11)).items() if k != "x"}
    first, second = (export_c(graph, parameters, {"x": (1, 2, 9, 11)}, tmp_path / n, "net") for n in "ab")
    assert first == second
    parameters = {k: v + 1 for k, v in parameters.items()}
    assert export_c(graph, parameters, {"x": (1, 2, 9, 11)}, tmp_path / "c", "net") != first


@needs_compiler
def test_damaged_parameters_are_refused(tmp_path):
    graph = with_label(mx.sym.var("x")).graph()
    parameters = {k: v.to_torch() for k, v in values(graph, (1, 7)).items() if k not in ("x", "softmax_label")}
    text = export_c(graph, parameters, {"x": (1, 7)}, tmp_path / "net.c", "net")
    start = text.index('"', text.index("chunks_[] = {")) + 201
    flipped = "B" if text[start] == "A" else "A"
    (tmp_path / "net.c").write_text(text[:start] + flipped + text[start + 1:])
    program = tmp_path / "damaged"
    subprocess.run([COMPILERS[0], "-O1", "-DNET_MAIN", tmp_path / "net.c", "-o", program, "-lm"], check=True,
                   timeout=120)
    done = subprocess.run([program], input=b"", capture_output=True, timeout=10)
    assert done.returncode == 1 and b"damaged" in done.stderr


def test_what_cannot_be_exported_is_said_before_anything_is_written(tmp_path):
    x = mx.sym.var("x")
    graph = mx.sym.topk(mx.sym.FullyConnected(x, num_hidden=3, name="fc"), ret_typ="mask", name="best").graph()
    with pytest.raises(NotBuiltError, match="topk 'best'"):
        export_c(graph, {"fc_weight": values(graph, (1, 4))["fc_weight"].to_torch(),
                         "fc_bias": values(graph, (1, 4))["fc_bias"].to_torch()}, {"x": (1, 4)}, tmp_path / "n.c")
    with pytest.raises(MXNetError, match="fc_weight, fc_bias"):
        export_c(mx.sym.FullyConnected(x, num_hidden=3, name="fc").graph(), {}, {"x": (1, 4)}, tmp_path / "n.c")
    with pytest.raises(MXNetError, match="identifier"):
        export_c(mx.sym.relu(x).graph(), {}, {"x": (1, 4)}, tmp_path / "n.c", "3d-model")
    assert not list(tmp_path.iterdir())
