"""The browser's file, in Node and in Chromium where they are here."""
import base64
import importlib.util
import json
import shutil
import subprocess

import numpy as np
import pytest

import mxdl as mx
from benchmarks.browser import CHROMIUM, Browser
from mxdl.codegen import export, web_text
from mxdl.codegen.frame import Options
from mxdl.codegen.schedules import Schedule
from mxdl.codegen.web import js_files, page
from mxdl.errors import MXNetError
from mxdl.executor import CachedOp
from mxdl.graph import Value
from mxdl.passes.infer_types import infer_types
from mxdl.types import TensorType
from tests.codegen.nets import small_example, small_file

NODE = shutil.which("node")
pytestmark = [pytest.mark.slow,   # zig compiles a C library the first time: a minute
              pytest.mark.skipif(importlib.util.find_spec("ziglang") is None,
                                 reason="the package ziglang is not installed")]
needs_node = pytest.mark.skipif(NODE is None, reason="no node here")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    made = small_file(weights="beside")
    place = tmp_path_factory.mktemp("web")
    for sub, inside, fewest in (("inside", True, 2**20), ("deflated", True, 0), ("beside", False, 0)):
        (place / sub).mkdir()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(web_text, "FEWEST_DEFLATED", fewest)
            for name, content in js_files(made, inside).items():
                (place / sub / name).write_bytes(content)
    task = {"kind": "image", "classes": ["</script>cat", *"bcdefgh"], "shape": [4, 9, 7], "mean": [0] * 4,
            "std": [1] * 4}
    script = js_files(made, True, task)["net.js"].decode()
    (place / "page.html").write_bytes(page(script, made, task))
    (place / "deflated.html").write_bytes(page((place / "deflated" / "net.js").read_text(), made))
    (place / "numbers.html").write_bytes(page((place / "inside" / "net.js").read_text(), made))
    return place


def node(script: str, folder, *flags: str) -> str:
    done = subprocess.run([NODE, *flags, "-e", script], capture_output=True, text=True, timeout=60, cwd=folder)
    assert done.returncode == 0, done.stderr
    return done.stdout


CALL = """const net = require("./inside/net.js");
const x = new Float32Array(%s);
(async () => console.log(JSON.stringify(Array.from((await net.create({kind: "%s"})).run({x}).soft_output))))();"""


@needs_node
@pytest.mark.parametrize("kind", ["plain", "simd", "relaxed"])
def test_every_kind_of_code_answers_as_the_framework(kind, folder):
    data, answer = small_example()
    flags = ["--experimental-wasm-relaxed-simd"] if kind == "relaxed" and old_node() else []
    found = np.array(json.loads(node(CALL % (data.reshape(-1).tolist(), kind), folder, *flags)))
    assert np.abs(found.reshape(2, 4) - answer).max() <= 2e-5 * np.abs(answer).max()


def old_node() -> bool:
    return int(node("console.log(process.versions.node)", ".").split(".")[0]) < 22


@needs_node
@pytest.mark.parametrize("kind", ["plain", "simd", "relaxed"])
def test_filters_transformed_as_they_are_read(kind, monkeypatch, tmp_path):
    monkeypatch.setattr(export, "cost_model", lambda form, shapes: Schedule(4, streamed=True))
    x = mx.sym.var("x")
    y = mx.sym.Convolution(x, kernel=(3, 3), pad=(1, 1), num_filter=20)     # an odd number of vectors
    y = mx.sym.Activation(mx.sym.Convolution(y, kernel=(3, 3), pad=(1, 1), num_filter=41) + 1, act_type="relu")
    graph = mx.sym.elemwise_add(mx.sym.Convolution(y, kernel=(3, 3), pad=(1, 1), num_filter=41), y).graph()
    types, rng = infer_types(graph, {"x": TensorType((1, 24, 9, 13))}), np.random.default_rng(3)
    arrays = {n.name: mx.nd.array(rng.normal(size=types[Value(n, 0)].shape)) for n in graph.inputs}
    parameters = {name: array.to_torch() for name, array in arrays.items() if name != "x"}
    made = export.c_source(graph, parameters, {"x": (1, 24, 9, 13)}, Options("net", "beside", "net.bin"))
    assert made.text.count("  conv_streamed(") == 3
    for name, content in js_files(made).items():
        (tmp_path / name).write_bytes(content)
    flags = ["--experimental-wasm-relaxed-simd"] if kind == "relaxed" and old_node() else []
    script = f"""(async () => {{ const model = await require("./net.js").create({{kind: "{kind}"}});
        console.log(JSON.stringify(Array.from(Object.values(
            model.run({json.dumps(arrays["x"].asnumpy().reshape(-1).tolist())}))[0]))); }})();"""
    found = np.array(json.loads(node(script, tmp_path, *flags)))
    answer = CachedOp(graph)(*[arrays[n.name] for n in graph.inputs])[0].asnumpy()
    assert np.abs(found.reshape(answer.shape) - answer).max() <= 2e-5 * np.abs(answer).max()


@needs_node
def test_module_wrapper_parameters_beside_and_refusals(folder):
    data, answer = small_example()
    blob = base64.b64encode((folder / "beside" / "net.bin").read_bytes()).decode()
    script = f"""(async () => {{
        const net = await import("./beside/net.mjs");
        const fs = require("fs"), weights = fs.readFileSync("./beside/net.bin");
        const model = await net.create({{weights}});
        const said = [];
        const says = async call => {{
            try {{ await call(); said.push("nothing"); }} catch (e) {{ said.push(e.message); }}
        }};
        await says(() => net.create());
        await says(() => net.create({{weights: weights.subarray(1)}}));
        await says(() => {{ const bad = Buffer.from(weights); bad[100] ^= 1; return net.create({{weights: bad}}); }});
        await says(() => net.create({{kind: "fast"}}));
        await says(() => model.run({{x: [1, 2]}}));
        await says(() => model.run({{}}));
        const y = model.run({json.dumps(data.reshape(-1).tolist())}).soft_output;
        console.log(JSON.stringify([said, Array.from(y), net.inputs[0].shape]));
    }})();"""
    said, y, shape = json.loads(node(script, folder))
    np.testing.assert_allclose(np.reshape(y, (2, 4)), answer, rtol=2e-5, atol=1e-6)
    for text, expected in zip(said, ["are in net.bin", "wrong size", "wrong checksum", "no such kind of code",
                                     "252 elements; got 2", "252 elements; got nothing"], strict=True):
        assert expected in text
    assert shape == [2, 2, 9, 7] and len(blob) > 100


@needs_node
def test_deflated_parameters(folder):
    data, answer = small_example()
    source = (folder / "deflated" / "net.js").read_text()
    assert ", width: 4," in source and ", width: 0," in (folder / "inside" / "net.js").read_text()
    (folder / "deflated" / "damaged.js").write_text(source.replace('pieces: ["', 'pieces: ["!!'))
    script = f"""(async () => {{
        const net = require("./deflated/net.js"), x = {json.dumps(data.reshape(-1).tolist())};
        const y = (await net.create()).run(x).soft_output, said = [];
        const says = call => call.then(() => "nothing", error => error.message);
        said.push(await says(require("./deflated/damaged.js").create()));
        delete globalThis.DecompressionStream;
        said.push(await says(net.create()));
        console.log(JSON.stringify([Array.from(y), said]));
    }})();"""
    y, (damaged, missing) = json.loads(node(script, folder))
    np.testing.assert_allclose(np.reshape(y, (2, 4)), answer, rtol=2e-5, atol=1e-6)
    assert "the parameters are damaged" in damaged
    assert "no DecompressionStream" in missing and "--weights beside" in missing


@needs_node
def test_the_module_asks_nothing_of_its_surroundings_and_frees_what_it_takes(folder):
    script = """const net = require("./inside/net.js");
    (async () => {
        const model = await net.create(), before = model._x.memory.buffer.byteLength, x = new Float32Array(252);
        for (let i = 0; i < 1000; ++i) model.run({x});
        console.log(model._x.memory.buffer.byteLength - before, Object.keys(model._x).sort().join(" "));
    })();"""
    grown, _, exports = node(script, folder).partition(" ")
    assert grown == "0" and "net_create" not in exports and "net_forward" in exports


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here")
def test_the_page_runs_from_a_file_in_a_browser(folder):
    data, answer = small_example()
    said = "document.getElementById('speed').textContent"
    with Browser() as browser:
        browser.open(folder / "page.html")
        browser.wait(f"{said} === 'Ready.'")
        assert browser.run("document.querySelector('h1').textContent") == "net: image"
        browser.open(folder / "numbers.html")
        browser.wait(f"{said} === 'Ready.'")
        browser.run("by('values').value = '1 2 x'; by('compute').click()")
        assert browser.run(said) == "252 numbers are wanted; got 3, some of which are no numbers"
        browser.run(f"by('values').value = {json.dumps(' '.join(map(str, data.reshape(-1).tolist())))}; "
                    f"by('compute').click()")
        assert "ms (relaxed SIMD" in browser.run(said) and not browser.errors()
        found = browser.run("[...document.querySelectorAll('#result tr')].map(r => Number(r.cells[1].textContent))")
        np.testing.assert_allclose(np.reshape(found, (2, 4)), answer, rtol=2e-5, atol=1e-6)
        browser.open(folder / "deflated.html")
        browser.wait(f"{said} === 'Ready.'")


def test_types_and_sizes(folder):
    types = (folder / "inside" / "net.d.ts").read_text()
    assert '"x": Float32Array | number[];' in types and '"soft_output": Float32Array;' in types
    assert not (folder / "inside" / "net.bin").exists()
    assert len((folder / "inside" / "net.js").read_bytes()) < 200_000


def test_parameters_must_not_be_in_the_c_file():
    with pytest.raises(MXNetError, match="weights='beside'"):
        js_files(small_file())
