"""The parts of contrib that stand before something else: what they pass on, and what they refuse."""
import importlib

import numpy as np
import pytest

import mxdl as mx
from mxdl import compat
from mxdl.errors import NotBuiltError, ShapeError


def test_old_imports_work():
    compat.install()
    try:
        from mxnet.contrib import amp
        from mxnet.contrib.amp import amp as inner
        for name in ("amp.loss_scaler", "amp.lists", "text.vocab", "text.embedding", "text.utils", "io", "autograd",
                     "onnx", "ndarray", "symbol", "quantization"):
            assert importlib.import_module(f"mxnet.contrib.{name}") is importlib.import_module(f"mxdl.contrib.{name}")
        assert inner.init is amp.init and inner.convert_model is amp.convert_model
    finally:
        compat.uninstall()


def test_operators_of_contrib_are_those_of_nd_and_sym():
    assert mx.contrib.nd.box_iou is mx.nd.contrib.box_iou and mx.contrib.ndarray is mx.contrib.nd
    assert mx.contrib.sym.box_iou is mx.sym.contrib.box_iou and "box_iou" in dir(mx.contrib.symbol)
    with pytest.raises(AttributeError):
        mx.contrib.nd.nosuch


def test_quantization_says_what_to_do_instead():
    with pytest.raises(NotBuiltError, match="quantize_net: .* precision='int8'"):
        mx.contrib.quantization.quantize_net(None)
    assert mx.contrib.quant is mx.contrib.quantization and not hasattr(mx.contrib.quant, "nosuch")


def test_onnx_is_written_from_symbols_and_from_files(tmp_path):
    pytest.importorskip("onnx")
    net = mx.gluon.nn.HybridSequential()
    net.add(mx.gluon.nn.Dense(3, in_units=4))
    net.initialize()
    net.hybridize()
    x = mx.nd.random.normal(shape=(2, 4))
    expected = net(x).asnumpy()
    symbol_file, params_file = net.export(str(tmp_path / "net"))
    export, metadata = mx.contrib.onnx.export_model, mx.contrib.onnx.get_model_metadata
    path = export(symbol_file, params_file, [(2, 4)], np.float32, str(tmp_path / "net.onnx"))
    told = metadata(path)
    assert told["input_tensor_data"] == [("data", (2, 4))] and [s for _, s in told["output_tensor_data"]] == [(2, 3)]
    symbol, params = mx.sym.load(symbol_file), mx.nd.load(params_file)
    other = export(symbol, params, [(2, 4)], onnx_file_path=str(tmp_path / "other.onnx"))
    assert open(other, "rb").read() == open(path, "rb").read()
    runtime = pytest.importorskip("onnxruntime")
    (out,) = runtime.InferenceSession(path).run(None, {"data": x.asnumpy()})
    np.testing.assert_allclose(out, expected, rtol=1e-5)
    with pytest.raises(ShapeError, match="a shape is needed for each input"):
        export(symbol, params, [])
    with pytest.raises(NotBuiltError, match="dynamic"):
        export(symbol, params, [(2, 4)], dynamic=True)
    with pytest.raises(NotBuiltError, match="onnxruntime"):
        mx.contrib.onnx.import_model(path)


def test_word_vectors_say_what_is_wrong(tmp_path):
    path = tmp_path / "vectors.txt"
    path.write_text("3 2\na 1 2\nb 1 2 3\n")
    embedding = mx.contrib.text.embedding
    with pytest.raises(ValueError, match="vectors.txt:3: .* got 3, need 2"):
        embedding.CustomEmbedding(str(path))
    path.write_text("3 2\na 1 2\n")
    read = embedding.CustomEmbedding(str(path))
    assert read.idx_to_token == ["<unk>", "a"]
    with pytest.raises(ValueError, match="got zz"):
        read.update_token_vectors("zz", mx.nd.ones(2))
    with pytest.raises(AssertionError, match="give \\(1, 2\\)"):
        read.update_token_vectors("a", mx.nd.ones(3))
    with pytest.raises(ValueError, match="use 0 to 1"):
        read.to_tokens(2)
    with pytest.raises(NotBuiltError, match="CustomEmbedding"):
        embedding.create("glove")
