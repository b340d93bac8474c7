"""One file, several instruction sets: each gives the framework's answer, and the best that the machine has is taken."""
from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

import mxdl as mx
from mxdl.codegen import export_c, kernels
from mxdl.executor import CachedOp

COMPILERS = [c for c in ("gcc", "clang") if shutil.which(c)]
pytestmark = pytest.mark.skipif(not COMPILERS, reason="no C compiler on this machine")
WARNINGS = "-Wall -Wextra -Werror".split()
SHAPE = (3, 37)
CALLER = """
#define NET_HEADER_ONLY
#include "net.c"
#include <stdio.h>
int main(void) {
    float x[%d], y[%d];
    net_model *m = net_create();
    if (!m || fread(x, sizeof x, 1, stdin) != 1 || net_set_input(m, 0, x, sizeof x / 4) || net_forward(m)) return 1;
    net_get_output(m, 0, y, sizeof y / 4);
    puts(net_isa(m));
    fflush(stdout);
    fwrite(y, sizeof y, 1, stdout);
    net_free(m);
    return 0;
}
"""


@pytest.fixture(scope="module")
def net(tmp_path_factory):
    """(folder with net.c and a caller, input, expected output) of two dense layers of awkward lengths."""
    folder = tmp_path_factory.mktemp("isa")
    x = mx.sym.var("x")
    graph = mx.sym.FullyConnected(mx.sym.relu(mx.sym.FullyConnected(x, num_hidden=43, name="a")), num_hidden=21,
                                  name="b").graph()
    rng = np.random.default_rng(0)
    shapes = {"x": SHAPE, "a_weight": (43, 37), "a_bias": (43,), "b_weight": (21, 43), "b_bias": (21,)}
    arrays = {name: mx.nd.array(rng.normal(size=shape)) for name, shape in shapes.items()}
    export_c(graph, {k: v.to_torch() for k, v in arrays.items() if k != "x"}, {"x": SHAPE}, folder / "net.c", "net")
    (folder / "caller.c").write_text(CALLER % (3 * 37, 3 * 21))
    expected = CachedOp(graph)(*[arrays[n.name] for n in graph.inputs])[0].asnumpy()
    return folder, arrays["x"].asnumpy(), expected


def answer(net, compiler: str, *flags: str, standard: str = "-std=c11") -> tuple[str, np.ndarray]:
    """(instruction set, output) of net.c compiled by `compiler` from another folder than its own."""
    folder, x, expected = net
    program, model = folder / "program", folder / "model.o"
    language = ["-x", "c++"] if "++" in standard else []
    subprocess.run([compiler, *language, standard, "-O2", *WARNINGS, *flags, "-c", folder / "net.c", "-o", model],
                   check=True, timeout=120, cwd="/")
    subprocess.run([compiler, folder / "caller.c", model, "-o", program, "-lm"], check=True, timeout=120)
    out = subprocess.run([program], input=x.astype("<f4").tobytes(), capture_output=True, check=True, timeout=60).stdout
    isa, _, rest = out.partition(b"\n")
    return isa.decode(), np.frombuffer(rest, "<f4").reshape(expected.shape)


def machine_has() -> str:
    """The best instruction set of this machine, as Linux tells it."""
    words = set(Path("/proc/cpuinfo").read_text().split())
    if {"avx512f", "avx512vl", "avx512dq", "avx512bw"} <= words:
        return "avx512"
    return "avx2" if {"avx2", "fma"} <= words else "simd128"


@pytest.mark.parametrize("compiler", COMPILERS)
@pytest.mark.parametrize("standard", ["-std=c11", "-std=gnu11", "-std=c++17"])
def test_plain_compilation_takes_the_best_instruction_set(net, compiler, standard):
    isa, got = answer(net, compiler, standard=standard)
    assert isa == machine_has()
    np.testing.assert_allclose(got, net[2], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("compiler", COMPILERS)
def test_each_instruction_set_gives_the_answer_and_those_with_fma_the_same_bits(net, compiler):
    answers = dict(answer(net, compiler, flag) for flag in ("-DNET_MAX_ISA=2", "-DNET_MAX_ISA=1", "-DNET_MAX_ISA=0",
                                                            "-DNET_SCALAR"))
    assert len(answers) >= 2, answers.keys()
    for isa, got in answers.items():
        np.testing.assert_allclose(got, net[2], rtol=1e-5, atol=1e-5, err_msg=isa)
    if {"avx512", "avx2"} <= answers.keys():
        np.testing.assert_array_equal(answers["avx512"], answers["avx2"])


@pytest.mark.parametrize("compiler", COMPILERS)
def test_flags_that_name_an_instruction_set_are_obeyed(net, compiler):
    if machine_has() == "simd128":
        pytest.skip("this machine has no AVX2 to run")
    isa, got = answer(net, compiler, "-mavx2", "-mfma")
    assert isa == "avx2"
    np.testing.assert_allclose(got, net[2], rtol=1e-5, atol=1e-5)


def test_every_name_of_a_kernel_is_found():
    c = ("typedef float pair __attribute__((vector_size(8)));\nstatic const float table[] = {1, 2};\n"
         "INLINE pair twice(pair x) { return x + x; }\nstatic __inline int plain(\n    int y) { return y; }\n"
         "NOINLINE void last(void) { twice(1); }\n")
    assert kernels.defined(c) == ["pair", "table", "twice", "plain", "last"]
    for file in kernels.FILES:
        lines = kernels.text(file).splitlines()
        functions = [re.search(r"(\w+)\(", line)[1] for line in lines if re.match(r"(INLINE|NOINLINE)\b", line)]
        assert functions and set(functions) <= set(kernels.defined(kernels.text(file)))
