"""memory.py's nets are the same nets in Gluon and in torch, and its verdicts read the figures right."""
import sys
from pathlib import Path

import pytest
import torch

import mxdl as mx

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def benchmark(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    import memory
    import memory_nets
    import memory_torch_nets
    yield memory, memory_nets, memory_torch_nets
    for name in ("memory", "memory_nets", "memory_torch_nets", "harness"):
        sys.modules.pop(name)


@pytest.mark.slow
def test_the_nets_have_equal_parameters_and_outputs(benchmark):
    memory, nets, torch_nets = benchmark
    assert len(memory.CASES) >= 6
    for case in memory.CASES:
        shape = nets.SHAPES[case]
        net = nets.gluon_net(mx, case)
        x = mx.sym.var("data")
        out = net(x)
        arguments, outputs, _ = out.infer_shape(data=shape)
        mine = sorted(s for n, s in zip(out.list_arguments(), arguments, strict=True) if n != "data")
        with torch.device("meta"):
            other, forward = torch_nets.torch_forward(case, "eager")
            result = forward(torch.empty(shape))
        theirs = sorted(tuple(p.shape) for p in other.parameters())
        assert mine == theirs, case
        assert outputs == [tuple(result.shape)], case


@pytest.mark.slow
@pytest.mark.parametrize("case", ["unet", "lstm"])
def test_checkpoints_change_no_gradient(benchmark, monkeypatch, case):
    _, nets, torch_nets = benchmark
    monkeypatch.setitem(nets.SHAPES, case, {"unet": (1, 3, 32, 32), "lstm": (9, 2, 256)}[case])
    grads = []
    for how in ("eager", "checkpoint"):
        torch.manual_seed(0)
        net, forward = torch_nets.torch_forward(case, how)
        forward(torch.rand(nets.SHAPES[case])).sum().backward()
        grads.append([p.grad for p in net.parameters()])
    assert all(torch.equal(a, b) for a, b in zip(*grads, strict=True))


def test_a_verdict_compares_the_quickest_ways_to_a_budget(benchmark):
    memory, *_ = benchmark
    figures = {"mxdl": (100, 10), "mxdl:0.5": (49, 12), "mxdl:0.25": (26, 15), "torch": (120, 9),
               "torch:checkpoint": (60, 11), "mxnet": (74, 14)}
    found = {peer: {"grown_bytes": size, "cpu_least_ms": ms} for peer, (size, ms) in figures.items()}
    found["torch:compile:0.5"] = {"error": "ended"}
    rows = {row[0]: row[2:] for row in memory.verdicts(found)}
    assert rows == {"75%": ["mxdl:0.5", "torch:checkpoint", "0.92"], "50%": ["mxdl:0.5", "none", "-"],
                    "25%": ["mxdl:0.25", "none", "-"], "10%": ["none", "none", "-"]}
