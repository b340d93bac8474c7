"""Captured programs: on any machine with a recorder that plays CUDA graphs' part, on a GPU with the real one."""
import numpy as np
import pytest
import torch

import mxdl as mx
from mxdl import autograd, nd
from mxdl.errors import NotBuiltError
from mxdl.executor import cuda_graph
from mxdl.executor.cuda_graph import MOST_SIGNATURES, WARM_UP, CapturedProgram
from mxdl.executor.program import Program
from mxdl.graph import Value
from mxdl.passes.specialize import specialize


class Playback:
    """Replays by running again and writing over the recorded outputs: what a CUDA graph does to its memory."""

    def __init__(self):
        self.records, self.replays = 0, 0

    def record(self, run):
        self.records += 1
        outputs = [out.clone() for out in run()]

        def replay():
            self.replays += 1
            for old, new in zip(outputs, run(), strict=True):
                old.copy_(new)
        for out in outputs:
            out.zero_()     # a capture computes nothing
        return replay, outputs


def program(symbol):
    graph = specialize(symbol.graph(), training=True).graph
    return Program(graph.outputs, [Value(node, 0) for node in graph.inputs])


@pytest.fixture
def affine():
    """x * w + x, with its recorder."""
    x, w = mx.sym.var("x"), mx.sym.var("w")
    recorder = Playback()
    return CapturedProgram(program(x * w + x), recorder), recorder


def test_plain_runs_then_one_capture_that_is_replayed(affine):
    captured, recorder = affine
    w = torch.tensor([2.0, 3.0])
    results = []
    for i in range(WARM_UP + 4):
        results.append((i, captured.run([torch.full((2,), float(i)), w])[0]))
        assert recorder.records == (i >= WARM_UP)
    assert recorder.replays == 4
    for i, out in results:      # earlier results are not overwritten by later replays
        assert out.tolist() == [3.0 * i, 4.0 * i]


def test_what_stays_is_read_where_it_lies_and_what_moves_is_copied(affine):
    captured, recorder = affine
    w, held = torch.tensor([2.0, 3.0]), []
    for i in range(WARM_UP + 1):
        held.append(torch.full((2,), float(i)))
        captured.run([held[-1], w])
    capture, = captured._captures.values()
    assert capture.copied == [0]
    assert capture.inputs[1] is w
    w.mul_(10)                              # an optimizer's step
    assert captured.run([torch.ones(2), w])[0].tolist() == [21.0, 31.0]
    assert recorder.records == 1
    other = torch.tensor([5.0, 6.0])        # another array in the parameter's place
    assert captured.run([torch.ones(2), other])[0].tolist() == [6.0, 7.0]
    assert w.tolist() == [20.0, 30.0]
    assert recorder.records == 2
    assert captured.run([torch.ones(2), w])[0].tolist() == [21.0, 31.0]
    assert recorder.records == 2            # from now on it is copied


def test_each_signature_has_its_capture_up_to_a_limit(affine):
    captured, recorder = affine
    for n in range(1, MOST_SIGNATURES + 1):
        for _ in range(WARM_UP + 1):
            captured.run([torch.ones(n), torch.ones(n)])
    assert recorder.records == MOST_SIGNATURES
    many = [torch.ones(MOST_SIGNATURES + 1)] * 2
    captured.run(list(many))
    with pytest.warns(UserWarning, match=f"more than {MOST_SIGNATURES} signatures"):
        assert captured.run(list(many))[0].tolist() == [2.0] * (MOST_SIGNATURES + 1)


def test_a_stretched_input_and_output_stay_stretched():
    recorder = Playback()
    captured = CapturedProgram(program(mx.sym.var("x")), recorder)
    held = []
    for i in range(WARM_UP + 2):
        held.append(torch.full((1,), float(i)).expand(4, 5))
        out, = captured.run([held[-1]])
        assert out.tolist() == [[float(i)] * 5] * 4
    assert recorder.replays == 2


@pytest.mark.parametrize("symbol, reason", [
    (lambda: mx.sym.random.uniform(shape=(2,)), "draws with a new seed"),
    (lambda: mx.sym.contrib.boolean_mask(mx.sym.var("x"), mx.sym.var("m")), "depends on values")])
def test_what_is_not_captured_says_so_once(symbol, reason, recwarn):
    recorder = Playback()
    plain = program(symbol())
    captured = CapturedProgram(plain, recorder)
    inputs = [torch.ones(2)] * len(plain.inputs)
    for i in range(WARM_UP + 2):
        captured.run(list(inputs), seeds=[i])
    assert recorder.records == 0
    said = [str(w.message) for w in recwarn if "not captured as a CUDA graph" in str(w.message)]
    assert len(said) == 1
    assert reason in said[0]


def test_a_kernel_that_cannot_be_captured_is_an_error(affine):
    captured, _ = affine

    class Refusing:
        def record(self, run):
            raise RuntimeError("operation not permitted when stream is capturing")
    captured._recorder = Refusing()
    inputs = [torch.ones(2), torch.ones(2)]
    for _ in range(WARM_UP):
        captured.run(list(inputs))
    with pytest.raises(NotBuiltError, match="cannot be captured.*not permitted.*without static_shape"):
        captured.run(list(inputs))


def training(net, loss, trainer, batches):
    """Losses of a few steps, each of two calls before one backward."""
    losses = []
    for x, y in batches:
        with autograd.record():
            total = loss(net(x), y) + loss(net(x * 0.5), y)
        total.backward()
        trainer.step(4)
        losses.append(total.asnumpy())
    return losses


def make(ctx, static):
    nn = mx.gluon.nn
    net = nn.HybridSequential()
    net.add(nn.Conv2D(4, 3), nn.BatchNorm(), nn.Activation("relu"), nn.Flatten(), nn.Dense(5))
    mx.random.seed(1)
    net.initialize(mx.init.Xavier(), ctx=ctx)
    net.hybridize(static_alloc=static, static_shape=static)
    loss = mx.gluon.loss.SoftmaxCrossEntropyLoss()
    loss.hybridize(static_alloc=static, static_shape=static)
    return net, loss, mx.gluon.Trainer(net.collect_params(), "sgd", {"learning_rate": 0.1, "momentum": 0.9})


def batches(ctx):
    rng = np.random.default_rng(0)
    return [(nd.array(rng.normal(size=(4, 2, 6, 6)), ctx=ctx), nd.array(rng.integers(0, 5, 4), ctx=ctx))
            for _ in range(2 * WARM_UP + 3)]


def test_training_through_captures_gives_the_same_bits(monkeypatch):
    recorder = Playback()
    monkeypatch.setattr(cuda_graph, "CudaRecorder", lambda: recorder)
    monkeypatch.setattr("mxdl.executor.cached_op.on_gpu", lambda tensors: True)
    losses = training(*make(mx.cpu(), True), batches(mx.cpu()))
    assert recorder.records >= 4        # net and loss, forward and backward
    assert recorder.replays > recorder.records
    monkeypatch.undo()
    for a, b in zip(losses, training(*make(mx.cpu(), False), batches(mx.cpu())), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU on this machine: CUDA graphs have not been run here")
def test_training_on_a_gpu_replays_graphs():
    net, loss, trainer = make(mx.gpu(), True)
    losses = training(net, loss, trainer, batches(mx.gpu()))
    runners = [r for c in net._compiled.values() for r in c.run._runners.values()]
    assert any(r.forward._captures for r in runners)
    assert any(r.backward is not None and r.backward._captures for r in runners)
    for a, b in zip(losses, training(*make(mx.gpu(), False), batches(mx.gpu())), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)
