"""RNN against torch.nn's recurrences, and against itself where there is nothing to compare with."""
import numpy as np
import pytest
import torch

from mxdl.errors import NotBuiltError, ShapeError
from mxdl.ops import get, recurrent_cells, recurrent_engines
from mxdl.ops.operator import GradientCall
from mxdl.ops.recurrent_cells import Run, Weights

rnn = get("RNN")
T, N, INPUT, SIZE, LAYERS = 5, 3, 4, 6, 2
MODULES = {"lstm": torch.nn.LSTM, "gru": torch.nn.GRU, "rnn_tanh": torch.nn.RNN}


def packed(module):
    """The module's parameters in MXNet's order: all weights, then all biases."""
    named = dict(module.named_parameters())
    suffixes = [f"_l{layer}{way}" for layer in range(module.num_layers)
                for way in (["", "_reverse"] if module.bidirectional else [""])]
    return [named[kind + suffix] for kinds in (("weight_ih", "weight_hh"), ("bias_ih", "bias_hh"))
            for suffix in suffixes for kind in kinds]


def setting(mode, bidirectional, dtype=torch.float64):
    directions = 1 + bidirectional
    module = MODULES[mode](INPUT, SIZE, LAYERS, bidirectional=bidirectional).to(dtype)
    inputs = [torch.randn(T, N, INPUT, dtype=dtype), torch.cat([p.detach().flatten() for p in packed(module)])]
    inputs += [torch.randn(LAYERS * directions, N, SIZE, dtype=dtype) for _ in range(2 if mode == "lstm" else 1)]
    attrs = {"mode": mode, "state_size": SIZE, "num_layers": LAYERS, "bidirectional": bidirectional,
             "state_outputs": True}
    return module, [x.requires_grad_() for x in inputs], attrs


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("mode", MODULES)
def test_equals_torch(mode, bidirectional, dtype):
    module, inputs, attrs = setting(mode, bidirectional, dtype)
    data, _, *states = inputs
    out, last = module(data, tuple(states) if mode == "lstm" else states[0])
    expected = [out, *last] if mode == "lstm" else [out, last]
    found = rnn(*inputs, **attrs)[:len(expected)]
    douts = [torch.randn_like(x) for x in expected]
    torch.testing.assert_close(list(found), expected)
    theirs = torch.autograd.grad(expected, [data, *states, *packed(module)], douts)
    ours = torch.autograd.grad(found, [data, *states, inputs[1]], douts)
    count = 1 + len(states)
    torch.testing.assert_close(list(ours[:count]), list(theirs[:count]))
    torch.testing.assert_close(ours[-1], torch.cat([g.flatten() for g in theirs[count:]]), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("mode", MODULES)
def test_sequence_length_is_the_shorter_sequence(mode):
    """Each sequence of a padded batch gives what it gives alone, and zeros after its end."""
    _, inputs, attrs = setting(mode, True)
    lengths = [2, 5, 1]
    outputs = rnn(*inputs, torch.tensor(lengths), use_sequence_length=True, **attrs)
    data, parameters, *states = inputs
    for i, length in enumerate(lengths):
        alone = rnn(data[:length, i:i + 1], parameters, *(s[:, i:i + 1] for s in states), **attrs)
        torch.testing.assert_close(outputs[0][:length, i], alone[0][:, 0])
        assert not outputs[0][length:, i].any()
        for whole, single in zip(outputs[1:1 + len(states)], alone[1:], strict=False):
            torch.testing.assert_close(whole[:, i], single[:, 0])


@pytest.mark.parametrize("clip", [None, (-0.1, 0.1)])
@pytest.mark.parametrize("mode", MODULES)
def test_gradient_with_lengths_and_clips(mode, clip):
    """Finite differences, through the ends of sequences and the clip of the lstm's cell."""
    module, inputs, attrs = setting(mode, True)
    if clip is not None:
        attrs.update(lstm_state_clip_min=clip[0], lstm_state_clip_max=clip[1])
    lengths = torch.tensor([2, 5, 1])

    def run(*tensors):
        return rnn(*tensors, lengths, use_sequence_length=True, **attrs)[:1 + len(inputs[2:])]
    assert torch.autograd.gradcheck(run, inputs, fast_mode=True)


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("mode", recurrent_cells.NUM_GATES)
def test_engines_agree(mode, reverse):
    """The engine for GPUs, which runs on CPUs too, and the plain one: states, ends, gradients."""
    rows = recurrent_cells.NUM_GATES[mode] * SIZE
    run, x = Run(mode, reverse), torch.randn(T, N, INPUT, dtype=torch.float64)
    weights = Weights(*(torch.randn(s, dtype=torch.float64) for s in ((rows, INPUT), (rows, SIZE), (rows,), (rows,))))
    start, dend = ((torch.randn(N, SIZE, dtype=torch.float64), torch.randn(N, SIZE, dtype=torch.float64)
                    if mode == "lstm" else None) for _ in range(2))
    dout, found = torch.randn(T, N, SIZE, dtype=torch.float64), []
    for engine in (recurrent_cells, recurrent_engines.Native):
        grads = Weights(*map(torch.empty_like, weights))
        with torch.no_grad():
            out, end, saved = engine.forward(run, x, weights, start, True)
            dx, dstart = engine.backward(run, x, weights, start, out, end, saved, dout, dend, grads)
        found.append([out, *end, dx, *dstart, *grads])
    for a, b in zip(*found, strict=True):
        assert (a is None and b is None) or torch.allclose(a, b)


def graph_gradient(inputs, outputs, douts, attrs, **reserved):
    filled = {**rnn.filled(attrs), **reserved}
    with torch.no_grad():
        return rnn.gradient_rule(GradientCall(tuple(inputs), tuple(outputs), douts, (True,) * len(inputs), filled))


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("mode", MODULES)
def test_rule_equals_tape(mode, training):
    _, inputs, attrs = setting(mode, False)
    reserved = {"training": training, "seed": 3}
    attrs = {**attrs, "p": 0.3}
    recorded = rnn.bind(attrs)(*inputs, **reserved)
    dout = torch.randn_like(recorded[0])
    tape = torch.autograd.grad(recorded[0], inputs, dout)
    with torch.no_grad():
        outputs = rnn.bind(attrs)(*inputs, **reserved)
    douts = (dout, *[None] * (len(outputs) - 1))
    torch.testing.assert_close(list(graph_gradient([x.detach() for x in inputs], outputs, douts, attrs, **reserved)),
                               list(tape))


def test_dropout_only_between_layers_and_by_seed():
    _, inputs, attrs = setting("gru", False)
    run = rnn.bind({**attrs, "p": 0.5})
    first, again, other = (run(*inputs, training=True, seed=seed)[0] for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert torch.equal(run(*inputs, training=False, seed=1)[0], rnn(*inputs, **attrs)[0])
    single = {**attrs, "num_layers": 1}
    one_layer = [inputs[0], inputs[1][:3 * SIZE * (INPUT + SIZE + 2)], inputs[2][:1]]
    assert torch.equal(rnn.bind({**single, "p": 0.5})(*one_layer, training=True)[0], rnn(*one_layer, **single)[0])


def test_workspace_size_is_told_without_running(monkeypatch):
    monkeypatch.setattr(recurrent_engines, "_PROBE", 0)
    recurrent_engines._workspace_bytes.cache_clear()
    told = recurrent_engines._workspace_bytes(35, 20, 64, 128)
    monkeypatch.setattr(recurrent_engines, "_PROBE", 1 << 40)
    recurrent_engines._workspace_bytes.cache_clear()
    assert told == pytest.approx(recurrent_engines._workspace_bytes(35, 20, 64, 128), rel=0.02)


def test_errors_name_what_to_give():
    _, inputs, attrs = setting("gru", False)
    with pytest.raises(ShapeError, match="give"):
        rnn(inputs[0], inputs[1][:-1], inputs[2], **attrs)
    with pytest.raises(NotBuiltError, match="projection_size"):
        rnn(*inputs, projection_size=3, **attrs)


def test_shapes_follow_from_the_data():
    filled = rnn.filled({"mode": "lstm", "state_size": SIZE, "num_layers": LAYERS, "bidirectional": True})
    shapes = rnn.complete_rule({"data": (T, N, INPUT)}, **filled)
    assert shapes["parameters"] == setting("lstm", True)[1][1].shape
    assert shapes["state"] == shapes["state_cell"] == (2 * LAYERS, N, SIZE)
    assert np.prod(shapes["sequence_length"]) == N
