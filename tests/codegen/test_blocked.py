"""Convolutions, pooling and elementwise operators on channel-blocked buffers: the C file agrees with the framework for
every instruction set, for lengths and attributes that are awkward on purpose."""
from __future__ import annotations

import re
import shutil
import subprocess

import numpy as np
import pytest

import mxdl as mx
from mxdl.codegen import export_c
from mxdl.executor import CachedOp
from mxdl.graph import Value
from mxdl.passes.infer_types import infer_types
from mxdl.types import TensorType
from tests.codegen.test_instruction_sets import machine_has

COMPILERS = [c for c in ("gcc", "clang") if shutil.which(c)]
pytestmark = pytest.mark.skipif(not COMPILERS, reason="no C compiler on this machine")
FLAGS = "-O1 -std=c11 -Wall -Wextra -Werror".split()
SANITIZERS = "-fsanitize=address,undefined -fno-sanitize-recover".split()
#: one section each, so that compilation is short
LEVELS = {"avx512": "-march=x86-64-v4", "avx2": "-march=x86-64-v3", "simd128": "-DNET_MAX_ISA=0",
          "scalar": "-DNET_SCALAR"}


def levels() -> list[str]:
    """The flags of the instruction sets that this machine can run."""
    best = list(LEVELS).index(machine_has())
    return list(LEVELS.values())[best:]


def conv(x, filters, kernel=3, **attrs):
    kernel = (kernel, kernel) if isinstance(kernel, int) else kernel
    attrs = {"pad": tuple(k // 2 for k in kernel), "no_bias": True, **attrs}
    return mx.sym.Convolution(x, kernel=kernel, num_filter=filters, **attrs)


def norm(x, **attrs):
    return mx.sym.BatchNorm(x, fix_gamma=False, **attrs)


def relu(x):
    return mx.sym.Activation(x, act_type="relu")


def convolutions(x):
    """x: [., 24, 13, 15]"""
    yield conv(x, 5, no_bias=False)                                     # Winograd does not pay: few filters
    yield conv(x, 40, no_bias=False)                                    # Winograd's larger tile
    yield conv(x, 24, pad=(0, 0))
    yield conv(x, 16, pad=(2, 2))
    yield conv(x, 20, 1)
    yield conv(x, 36, 1, stride=(2, 2))
    yield conv(x, 18, 5, stride=(2, 1), no_bias=False)
    yield conv(x, 33, (1, 7))
    yield conv(x, 17, dilate=(2, 1), pad=(2, 1))
    yield conv(x, 24, num_group=24, no_bias=False)                      # depthwise
    yield conv(x, 24, 5, num_group=24, stride=(2, 2), dilate=(2, 2), pad=(4, 4))
    yield conv(x, 12, num_group=4)                                      # groups that are no whole blocks
    yield conv(conv(x, 32, 1), 64, num_group=2)                         # groups that are
    yield conv(conv(x, 3, 1), 19, 7, stride=(2, 2))                     # planes of few channels
    small = mx.sym.Pooling(conv(x, 96, 1), kernel=(2, 2), stride=(2, 2), pool_type="avg")
    yield conv(small, 96)                                               # several rows a tile; filters as they stream
    yield conv(conv(x, 40, (10, 1), pad=(0, 0)), 40, pad=(1, 3), no_bias=False)     # the same, a row of five tiles
    yield conv(conv(x, 96, (5, 7), pad=(0, 0)), 96)                     # Winograd's smaller tile
    yield conv(conv(x, 24, 1, pad=(3, 2)), 40, no_bias=False)           # Winograd: tiles beyond the edge
    yield conv(conv(x, 16, 1, pad=(3, 2)), 128)                         # Winograd: several groups of filters
    few = conv(x, 3, 1, pad=(14, 15))                                   # 41 x 45
    yield conv(few, 33, 7, stride=(2, 2))                               # two rows and columns a pixel
    yield conv(few, 70, 7, stride=(2, 2), pad=(0, 2), no_bias=False)
    yield conv(conv(x, 4, (1, 2), pad=(14, 15)), 40, 7, stride=(2, 2), pad=(4, 5))
    yield conv(conv(x, 1, 1, pad=(14, 15)), 80, 7, stride=(2, 2), pad=(1, 0))


def tails(x):
    y = conv(x, 24)
    yield relu(norm(conv(x, 32)) + conv(x, 32, 1))                      # the side is computed before or after
    yield relu(norm(conv(x, 24)) + x)
    yield relu(mx.sym.clip(conv(x, 16, 1), -0.5, 0.75) * 2 - 0.25)
    yield mx.sym.LeakyReLU(conv(x, 24, num_group=24) - y, slope=0.1)
    yield y + relu(y)                                                   # a value with two readers
    yield y - conv(y, 24)                                               # the chain is the second operand
    yield mx.sym.broadcast_mul(y, mx.sym.Pooling(y, global_pool=True, pool_type="avg"))
    yield relu(norm(mx.sym.Concat(y, x, dim=1)))                        # no convolution to fold into
    yield mx.sym.sigmoid(y) + y                                         # an operator without vectors between blocks
    small = mx.sym.Pooling(y, kernel=(2, 2), stride=(2, 2), pool_type="avg")
    yield relu(norm(conv(small, 64)) + conv(small, 64, 1))              # few tiles and a side


def windows(x):
    y = conv(x, 20)
    yield mx.sym.Pooling(y, kernel=(3, 3), stride=(2, 2), pad=(1, 1), pool_type="max")
    yield mx.sym.Pooling(y, kernel=(2, 3), stride=(2, 2), pool_type="max", pooling_convention="full")
    yield mx.sym.Pooling(y, kernel=(3, 3), pad=(1, 1), pool_type="avg")
    yield mx.sym.Pooling(y, kernel=(3, 3), pad=(1, 1), pool_type="avg", count_include_pad=False)
    yield mx.sym.Pooling(y, kernel=(2, 2), pool_type="sum")
    yield mx.sym.flatten(mx.sym.Pooling(y, global_pool=True, pool_type="avg"))
    yield mx.sym.flatten(mx.sym.Pooling(conv(x, 32), global_pool=True, pool_type="max"))
    yield mx.sym.Concat(y, conv(x, 32), conv(x, 7, 1), dim=1)
    yield mx.sym.Concat(conv(x, 16), conv(x, 48), y, dim=1)
    yield mx.sym.Concat(x, conv(x, 8), dim=1)                           # an input beside a blocked value


def build(part, shape):
    """(graph, arrays by name) of all cases of `part`, an output each."""
    graph = mx.sym.Group(list(part(mx.sym.var("x")))).graph()
    types = infer_types(graph, {"x": TensorType(shape)})
    rng = np.random.default_rng(5)
    low = {True: 0.3, False: -1.0}
    return graph, {n.name: mx.nd.array(rng.uniform(low["var" in n.name or "gamma" in n.name], 1,
                                                   types[Value(n, 0)].shape)) for n in graph.inputs}


def outputs(source, folder, x: np.ndarray, *flags: str, weights: tuple = ()) -> np.ndarray:
    program = folder / "program"
    subprocess.run([COMPILERS[0], *FLAGS, *flags, "-DNET_MAIN", source, "-o", program, "-lm"], check=True, timeout=200)
    done = subprocess.run([program, *weights], input=x.astype("<f4").tobytes(), capture_output=True, timeout=60,
                          check=True)
    return np.frombuffer(done.stdout, "<f4")


PARTS = pytest.mark.parametrize("part,count,images", [(convolutions, 23, 1), (tails, 10, 2), (windows, 10, 2)],
                                ids=lambda p: getattr(p, "__name__", str(p)))


def check(part, count: int, images: int, tolerance: float, tmp_path, all_flags: list[list[str]], winograd: bool):
    shape = (images, 24, 13, 15)
    graph, arrays = build(part, shape)
    export_c(graph, {k: v.to_torch() for k, v in arrays.items() if k != "x"}, {"x": shape}, tmp_path / "net.c", "net",
             winograd=winograd)
    text = (tmp_path / "net.c").read_text()
    sides = set(re.findall(r"  winograd_gather\((\d), x", text))
    sides |= {f"{tiles} streamed" for tiles in re.findall(r"  streamed_products\(.*, (\d+), \d+\);", text)}
    if winograd and part is convolutions:
        assert sides >= {"4", "6", "7", "4 streamed", "5 streamed"}
    assert winograd or not sides
    expected = [out.asnumpy() for out in CachedOp(graph)(*[arrays[n.name] for n in graph.inputs])]
    assert len(expected) == count
    assert all_flags
    for flags in all_flags:
        got = outputs(tmp_path / "net.c", tmp_path, arrays["x"].asnumpy(), *flags)
        start = 0
        for number, out in enumerate(expected):
            found = got[start:start + out.size].reshape(out.shape)
            start += out.size
            error = np.abs(found - out).max() / np.abs(out).max()
            assert error <= tolerance, f"{flags}: case {number} of {part.__name__} is off by {error:.1e}"
        assert start == got.size


@PARTS
def test_every_instruction_set_agrees_with_the_framework(part, count, images, tmp_path):
    check(part, count, images, 2e-5, tmp_path, [[flag] for flag in levels()], winograd=True)


def test_winograd_passes_over_many_channels(tmp_path):
    def deep(x):
        yield conv(conv(x, 256, 1), 16)
        yield conv(conv(x, 256, 1, pad=(3, 2)), 64)
    check(deep, 2, 1, 2e-5, tmp_path, [[levels()[0]]], winograd=True)


@PARTS
def test_without_winograd_only_the_order_of_sums_differs(part, count, images, tmp_path):
    check(part, count, images, 1e-6, tmp_path, [[levels()[0]]], winograd=False)


@pytest.mark.slow
@PARTS
def test_nothing_is_read_or_written_out_of_bounds(part, count, images, tmp_path):
    flags = [[flag, *SANITIZERS, "-DFETCH_READS"] for flag in levels()]
    check(part, count, images, 2e-5, tmp_path, flags, winograd=True)


@pytest.mark.slow
@pytest.mark.parametrize("last", [dict(kernel=1, filters=64), dict(kernel=3, filters=64, stride=(2, 2)),
                                  dict(kernel=3, filters=64)], ids=str)
def test_what_is_fetched_ahead_lies_in_the_arena(last, tmp_path):
    """The last parameters of the arena, whose fetching would go on for longer than what is behind them."""
    def deep(x):
        yield conv(conv(x, 512, 1), **last)
    shape = (1, 24, 13, 15)
    graph, arrays = build(deep, shape)
    export_c(graph, {k: v.to_torch() for k, v in arrays.items() if k != "x"}, {"x": shape}, tmp_path / "net.c", "net",
             weights="beside")
    for flag in levels()[-3:-1]:
        outputs(tmp_path / "net.c", tmp_path, arrays["x"].asnumpy(), flag, "-fsanitize=address", "-DFETCH_READS",
                weights=(tmp_path / "net.bin",))


def test_avx512_and_avx2_give_the_same_bits(tmp_path):
    shape = (1, 24, 13, 15)
    graph, arrays = build(convolutions, shape)
    export_c(graph, {k: v.to_torch() for k, v in arrays.items() if k != "x"}, {"x": shape}, tmp_path / "net.c", "net")
    if machine_has() != "avx512":
        pytest.skip("this machine has no AVX-512 to run")
    wide, narrow = (outputs(tmp_path / "net.c", tmp_path, arrays["x"].asnumpy(), LEVELS[name])
                    for name in ("avx512", "avx2"))
    np.testing.assert_array_equal(wide, narrow)


def test_max_pooling_passes_nan_on(tmp_path):
    shape = (1, 24, 13, 15)
    graph, arrays = build(lambda x: [mx.sym.Pooling(conv(x, 16, 1), kernel=(3, 3), stride=(2, 2), pool_type="max")],
                          shape)
    export_c(graph, {k: v.to_torch() for k, v in arrays.items() if k != "x"}, {"x": shape}, tmp_path / "net.c", "net")
    x = arrays["x"].asnumpy()
    x[0, 3, 4, 5] = np.nan      # neither the first nor the last of the windows that hold it
    arrays["x"] = mx.nd.array(x)
    expected = CachedOp(graph)(*[arrays[n.name] for n in graph.inputs])[0].asnumpy()
    got = outputs(tmp_path / "net.c", tmp_path, x, levels()[0]).reshape(expected.shape)
    assert np.isnan(expected).any()
    np.testing.assert_allclose(got, expected, rtol=1e-5)
