"""Whole nets as users write them: exported, compiled, and equal to the framework."""
from __future__ import annotations

import numpy as np
import pytest

import mxdl as mx
from mxdl.gluon import nn, rnn
from mxdl.gluon.model_zoo import vision

from .block_nets import BERT, SSD, LanguageModel, Segmentation, Unrolled, Yolo
from .compiled import SANITIZED, assert_same, compiled, needs_compiler

RNG = np.random.default_rng(11)
SMALL_SCALES = (((0.2, 0.27), (1, 2, 0.5)), ((0.5, 0.6), (1, 2)))
SSD_300 = tuple(zip([(0.1, 0.141), (0.2, 0.272), (0.37, 0.447), (0.54, 0.619), (0.71, 0.79), (0.88, 0.961)],
                    [(1, 2, 0.5), *[(1, 2, 0.5, 3, 1 / 3)] * 3, *[(1, 2, 0.5)] * 2], strict=True))


def tokens(*shape: int, vocabulary: int = 30, dtype: str = "int32") -> np.ndarray:
    return RNG.integers(0, vocabulary, shape).astype(dtype)


def image(*shape: int) -> np.ndarray:
    return RNG.normal(size=shape).astype("float32")


def small_body() -> nn.HybridSequential:
    body = nn.HybridSequential()
    body.add(nn.Conv2D(8, 3, strides=2, padding=1, activation="relu"))
    return body


def resnet_body() -> nn.HybridSequential:
    body = nn.HybridSequential()
    for layer in list(vision.resnet18_v1(pretrained=False).features._children.values())[:-2]:
        body.add(layer)
    return body


NETS = {
    "lstm": lambda: (LanguageModel(), [tokens(6, 2)]),
    "gru": lambda: (LanguageModel(rnn.GRU), [tokens(5, 1, dtype="float32")]),
    "unrolled": lambda: (Unrolled(), [tokens(2, 4)]),
    "bert": lambda: (BERT(), [tokens(2, 16), tokens(2, 16, vocabulary=2), np.array([16, 9], "int32")]),
    "ssd": lambda: (SSD(small_body(), SMALL_SCALES), [image(2, 3, 16, 16)]),
    "yolo": lambda: (Yolo(), [image(1, 3, 16, 16)]),
    "segmentation": lambda: (Segmentation(), [image(1, 3, 16, 12)]),
}
FULL = {
    "lstm of 2 x 128": lambda: (LanguageModel(vocabulary=1000, size=128), [tokens(32, 1, vocabulary=1000)]),
    "ssd 300": lambda: (SSD(resnet_body(), SSD_300, 20, 128, 400), [image(1, 3, 300, 300)]),
}


def agrees(made, folder, flags: str) -> None:
    net, inputs = made()
    net.initialize(mx.init.Normal(0.2), force_reinit=True)
    net.hybridize()
    outs = net(*[mx.nd.array(array, dtype=str(array.dtype)) for array in inputs])
    expected = [out.asnumpy() for out in (outs if isinstance(outs, list | tuple) else [outs])]
    net.export(str(folder / "net"))
    graph = mx.sym.load(str(folder / "net-symbol.json")).graph()
    loaded = mx.nd.load(str(folder / "net-0000.params"))
    parameters = {key.split(":", 1)[-1]: array.to_torch() for key, array in loaded.items()}
    names = [node.name for node in graph.inputs if node.name not in parameters]
    for stdout in compiled(graph, parameters, dict(zip(names, inputs, strict=True)), folder, flags):
        assert_same(stdout, expected)


@needs_compiler
@pytest.mark.parametrize("name", NETS)
def test_small_nets_agree_with_the_framework(name, tmp_path):
    agrees(NETS[name], tmp_path, "-O1")


@needs_compiler
@pytest.mark.slow
@pytest.mark.parametrize("name", NETS)
def test_small_nets_leave_no_sanitizer_finding(name, tmp_path):
    agrees(NETS[name], tmp_path, f"{SANITIZED}|{SANITIZED} -DNET_SCALAR")


@needs_compiler
@pytest.mark.slow
@pytest.mark.parametrize("name", FULL)
def test_full_nets_agree_with_the_framework(name, tmp_path):
    agrees(FULL[name], tmp_path, "-O3 -DNET_MAX_ISA=0|-O3")
