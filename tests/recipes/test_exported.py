"""mxdl predict on exported files: pictures, texts and numbers, and what it refuses."""
import json
import shutil

import numpy as np
import pytest

import mxdl as mx
from mxdl.cli.main import main
from mxdl.codegen.export import c_source, export_c_files
from mxdl.codegen.frame import Options
from mxdl.gluon import nn
from mxdl.recipes.text.language_model import LanguageModel, zero_states
from tests.codegen.block_nets import LanguageModel as Net
from tests.codegen.nets import small_net

pytestmark = pytest.mark.skipif(not shutil.which("cc"), reason="no C compiler on this machine")


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("MXDL_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)


def predict(capsys, *words: str) -> list[dict]:
    assert main(["predict", *words, "--json"]) == 0, capsys.readouterr()
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def refused(capsys, *words: str) -> str:
    assert main(["predict", *words]) != 0
    return capsys.readouterr().err


def test_rows_of_numbers(capsys):
    graph, parameters, inputs = small_net()
    with open("net.c", "w") as file:
        file.write(c_source(graph, parameters, inputs, Options("net")).text)
    data = np.random.default_rng(0).normal(size=(2, 252)).round(3)
    np.savetxt("rows.csv", data, delimiter=",")
    np.save("one.npy", data[1].reshape(2, 2, 9, 7))
    found = predict(capsys, "net.c", "rows.csv", "one.npy")
    direct = mx.Predictor("net.c")(data[1].reshape(2, 2, 9, 7))[0].asnumpy()
    assert [answer["item"] for answer in found] == ["rows.csv:1", "rows.csv:2", "one.npy"]
    np.testing.assert_allclose(found[1]["soft_output"], direct.reshape(-1), rtol=1e-6)
    np.testing.assert_allclose(found[2]["soft_output"], direct.reshape(-1), rtol=1e-6)
    for name, text in [("short.csv", "1,2\n"), ("head.csv", "a,b\n"), ("no.npy", "x"), ("cat.png", "x")]:
        with open(name, "w") as file:
            file.write(text)
    for item, text in [("short.csv", "short.csv:1: a row holds 252 for x; got 2"), ("head.csv", "leave out a header"),
                       ("no.npy", "not an array"), ("cat.png", "takes numbers; got cat.png"), ("none.csv", "none.csv")]:
        assert text in refused(capsys, "net.c", item)
    assert "ends in" in refused(capsys, "rows.so", "rows.csv") or "rows.so" in refused(capsys, "rows.so", "rows.csv")
    assert "belongs to an exported file" in refused(capsys, "runs/x", "a.png", "--weights", "b.bin")


def test_pictures(capsys):
    Image = pytest.importorskip("PIL.Image")
    net = nn.HybridSequential()
    net.add(nn.Conv2D(4, 3, in_channels=1, activation="relu"), nn.Dense(3, in_units=4 * 36))
    net.initialize(mx.init.Normal(0.3))
    task = {"kind": "image", "classes": ["left", "right", "“both”"], "shape": [1, 8, 8], "mean": [0.25], "std": [0.5],
            "white": 16}
    net.export_c("eyes.c", mx.nd.zeros((1, 1, 8, 8)), weights="beside", task=task)
    pixels = np.random.default_rng(0).integers(0, 256, (8, 8)).astype("uint8")
    Image.fromarray(pixels).save("eye.png")
    [answer] = predict(capsys, "eyes.c", "eye.png", "--weights", "eyes.bin")
    levels = np.rint(pixels.astype("float32") * 16 / 255) / 16
    chances = mx.nd.softmax(net(mx.nd.array((levels - 0.25)[None, None] / 0.5))).asnumpy()[0]
    assert answer["class"] == task["classes"][chances.argmax()] and mx.Predictor("eyes.c", "eyes.bin").task == task
    assert answer["probability"] == pytest.approx(chances.max(), rel=1e-5)
    with open("text.png", "w") as file:
        file.write("no picture")
    assert "not a picture" in refused(capsys, "eyes.c", "text.png", "--weights", "eyes.bin")
    assert "not in this program" in refused(capsys, "eyes.c", "eye.png")


class Stepped(Net):
    """A language model that is given its states, as the recipes export it."""
    state_shape = (2, 20)
    words = ("<eos>", "<unk>", *(f"w{i}" for i in range(48)))

    def hybrid_forward(self, F, tokens, hidden, cell):
        out, (hidden, cell) = self.rnn(self.embed(tokens), [hidden, cell])
        return self.decode(out), hidden, cell

    @classmethod
    def made(cls):
        """(a net, what a file says of it)"""
        net = cls()
        net.initialize(mx.init.Normal(0.4))
        return net, {"kind": "text", "vocabulary": list(cls.words), "start": cls.words[0]}


@pytest.mark.slow
def test_texts_word_by_word(capsys):
    net, task = Stepped.made()
    net.export_c("talk.c", mx.nd.zeros((1, 1)), *zero_states(net, 1, None), task=task)
    items = ["w3 w4 w5", "w7 strange", ""]
    expected = list(LanguageModel(None, task).predict(net, items))
    for answer, known in zip(predict(capsys, "talk.c", *items), expected, strict=True):
        assert answer["next"] == known["next"] and answer["item"] == known["item"]
        assert answer["perplexity"] == pytest.approx(known["perplexity"], rel=1e-4)


def test_mxnets_files_say_no_shapes(capsys):
    net = nn.Dense(2, in_units=3)
    net.initialize()
    net.hybridize()
    net(mx.nd.ones((1, 3)))
    net.export("dense")
    assert "say no shapes" in refused(capsys, "dense-symbol.json", "x.csv")
    export_c_files("dense", 0, {"data": (1, 3)}, "dense.c", "dense")
    with open("x.csv", "w") as file:
        file.write("1,2,3\n")
    [answer] = predict(capsys, "dense.c", "x.csv")
    np.testing.assert_allclose(next(v for k, v in answer.items() if k != "item"),
                               net(mx.nd.array([[1, 2, 3]])).asnumpy()[0], rtol=1e-5)
