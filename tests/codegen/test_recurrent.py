"""RNN in the C file: every mode, several layers, both directions, states, lengths, sizes that fill no vector."""
import numpy as np
import pytest
import torch

from mxdl.codegen import export_c
from mxdl.errors import NotBuiltError
from mxdl.graph import Graph, apply, variable
from mxdl.ops import get
from mxdl.ops.recurrent import Stack
from mxdl.ops.recurrent_packed import rnn_pack, unpacked

from .compiled import SANITIZED, assert_same, compiled, needs_compiler

RNN = get("RNN")
SCALAR = f"{SANITIZED} -DNET_SCALAR"
BEST = "-O2"
FAST = [("lstm", 2, True, 3, 5, False), ("gru", 1, True, 2, 33, True), ("rnn_tanh", 1, False, 1, 16, False)]
SLOW = [("lstm", 1, True, 2, 33, True), ("gru", 2, False, 1, 48, False), ("lstm", 1, False, 1, 16, False),
        ("gru", 2, True, 3, 5, False), ("rnn_tanh", 2, True, 3, 5, True), ("rnn_relu", 2, True, 3, 5, False),
        ("rnn_relu", 1, True, 2, 33, True)]
CASES = [*FAST, *(pytest.param(case, marks=pytest.mark.slow) for case in SLOW)]


def call(mode, layers, bidirectional, batch, size, lengths, width=7, steps=5):
    directions = 1 + bidirectional
    rng = np.random.default_rng(3)
    count = Stack(mode, size, layers, directions, 0.0, None, width).num_parameters
    arrays = {"data": rng.normal(size=(steps, batch, width)), "parameters": rng.normal(size=count) * 0.4,
              "state": rng.normal(size=(layers * directions, batch, size))}
    if mode == "lstm":
        arrays["state_cell"] = rng.normal(size=arrays["state"].shape)
    arrays = {name: array.astype("float32") for name, array in arrays.items()}
    if lengths:
        arrays["sequence_length"] = rng.integers(0, steps + 1, batch).astype("int32")
    return arrays, {"state_size": size, "num_layers": layers, "mode": mode, "bidirectional": bidirectional,
                    "state_outputs": True, "use_sequence_length": lengths}


@needs_compiler
@pytest.mark.parametrize("case", CASES, ids=lambda case: "-".join(map(str, case)))
def test_every_mode_agrees_with_eager(case, tmp_path):
    arrays, attrs = call(*case)
    values = apply(RNN, [variable(name) for name in arrays], attrs)[:3 if case[0] == "lstm" else 2]
    tensors = {name: torch.from_numpy(array) for name, array in arrays.items()}
    expected = [x.numpy() for x in RNN.bind(attrs)(*tensors.values())[:len(values)]]
    given = {name: array for name, array in arrays.items() if name != "parameters"}
    for stdout in compiled(Graph(list(values)), {"parameters": tensors["parameters"]}, given, tmp_path,
                           f"{SCALAR}|{SANITIZED}|{BEST}"):
        assert_same(stdout, expected)


@needs_compiler
def test_the_cell_is_clipped(tmp_path):
    arrays, attrs = call("lstm", 1, False, 2, 9, False)
    attrs |= {"lstm_state_clip_min": -0.1, "lstm_state_clip_max": 0.2}
    tensors = [torch.from_numpy(array) for array in arrays.values()]
    expected = [x.numpy() for x in RNN.bind(attrs)(*tensors)[:3]]
    assert np.abs(expected[2]).max() <= 0.2
    given = {name: array for name, array in arrays.items() if name != "parameters"}
    values = apply(RNN, [variable(name) for name in arrays], attrs)[:3]
    assert_same(compiled(Graph(list(values)), {"parameters": tensors[1]}, given, tmp_path)[0], expected)


@pytest.mark.parametrize("mode", ["lstm", "gru", "rnn_tanh"])
def test_packing_keeps_every_weight(mode):
    stack = Stack(mode, 5, 2, 2, 0.0, None, 3)
    parameters = torch.arange(stack.num_parameters, dtype=torch.float32)
    for index, weights in enumerate(stack.weights(parameters)):
        packed = rnn_pack.kernel(parameters, mode=mode, size=5, layers=2, directions=2, width=3, index=index)
        again = unpacked(mode, 5, *packed)
        assert torch.equal(again.w, weights.w) and torch.equal(again.u, weights.u)
        assert torch.equal(again.bw + again.bu, weights.bw + weights.bu)


def test_parameters_that_are_no_constants_are_refused(tmp_path):
    arrays, attrs = call("gru", 1, False, 1, 4, False)
    values = apply(RNN, [variable(name) for name in arrays], attrs)[:1]
    with pytest.raises(NotBuiltError, match="_rnn_pack"):
        export_c(Graph(list(values)), {}, {name: a.shape for name, a in arrays.items()}, tmp_path / "net.c", "net")
