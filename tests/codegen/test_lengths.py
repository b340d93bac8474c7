"""Sequences of any length up to the one that was exported: as the framework answers for arrays of just that length."""
from __future__ import annotations

import subprocess

import numpy as np
import pytest

import mxdl as mx
from mxdl.gluon import HybridBlock, nn, rnn
from tests.codegen.block_nets import BERT
from tests.codegen.compiled import COMPILER, needs_compiler

pytestmark = [pytest.mark.slow, needs_compiler]
LONGEST = 16
LENGTHS = (16, 1, 9, 0, 15)


class Tagger(HybridBlock):
    """words [T, N], lengths [N] -> scores [T, N, 4], by an LSTM in both directions."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        with self.name_scope():
            self.embed = nn.Embedding(30, 8)
            self.rnn = rnn.LSTM(10, 2, bidirectional=True, input_size=8, use_sequence_length=True)
            self.tag = nn.Dense(4, flatten=False, in_units=20)

    def hybrid_forward(self, F, words, lengths):
        return self.tag(self.rnn(self.embed(words), sequence_length=lengths))


def answers(net, examples: list[list[np.ndarray]], folder) -> list[np.ndarray]:
    """Every output of the compiled file for each example."""
    given = [mx.nd.array(array, dtype=str(array.dtype)) for array in examples[0]]
    net.export_c(folder / "net.c", *given)
    outs = net(*given)
    shapes = [out.shape for out in (outs if isinstance(outs, list | tuple) else [outs])]
    subprocess.run([str(COMPILER), "-O1", "-DNET_MAX_ISA=0", "-DNET_MAIN", "net.c", "-o", "net", "-lm"], check=True,
                   timeout=240, cwd=folder)
    data = b"".join(array.tobytes() for example in examples for array in example)
    stdout = subprocess.run(["./net"], input=data, capture_output=True, check=True, timeout=120, cwd=folder).stdout
    sizes = np.cumsum([int(np.prod(shape)) for shape in shapes])[:-1]
    rows = np.frombuffer(stdout, "<f4").reshape(len(examples), -1)
    return [[part.reshape(shape) for part, shape in zip(np.split(row, sizes), shapes, strict=True)] for row in rows]


def same(found: np.ndarray, expected) -> None:
    expected = expected.asnumpy()
    np.testing.assert_allclose(found, expected, rtol=2e-5, atol=2e-5 * np.abs(expected).max(initial=1e-6))


def test_an_lstm_reads_as_many_words_as_it_is_told(tmp_path):
    net, rng = Tagger(), np.random.default_rng(0)
    net.initialize(mx.init.Uniform(0.3))
    words = rng.integers(0, 30, (LONGEST, 1)).astype("int32")
    examples = [[words, np.array([length], "int32")] for length in LENGTHS]
    for length, [found] in zip(LENGTHS, answers(net, examples, tmp_path), strict=True):
        if length:
            same(found[:length], net(mx.nd.array(words[:length], dtype="int32"), mx.nd.array([length], dtype="int32")))
        if length < LONGEST:   # beyond it the layers give zeros
            same(found[length:], net.tag(mx.nd.zeros((LONGEST - length, 1, 20))))


def test_bert_reads_as_many_words_as_it_is_told(tmp_path):
    net, rng = BERT(longest=LONGEST), np.random.default_rng(0)
    net.initialize(mx.init.Normal(0.2))
    words, kinds = (rng.integers(0, most, (1, LONGEST)).astype("int32") for most in (30, 2))
    lengths = [length for length in LENGTHS if length]
    position = net.position.data()
    for length, (sequence, pooled) in zip(lengths, answers(
            net, [[words, kinds, np.array([length], "int32")] for length in lengths], tmp_path), strict=True):
        short = BERT(longest=length, prefix=net.prefix)
        short.initialize()
        given = [mx.nd.array(a, dtype="int32") for a in (words[:, :length], kinds[:, :length], [length])]
        short(*given)
        for (name, parameter), own in zip(short.collect_params().items(), net.collect_params().values(), strict=True):
            parameter.set_data(position[:length] if name.endswith("position") else own.data())
        for found, expected in zip((sequence[:, :length], pooled), short(*given), strict=True):
            same(found, expected)
