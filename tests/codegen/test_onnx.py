"""ONNX: what is exported runs in ONNX Runtime and agrees with the framework; what is not is told at once."""
import numpy as np
import pytest
import torch

import mxdl as mx
from mxdl.codegen.export import load_files
from mxdl.codegen.onnx import export_onnx, onnx_model
from mxdl.codegen.onnx.call import RULES
from mxdl.codegen.selftest import expected_outputs, formula_input
from mxdl.errors import NotBuiltError
from mxdl.gluon.model_zoo import vision
from mxdl.graph import Graph, Value, apply, variable
from mxdl.passes.infer_types import infer_types
from mxdl.types import TensorType
from tests.codegen.block_nets import BERT
from tests.codegen.nets import small_net
from tests.codegen.zoo import NAMES
from tests.ops.calls import sample_cases
from tests.parity.kernels import forward

runtime = pytest.importorskip("onnxruntime", reason="the package onnxruntime is not installed")
pytest.importorskip("onnx", reason="the package onnx is not installed")
# sqrt and the like of samples that hold negative numbers, and halves rounded another way
LOOSE = {"rtol": 2e-5, "atol": 2e-6}


def answers(model: bytes, arrays: dict[str, np.ndarray]) -> list[np.ndarray]:
    options = runtime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    session = runtime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    return session.run(None, arrays)


def random_parameters(graph, inputs: dict[str, TensorType], **known: TensorType) -> dict[str, torch.Tensor]:
    types, rng = infer_types(graph, inputs | known), np.random.default_rng(5)
    shapes = {n.name: types[Value(n, 0)].shape for n in graph.inputs if n.name not in inputs}
    return {name: torch.from_numpy(np.asarray(
        rng.uniform(.5, 1, shape) if "var" in name or "gamma" in name
        else rng.standard_normal(shape, np.float32) * np.float32(2 / max(1, np.prod(shape[1:]))) ** 0.5, np.float32))
        for name, shape in shapes.items()}


def compare(graph, parameters, inputs: dict[str, TensorType]) -> float:
    """The greatest difference, relative to the greatest answer."""
    model = onnx_model(graph, parameters, inputs).SerializeToString()
    arrays = {name: formula_input(kind, i).numpy() for i, (name, kind) in enumerate(inputs.items())}
    worst = 0.0
    for found, expected in zip(answers(model, arrays), expected_outputs(graph, parameters, inputs), strict=True):
        wanted = np.array(expected.values)
        worst = max(worst, float(np.abs(found.reshape(-1)[:wanted.size] - wanted).max() / np.abs(wanted).max()))
    return worst


def zoo_graph(name: str):
    net = vision.get_model(name)
    size = 299 if "inception" in name else 224
    return net(mx.sym.var("data")).graph(), {"data": TensorType((1, 3, size, size))}


def test_a_small_net_from_a_file(tmp_path):
    graph, parameters, inputs = small_net()
    export_onnx(graph, parameters, inputs, tmp_path / "net.onnx")
    export_onnx(graph, parameters, inputs, tmp_path / "again.onnx")
    assert (tmp_path / "net.onnx").read_bytes() == (tmp_path / "again.onnx").read_bytes()
    session = runtime.InferenceSession(str(tmp_path / "net.onnx"), providers=["CPUExecutionProvider"])
    assert [i.name for i in session.get_inputs()] == ["x"]
    assert compare(graph, parameters, inputs) < 1e-6


FAST = ("squeezenet1.0", "mobilenetv2_0.25")


def test_the_zoo_is_found():
    assert len(NAMES) == 34


@pytest.mark.parametrize("name", [n if n in FAST else pytest.param(n, marks=pytest.mark.slow) for n in NAMES])
def test_every_model_of_the_zoo(name):
    graph, inputs = zoo_graph(name)
    assert compare(graph, random_parameters(graph, inputs), inputs) < (2e-5 if name in FAST else 5e-5)


@pytest.mark.parametrize("mode", ["lstm", "gru", "rnn_tanh", "rnn_relu"])
@pytest.mark.parametrize("both", [False, True])
def test_recurrent_layers(mode, both):
    gates, directions = {"lstm": 4, "gru": 3}.get(mode, 1), 1 + both
    size = directions * gates * 4 * (5 + 4 + 2) + directions * gates * 4 * (4 * directions + 4 + 2)
    states = [mx.sym.var("h"), mx.sym.var("c")][:2 if mode == "lstm" else 1]
    graph = mx.sym.RNN(mx.sym.var("x"), mx.sym.var("w"), *states, state_size=4, num_layers=2, mode=mode,
                       bidirectional=both, state_outputs=True, name="rnn").graph()
    parameters = {"w": torch.from_numpy(np.random.default_rng(2).normal(size=size).astype("float32"))}
    kinds = {"x": TensorType((6, 3, 5))} | {s.name: TensorType((2 * directions, 3, 4)) for s in states}
    assert compare(graph, parameters, kinds) < 2e-5


def attention_block():
    """A Transformer's layer as BERT has it, on token ids: int32[T, N]."""
    tokens, width, heads = mx.sym.var("tokens"), 12, 3
    x = mx.sym.Embedding(tokens, mx.sym.var("table"), input_dim=20, output_dim=width, dtype="float32")
    qkv = mx.sym.FullyConnected(x, num_hidden=3 * width, flatten=False, name="qkv")
    scores = mx.sym.contrib.interleaved_matmul_selfatt_qk(qkv, heads=heads)
    mixed = mx.sym.contrib.interleaved_matmul_selfatt_valatt(qkv, mx.sym.softmax(scores), heads=heads)
    x = mx.sym.LayerNorm(x + mx.sym.FullyConnected(mixed, num_hidden=width, flatten=False, name="out"), name="ln1")
    h = mx.sym.LeakyReLU(mx.sym.FullyConnected(x, num_hidden=24, flatten=False, name="up"), act_type="gelu")
    return mx.sym.LayerNorm(x + mx.sym.FullyConnected(h, num_hidden=width, flatten=False, name="down"), name="ln2")


def test_a_layer_of_bert():
    graph, inputs = attention_block().graph(), {"tokens": TensorType((7, 2), "int32")}
    parameters = random_parameters(graph, inputs, table=TensorType((20, 12)))
    assert compare(graph, parameters, inputs) < 2e-5


def test_a_whole_bert_whose_positions_come_from_a_shape(tmp_path):
    net = BERT(layers=1)
    net.initialize()
    net.hybridize()
    arrays = [np.arange(32, dtype="int32").reshape(2, 16) % 30, np.ones((2, 16), "int32"), np.array([16, 9], "int32")]
    net(*[mx.nd.array(array, dtype="int32") for array in arrays])
    net.export(str(tmp_path / "net"))
    graph, parameters = load_files(str(tmp_path / "net"))
    names = [node.name for node in graph.inputs if node.name not in parameters]
    kinds = {name: TensorType(array.shape, "int32") for name, array in zip(names, arrays, strict=True)}
    assert compare(graph, parameters, kinds) < 2e-5


def test_every_operator_with_a_rule_agrees_on_its_samples():
    compared, names, wrong, lacking = 0, set(), [], 0
    for case in sample_cases():
        call = case.call
        if case.op.name not in RULES and not case.op.traits.reshape or call.training or not call.inputs:
            continue
        if case.op.name == "RNN" or any(a.dtype not in (np.float32, np.int32) or not a.size for a in call.inputs):
            continue
        result = forward(case.op, call)
        kinds = {f"in{i}": TensorType(a.shape, str(a.dtype)) for i, a in enumerate(call.inputs)}
        made = apply(case.op, [variable(name) for name in kinds], case.op.parse(call.attrs), name="node")
        values = [made] if isinstance(made, Value) else list(made[:result.visible])
        try:
            model = onnx_model(Graph(values), {}, kinds).SerializeToString()
        except NotBuiltError:
            continue
        try:
            found = answers(model, {f"in{i}": np.ascontiguousarray(a) for i, a in enumerate(call.inputs)})
        except runtime.capi.onnxruntime_pybind11_state.NotImplemented:   # valid ONNX that this runtime lacks
            lacking += 1
            continue
        for got, wanted in zip(found, result.outputs[:result.visible], strict=True):
            if not np.allclose(got, wanted.numpy(), **LOOSE, equal_nan=True) or got.shape != tuple(wanted.shape):
                wrong.append(repr(case))
        compared += 1
        names.add(case.op.name)
    assert not wrong, "\n".join(wrong)
    assert compared >= 150 and len(names) >= 80 and lacking < 20, (compared, len(names), lacking)


def test_all_that_cannot_be_exported_is_told_at_once(tmp_path):
    x = mx.sym.var("x")
    graph = mx.sym.Group([mx.sym.topk(x, name="best"), mx.sym.softmax(x, use_length=True, length=mx.sym.var("n"),
                                                                       name="short")]).graph()
    with pytest.raises(NotBuiltError, match=r"2 without ONNX here: .*topk 'best'.*softmax 'short'.*lengths"):
        export_onnx(graph, {}, {"x": TensorType((2, 3)), "n": TensorType((2,), "int32")}, tmp_path / "n.onnx")
    assert not list(tmp_path.iterdir())
