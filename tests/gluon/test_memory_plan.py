"""The memory plan: what it predicts is what a step takes, from shapes alone; what people see of it."""
import gc
import os
import re
import subprocess
import sys

import pytest

import mxdl as mx
from mxdl import autograd, gluon
from mxdl.errors import MXNetError
from mxdl.executor.memory import track
from mxdl.gluon import nn, rnn
from mxdl.gluon.model_zoo import vision


class Unrolled(gluon.HybridBlock):
    """Two LSTM layers over 20 steps.  x: float[T, N, C]"""

    def __init__(self):
        super().__init__()
        self.cells = rnn.HybridSequentialRNNCell()
        for _ in range(2):
            self.cells.add(rnn.LSTMCell(32, input_size=32))

    def hybrid_forward(self, F, x):
        self.cells.reset()
        steps = [F.reshape(step, shape=(-3, 0)) for step in F.split(x, num_outputs=20, axis=0)]
        states, outs = [F.zeros_like(steps[0])] * 4, []
        for step in steps:
            out, states = self.cells(step, states)
            outs.append(out)
        return F.add_n(*outs)


class Encoder(gluon.HybridBlock):
    """Self-attention and feed-forward, post-norm.  x: float[N, T, C]"""

    def __init__(self):
        super().__init__()
        self.qkv = nn.Dense(96, flatten=False, in_units=32)
        self.norms = nn.HybridSequential()
        self.norms.add(nn.LayerNorm(in_channels=32), nn.LayerNorm(in_channels=32))
        self.feed = nn.HybridSequential()
        self.feed.add(nn.Dense(128, flatten=False, activation="relu"), nn.Dense(32, flatten=False))

    def hybrid_forward(self, F, x):
        q, k, v = F.split(self.qkv(x), num_outputs=3, axis=2)
        x = self.norms[0](x + F.batch_dot(F.softmax(F.batch_dot(q, k, transpose_b=True) * 0.2), v))
        return self.norms[1](x + self.feed(x))


def stack(*layers):
    net = nn.HybridSequential()
    net.add(*layers)
    return net


NETS = {
    "mlp": (lambda: stack(*(nn.Dense(128, activation="relu") for _ in range(12))), (64, 100)),
    "dropout": (lambda: stack(*(layer for _ in range(6) for layer in (nn.Dense(96), nn.Dropout(0.3)))), (32, 96)),
    "unrolled LSTM": (Unrolled, (20, 16, 32)),
    "transformer": (lambda: stack(*(Encoder() for _ in range(4))), (8, 24, 32)),
    "resnet18_v1": (lambda: vision.resnet18_v1(classes=10), (8, 3, 64, 64)),
    "resnet50_v2": (lambda: vision.resnet50_v2(classes=10), (2, 3, 64, 64)),
    "mobilenet_v2": (lambda: vision.mobilenet_v2_0_5(classes=10), (4, 3, 64, 64)),
    "vgg11_bn": (lambda: vision.vgg11_bn(classes=10), (1, 3, 64, 64)),
    "alexnet": (lambda: vision.alexnet(classes=10), (1, 3, 224, 224)),
}

LARGE = ("resnet50_v2", "vgg11_bn", "alexnet")


@pytest.mark.parametrize("mirror", [False, "sqrt", 0.8], ids=str)
@pytest.mark.parametrize("name", [pytest.param(name, marks=pytest.mark.slow) if name in LARGE else name
                                  for name in NETS])
def test_a_step_takes_what_was_planned(name, mirror):
    build, shape = NETS[name]
    net = build()
    plan = net.memory_plan(shape, mirror=mirror)   # before any parameter has an array
    net.initialize()
    net.hybridize(mirror=mirror)
    x = mx.nd.random.uniform(shape=shape)

    def step():
        with autograd.record():
            y = net(x)
        y.backward()
    step()   # programs and gradient buffers are made
    gc.collect()
    with track() as usage:
        step()
    planned = plan.peak - plan.after.timeline.fixed
    assert abs(usage.peak - planned) <= 0.001 * planned, (usage.peak, planned)


def test_enough_nets_were_planned():
    assert len(NETS) >= 8


@pytest.mark.parametrize("layer", [lambda: rnn.LSTM(16, 2), lambda: rnn.GRU(8, 2, bidirectional=True, layout="NTC"),
                                   lambda: rnn.RNN(8)], ids=["lstm", "gru", "rnn"])
def test_recurrent_layers_are_planned_before_they_know_their_inputs(layer):
    plans = []
    for call_first in (True, False):
        net = stack(nn.Embedding(30, 12), layer(), nn.Dense(3))
        if call_first:
            net.initialize()
            net(mx.nd.ones((8, 20), dtype="int32"))
        plans.append(net.memory_plan(((8, 20), "int32")))
    assert plans[0].peak == plans[1].peak > 8 * 20 * 12 * 4


def test_handing_over_is_planned_too():
    net = NETS["mlp"][0]()
    whole, handed = (net.memory_plan((64, 100), hand_over=flag) for flag in (False, True))
    assert handed.peak <= whole.peak - 0.4 * whole.after.timeline.grads
    net.initialize()
    net.hybridize()
    trainer = gluon.Trainer(net.collect_params(), "sgd")   # without momentum: a step makes no states
    x = mx.nd.random.uniform(shape=(64, 100))

    def step():
        with autograd.record():
            y = net(x)
        trainer.backward_and_step(y, 64)
    step()
    with track() as usage:
        step()
    planned = handed.peak - handed.after.timeline.fixed
    largest = 4 * 128 * 128   # the optimizer's own temporary array
    assert planned <= usage.peak <= planned + largest


def test_it_plans_what_no_machine_here_could_hold():
    """A million by a million: four terabytes a weight."""
    net = stack(*(nn.Dense(10**6, flatten=False) for _ in range(3)))
    with track() as usage:
        plan = net.memory_plan((1024, 10**6))
    assert plan.after.timeline.fixed > 12e12 and usage.allocated < 10**7


def test_the_table_says_what_counts():
    net = stack(*(nn.Dense(64, activation="tanh") for _ in range(30)))
    text = str(net.memory_plan((512, 64), mirror=0.5))
    for row in ("nothing shared", "freed and in place", r"mirrored \(50 %\) .*\+[\d.]+ %.*\+[\d.]+ %", "parameters and",
                r"at the peak, step \d+ of \d+", r"kB  hybridsequential\d+\.\d+"):
        assert re.search(row, text), text


def test_the_baselines_are_ordered_and_the_budget_is_kept():
    plan = NETS["transformer"][0]().memory_plan((64, 24, 32), mirror=0.5)
    assert plan.nothing_shared > plan.before.timeline.peak > plan.peak
    assert plan.activation_peak <= 0.5 * plan.before.timeline.activation_peak
    assert plan.extra_flops > 0 and 0 < plan.extra_time < 1
    assert sum(size for _, size in plan.at_peak) == plan.peak - plan.after.timeline.fixed


def test_what_kernels_take_for_themselves_is_planned_and_named():
    """oneDNN's copies of the filters: 9.4 MB, twice for their gradient; images of 7 x 7 are small beside them."""
    net = stack(*(nn.Conv2D(512, 3, padding=1, in_channels=512, use_bias=False) for _ in range(3)))
    filters = 512 * 512 * 9 * 4
    plan = net.memory_plan((2, 512, 7, 7))
    assert plan.peak - plan.after.timeline.fixed >= plan.after.timeline.grads + 2 * filters
    assert sum(size for _, size in plan.at_peak) == plan.peak - plan.after.timeline.fixed
    assert net.memory_plan((2, 512, 7, 7), mirror="sqrt").activation_peak > 2 * filters
    with pytest.raises(MXNetError, match="held up by 18.0 MiB that a kernel takes for itself; "):
        net.memory_plan((2, 512, 7, 7), mirror=0.5)


def test_pictures(tmp_path):
    pytest.importorskip("matplotlib")
    plan = NETS["mlp"][0]().memory_plan((256, 100), mirror="sqrt")
    plan.curve(tmp_path / "curve.png")
    assert (tmp_path / "curve.png").read_bytes()[:4] == b"\x89PNG"
    points = plan.tradeoff(tmp_path / "tradeoff.svg")
    assert "<svg" in (tmp_path / "tradeoff.svg").read_text()
    assert points == sorted(points) and points[-1][1] == 0
    with pytest.raises(MXNetError, match="png, svg or pdf; got|are png, svg or pdf files; got 'curve.txt'"):
        plan.curve("curve.txt")


def test_the_largest_batch_fits_and_the_next_does_not():
    net = stack(*(nn.Dense(16, activation="tanh") for _ in range(6)))
    plan = net.memory_plan((8, 16))
    whole = plan.largest_batch("40kB", recompute=False)
    assert net.memory_plan((whole, 16)).peak <= 40e3 < net.memory_plan((whole + 1, 16)).peak
    assert plan.largest_batch("40kB") > 1.2 * whole
    assert plan.largest_batch("40kB", other_bytes=10**4, recompute=False) < whole
    assert plan.largest_batch(100) == 0


def test_what_is_no_input_says_so():
    with pytest.raises(MXNetError, match=r"memory_plan: an input is an array, a shape.*got 'data'; give \(32"):
        NETS["mlp"][0]().memory_plan("data")
    with pytest.raises(MXNetError, match="largest_batch: memory is a number of bytes; got 'much'"):
        NETS["mlp"][0]().memory_plan((2, 100)).largest_batch("much")


GROWTH = {   # of process and plan
    "dense": ("stack(*(nn.Dense(1024, activation='tanh') for _ in range(40)))", (4096, 1024)),
    "unrolled LSTM": ("Unrolled()", (20, 16384, 32)),
    "transformer": ("stack(*(Encoder() for _ in range(12)))", (64, 256, 32)),
    "resnet18_v1": ("vision.resnet18_v1()", (16, 3, 224, 224)),
    "resnet50_v1": ("vision.resnet50_v1()", (8, 3, 224, 224)),
    "mobilenet_v2": ("vision.mobilenet_v2_1_0()", (16, 3, 224, 224)),
    "densenet121": ("vision.densenet121()", (8, 3, 224, 224)),
    "inception_v3": ("vision.inception_v3()", (8, 3, 299, 299)),
    "wide filters, small images": ("stack(*(nn.Conv2D(1024, 3, padding=1) for _ in range(4)))", (2, 1024, 7, 7)),
    "vgg16": ("vision.vgg16()", (4, 3, 224, 224)),
}
GROWING = """
import mxdl as mx
from mxdl import allocator, autograd
from mxdl.gluon import nn
from mxdl.gluon.model_zoo import vision
from tests.gluon.test_memory_plan import Encoder, Unrolled, stack
net = {build}
net.initialize()
net.hybridize(mirror={mirror!r}, **{options})
x = mx.nd.random.uniform(shape={shape})
def step():
    with autograd.record():
        y = net(x)
    y.backward()
def status(key):
    return next(int(line.split()[1]) * 1024 for line in open("/proc/self/status") if line.startswith(key))
step()   # oneDNN writes its machine code
net.collect_params().zero_grad()
allocator.trim()
before = status("VmRSS")
open("/proc/self/clear_refs", "w").write("5")   # the peak is now
step()
plan = net.memory_plan({shape}, mirror={mirror!r})
print((status("VmHWM") - before) / (plan.peak - plan.after.timeline.fixed))
"""


def growth(name, mirror, options=None):
    """What a process of its own grows by in a step, over the plan; its allocator gives memory back."""
    build, shape = GROWTH[name]
    script = GROWING.format(build=build, mirror=mirror, shape=shape, options=options or {})
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=600,
                         env={**os.environ, "MXDL_MALLOC": "return", "OMP_NUM_THREADS": "1"})
    assert run.returncode == 0, run.stderr
    return float(run.stdout)


@pytest.mark.slow
@pytest.mark.parametrize("mirror", [False, "sqrt"], ids=str)
@pytest.mark.parametrize("name", GROWTH)
def test_the_process_grows_by_what_was_planned(name, mirror):
    assert abs(growth(name, mirror) - 1) <= 0.1


@pytest.mark.slow
def test_compiled_code_frees_what_it_has_read():
    """Inductor orders steps as it likes (1.46); before its inputs were freed on the way, this was 1.89."""
    assert growth("dense", 0.5, {"backend": "inductor"}) <= 1.6
