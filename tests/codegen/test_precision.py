"""Parameters in fewer bits: the file is smaller, computes what the rounded parameters give, and says what is lost."""
import re
import subprocess

import numpy as np
import pytest
import torch

import mxdl as mx
from mxdl.codegen import export_c
from mxdl.codegen.precision import PRECISIONS, reduced
from mxdl.errors import MXNetError
from mxdl.graph import Value
from mxdl.passes.infer_types import infer_types
from mxdl.types import TensorType

from .compiled import COMPILER, WARNINGS, needs_compiler

#: the greatest loss of random parameters of these nets, each about twice what was measured
LOSSES = {"float16": 2e-3, "bfloat16": 2e-2, "int8": 3e-2}


def net():
    x = mx.sym.Convolution(mx.sym.var("x"), kernel=(3, 3), num_filter=20, pad=(1, 1), name="conv")
    x = mx.sym.Convolution(mx.sym.Activation(x, act_type="relu"), kernel=(3, 3), num_filter=24, name="wide")
    rows = mx.sym.reshape(mx.sym.mean(x, axis=3), shape=(6, 1, 24))
    rows = mx.sym.RNN(rows, mx.sym.var("rnn_weights"), mx.sym.var("begin"), mx.sym.var("begin_cell"), state_size=18,
                      num_layers=1, mode="lstm")
    return mx.sym.FullyConnected(rows, num_hidden=70, flatten=False, name="fc").graph()


def parameters(graph):
    rng = np.random.default_rng(2)
    types = infer_types(graph, {"x": TensorType((1, 3, 8, 9))})
    return {n.name: torch.from_numpy(rng.normal(size=types[Value(n, 0)].shape).astype("float32") * 0.3)
            for n in graph.inputs if n.name != "x"}


def stated_loss(text: str) -> float | None:
    """What the file's first comment says."""
    found = re.search(r"loss (\S+)", text.split("*/")[0])
    return float(found.group(1).rstrip(",")) if found else None


@needs_compiler
@pytest.mark.parametrize("precision", PRECISIONS)
def test_the_file_checks_itself_in_every_precision(precision, tmp_path):
    graph = net()
    text = export_c(graph, parameters(graph), {"x": (1, 3, 8, 9)}, tmp_path / "net.c", "net", precision=precision)
    loss = stated_loss(text)
    assert loss is None if precision == "float32" else 0 < loss <= LOSSES[precision]
    subprocess.run([COMPILER, *WARNINGS.split(), "-O1", "-DNET_SELFTEST", tmp_path / "net.c", "-o", tmp_path / "net",
                    "-lm"], check=True, timeout=240)
    done = subprocess.run([tmp_path / "net"], capture_output=True, timeout=60, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_fewer_bits_make_smaller_files(tmp_path):
    graph = net()
    sizes = {}
    for precision in PRECISIONS:
        export_c(graph, parameters(graph), {"x": (1, 3, 8, 9)}, tmp_path / f"{precision}.c", "net", weights="beside",
                 precision=precision)
        sizes[precision] = (tmp_path / f"{precision}.bin").stat().st_size
    assert sizes["float16"] == sizes["bfloat16"] < 0.56 * sizes["float32"]
    assert sizes["int8"] < 0.36 * sizes["float32"]


def test_what_a_precision_cannot_hold_is_refused(tmp_path):
    graph = net()
    large = {name: tensor * 1e6 if name == "wide_weight" else tensor for name, tensor in parameters(graph).items()}
    with pytest.raises(MXNetError, match=r"wide_weight holds numbers that float16 cannot; got a largest of"):
        export_c(graph, large, {"x": (1, 3, 8, 9)}, tmp_path / "net.c", "net", precision="float16")
    with pytest.raises(MXNetError, match="no such precision of parameters; got 'int4'"):
        export_c(graph, large, {"x": (1, 3, 8, 9)}, tmp_path / "net.c", "net", precision="int4")
    assert not list(tmp_path.iterdir())


def test_bytes_are_within_half_a_step():
    weight = torch.randn(64, 40)
    one = reduced({Value(net().inputs[0], 0): weight}, (), "int8").popitem()[1]
    assert ((one.restored() - weight).abs() <= one.scale / 2 * 1.001).all() and one.scale.shape == (64, 1)
