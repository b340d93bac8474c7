"""A model in every form that mxdl exports gives the same answers through mx.Predictor."""
import importlib.util
import shutil

import numpy as np
import pytest

import mxdl as mx
from mxdl.codegen.web import js_files
from mxdl.errors import FileFormatError, MXNetError, OperatorError
from mxdl.graph.serialize import to_json
from mxdl.predictor.library import compiled
from tests.codegen.nets import small_example, small_file, small_net

needs_compiler = pytest.mark.skipif(not shutil.which("cc"), reason="no C compiler on this machine")


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("MXDL_HOME", str(tmp_path / "home"))


@needs_compiler
def test_a_c_file_and_its_library(tmp_path):
    data, answer = small_example()
    (tmp_path / "net.c").write_text(small_file().text)
    model = mx.Predictor(tmp_path / "net.c")
    np.testing.assert_allclose(model(mx.nd.array(data))[0].asnumpy(), answer, rtol=2e-5, atol=1e-6)
    library = compiled(tmp_path / "net.c")
    again = mx.Predictor(str(library))
    np.testing.assert_array_equal(again(x=data)[0].asnumpy(), model(data)[0].asnumpy())
    assert model.inputs == again.inputs and model.inputs[0].shape == (2, 2, 9, 7)
    stamp = library.stat().st_mtime_ns
    mx.Predictor(tmp_path / "net.c")
    assert library.stat().st_mtime_ns == stamp and len(list(library.parent.iterdir())) == 1
    model.forward(x=data)
    np.testing.assert_array_equal(model.get_output(0).asnumpy(), again.get_output(0).asnumpy())


@needs_compiler
def test_parameters_beside_the_file_and_refusals(tmp_path):
    data, answer = small_example()
    made = small_file(weights="beside")
    (tmp_path / "net.c").write_text(made.text)
    (tmp_path / "net.bin").write_bytes(made.blob)
    (tmp_path / "bad.bin").write_bytes(made.blob[:-1] + b"x")
    model = mx.Predictor(tmp_path / "net.c", tmp_path / "net.bin")
    np.testing.assert_allclose(model(data)[0].asnumpy(), answer, rtol=2e-5, atol=1e-6)
    for weights, text in [(None, "not in this program"), (tmp_path / "bad.bin", "wrong checksum"),
                          (tmp_path / "none.bin", "cannot be opened")]:
        with pytest.raises(FileFormatError, match=text):
            mx.Predictor(tmp_path / "net.c", weights)
    for call, text in [(lambda: model(data[:1]), r"shape \(2, 2, 9, 7\)"), (lambda: model(), "got none"),
                       (lambda: model(data, y=data), "the inputs are x"), (lambda: model(y=data), "the inputs are x")]:
        with pytest.raises(OperatorError, match=text):
            call()


def test_mxnets_pair_of_files(tmp_path):
    graph, parameters, _ = small_net()
    data, answer = small_example()
    (tmp_path / "net-symbol.json").write_text(to_json(graph))
    mx.nd.save(str(tmp_path / "net-0000.params"),
               {f"arg:{name}": mx.nd.array(value.numpy()) for name, value in parameters.items()})
    for path in (tmp_path / "net", tmp_path / "net-symbol.json"):
        np.testing.assert_allclose(mx.Predictor(path)(data)[0].asnumpy(), answer, rtol=2e-5, atol=1e-6)


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("ziglang") is None or not shutil.which("node"),
                    reason="no ziglang or no node here")
def test_a_script_in_node(tmp_path):
    data, answer = small_example()
    for name, content in js_files(small_file(weights="beside"), False).items():
        (tmp_path / name).write_bytes(content)
    model = mx.Predictor(tmp_path / "net.js", tmp_path / "net.bin")
    for scale in (1, 0, 1):
        found = model(data * scale)[0].asnumpy()
    np.testing.assert_allclose(found, answer, rtol=2e-5, atol=1e-6)
    with pytest.raises(FileFormatError, match=r"are in net\.bin"):
        mx.Predictor(tmp_path / "net.js")


def test_what_is_no_model_is_refused(tmp_path):
    (tmp_path / "x.so").write_bytes(b"\x7fELF nothing")
    for name, text in [("x.so", "not one exported model"), ("x.exe", "ends in .exe"), ("x", "ends in nothing")]:
        with pytest.raises(MXNetError, match=text):
            mx.Predictor(tmp_path / name)
