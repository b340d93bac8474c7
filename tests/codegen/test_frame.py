"""The exported file's own behaviour: places of the parameters, refusals, MXNet's names, the self-test."""
import ctypes
import re
import shutil
import subprocess
import threading

import numpy as np
import pytest
import torch

import mxdl as mx
from mxdl.codegen import export_c
from mxdl.codegen.frame import c_string
from mxdl.codegen.selftest import formula_input
from mxdl.codegen.weights import checksum, pack
from mxdl.errors import MXNetError
from mxdl.types import TensorType

COMPILER = next((c for c in ("cc", "gcc", "clang") if shutil.which(c)), None)
pytestmark = pytest.mark.skipif(COMPILER is None, reason="no C compiler on this machine")
FLAGS = "-O1 -g -std=c11 -Wall -Wextra -Werror -fsanitize=address,undefined -fno-sanitize-recover".split()
SHAPE = (2, 5)


def dense_net(seed: int = 3):
    """A graph with an input named strangely, its parameters and its answer for ones."""
    rng = np.random.default_rng(seed)
    x = mx.sym.var('in "put\\\n*/?')
    graph = mx.sym.softmax(mx.sym.FullyConnected(x, num_hidden=3, name="fc")).graph()
    parameters = {"fc_weight": torch.tensor(rng.normal(size=(3, 5)), dtype=torch.float32),
                  "fc_bias": torch.tensor(rng.normal(size=3), dtype=torch.float32)}
    answer = torch.softmax(torch.ones(SHAPE) @ parameters["fc_weight"].T + parameters["fc_bias"], 1).numpy()
    return graph, parameters, {x.name: SHAPE}, answer


def build(source, *flags, main="-DNET_MAIN", compiler=None):
    program = source.with_name(f"program{abs(hash(flags)) % 10**6}")
    subprocess.run([*(compiler or [COMPILER, *FLAGS]), main, *flags, source.name, "-o", program.name, "-lm"],
                   check=True, timeout=120, cwd=source.parent)
    return program


def answers(program, *arguments, data=None, code=0):
    data = np.ones(SHAPE, "<f4") if data is None else data
    done = subprocess.run([program, *arguments], input=data.tobytes(), capture_output=True, timeout=60,
                          cwd=program.parent)
    assert done.returncode == code, done.stderr.decode()
    return done.stderr.decode() if code else np.frombuffer(done.stdout, "<f4").reshape(SHAPE[0], 3)


@pytest.mark.parametrize("place", ["inside", "beside", "incbin"])
def test_parameters_may_lie_in_each_place(place, tmp_path):
    graph, parameters, inputs, answer = dense_net()
    export_c(graph, parameters, inputs, tmp_path / "net.c", "net", weights=place)
    program = build(tmp_path / "net.c")
    assert (tmp_path / "net.bin").exists() == (place != "inside")
    arguments = ["net.bin"] if place == "beside" else []
    np.testing.assert_allclose(answers(program, *arguments), answer, rtol=1e-5)
    if place == "beside":
        assert "not in this program: open net.bin" in answers(program, code=1)


def test_parameters_by_the_preprocessor(tmp_path):
    clang = zig_or_clang()
    graph, parameters, inputs, answer = dense_net()
    export_c(graph, parameters, inputs, tmp_path / "net.c", "net", weights="embed")
    flags = "-O1 -std=c11 -Wall -Wextra -Werror".split()
    np.testing.assert_allclose(answers(build(tmp_path / "net.c", compiler=[*clang, *flags])), answer, rtol=1e-5)


def zig_or_clang() -> list[str]:
    """A compiler that knows #embed."""
    try:
        import ziglang
    except ImportError:
        pytest.skip("no compiler with #embed here: the package ziglang is not installed")
    return [f"{ziglang.__path__[0]}/zig", "cc"]


def test_retrained_parameters_take_the_place_of_the_old_and_other_models_do_not(tmp_path):
    graph, parameters, inputs, _ = dense_net()
    export_c(graph, parameters, inputs, tmp_path / "net.c", "net")
    program = build(tmp_path / "net.c")
    _, retrained, _, answer = dense_net(seed=4)
    export_c(graph, retrained, inputs, tmp_path / "again.c", "net", weights="beside")
    np.testing.assert_allclose(answers(program, "again.bin"), answer, rtol=1e-5)
    x = mx.sym.var("x")
    export_c(mx.sym.FullyConnected(x, num_hidden=2, no_bias=True, name="fc").graph(),
             {"fc_weight": torch.ones(2, 5)}, {"x": SHAPE}, tmp_path / "other.c", "net", weights="beside")
    assert "belong to another model" in answers(program, "other.bin", code=1)


def test_every_damaged_byte_of_a_file_of_parameters_is_refused(tmp_path):
    graph, parameters, inputs, _ = dense_net()
    export_c(graph, parameters, inputs, tmp_path / "net.c", "net", weights="beside")
    whole = (tmp_path / "net.bin").read_bytes()
    library = shared(tmp_path / "net.c")
    refused = 0
    meaningful = [i for i in range(len(whole)) if not 32 <= i < 64]      # 32 to 63 are filling
    for position in meaningful:
        damaged = bytearray(whole)
        damaged[position] ^= 1 << position % 8
        refused += load(library, bytes(damaged)) is not None
    for length in range(0, len(whole), 7):
        refused += load(library, whole[:length]) is not None
    assert load(library, whole) is None and load(library, whole + b"\0" * 64) is not None
    assert refused == len(meaningful) + -(-len(whole) // 7) > 100


def shared(source, *flags):
    subprocess.run([COMPILER, "-O1", "-shared", "-fPIC", *flags, source, "-o", source.with_suffix(".so"), "-lm"],
                   check=True, timeout=120)
    library = ctypes.CDLL(str(source.with_suffix(".so")))
    for name in ("net_create", "net_create_from"):
        getattr(library, name).restype = ctypes.c_void_p
    library.net_last_error.restype = library.net_info.restype = ctypes.c_char_p
    return library


def load(library, blob: bytes) -> str | None:
    """What is wrong with the block, or None."""
    room = ctypes.create_string_buffer(len(blob) + 64)
    start = ctypes.addressof(room) + -ctypes.addressof(room) % 64
    ctypes.memmove(start, blob, len(blob))
    why = ctypes.c_char_p()
    model = library.net_create_from(ctypes.c_void_p(start), ctypes.c_size_t(len(blob)), ctypes.byref(why))
    if model:
        library.net_free(ctypes.c_void_p(model))
        return None
    assert why.value.startswith(b"the parameters ")
    return why.value.decode()


def test_calls_with_wrong_arguments_are_refused_in_words(tmp_path):
    graph, parameters, inputs, _ = dense_net()
    export_c(graph, parameters, inputs, tmp_path / "net.c", "net")
    library = shared(tmp_path / "net.c")
    model = ctypes.c_void_p(library.net_create())
    data = (ctypes.c_float * 10)()
    for call, text in [(lambda: library.net_forward(model), b"not every input is set"),
                       (lambda: library.net_set_input(model, 1, data, ctypes.c_size_t(10)), b"no such input"),
                       (lambda: library.net_set_input(model, -1, data, ctypes.c_size_t(10)), b"no such input"),
                       (lambda: library.net_set_input(model, 0, data, ctypes.c_size_t(9)), b"wrong number"),
                       (lambda: library.net_set_input(model, 0, None, ctypes.c_size_t(10)), b"no data"),
                       (lambda: library.net_get_output(model, 1, data, ctypes.c_size_t(6)), b"no such output"),
                       (lambda: library.net_get_output(model, 0, data, ctypes.c_size_t(7)), b"wrong number")]:
        assert call() == -1 and text in library.net_last_error(model)
    library.net_free(model)
    assert b'"graph"' in library.net_info()


@pytest.mark.parametrize("policy,accepted", [("accept", True), ("refuse", False), ("zero", True)])
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_policies_for_nan(policy, accepted, bad, tmp_path):
    graph, parameters, inputs, _ = dense_net()
    export_c(graph, parameters, inputs, tmp_path / "net.c", "net", nan=policy)
    data = np.ones(SHAPE, "<f4")
    data[1, 4] = bad
    program = build(tmp_path / "net.c")
    if not accepted:
        assert "NaN or infinity" in answers(program, data=data, code=1)
        return
    found, clean = answers(program, data=data), np.where(np.isfinite(data), data, 0)
    assert np.isfinite(found[0]).all() and np.isfinite(found[1]).all() == (policy == "zero")
    if policy == "zero":
        np.testing.assert_array_equal(found, answers(program, data=clean))


def test_the_self_test_passes_and_notices_other_parameters(tmp_path):
    graph, parameters, inputs, _ = dense_net()
    export_c(graph, parameters, inputs, tmp_path / "net.c", "net")
    program = build(tmp_path / "net.c", main="-DNET_SELFTEST")
    assert subprocess.run([program], timeout=60, capture_output=True).returncode == 0
    export_c(graph, dense_net(4)[1], inputs, tmp_path / "again.c", "net", weights="beside")
    done = subprocess.run([program, tmp_path / "again.bin"], timeout=60, capture_output=True, text=True)
    assert done.returncode == 1 and "WRONG" in done.stdout


def test_the_header_stands_alone_and_a_static_arena_is_enough(tmp_path):
    graph, parameters, inputs, answer = dense_net()
    export_c(graph, parameters, inputs, tmp_path / "net.c", "net", header=tmp_path / "net.h")
    (tmp_path / "caller.c").write_text("""#include "net.h"
#include <stdio.h>
static _Alignas(64) unsigned char arena[4096];
int main(void) {
    float x[10] = {1, 1, 1, 1, 1, 1, 1, 1, 1, 1}, y[6];
    const char *why;
    if (sizeof arena < NET_ARENA_BYTES || net_init(arena, NET_ARENA_BYTES - 1, 0, 0, &why)) return 1;
    if (net_init(arena + 4, sizeof arena - 4, 0, 0, 0)) return 2;
    net_model *m = net_init(arena, sizeof arena, 0, 0, &why);
    if (!m || net_set_input(m, 0, x, 10) || net_forward(m) || net_get_output(m, 0, y, 6)) return 3;
    return fwrite(y, sizeof y, 1, stdout) != 1;
}
""")
    no_malloc = ["-DNET_NO_MALLOC", "-Dmalloc=forbidden_malloc", "-Dcalloc=forbidden_calloc", "-c"]
    for source, flags in (("net.c", no_malloc), ("caller.c", ["-c"])):
        subprocess.run([COMPILER, *FLAGS, *flags, source], check=True, timeout=60, cwd=tmp_path)
    subprocess.run([COMPILER, *FLAGS, "net.o", "caller.o", "-o", "caller", "-lm"], check=True, timeout=60, cwd=tmp_path)
    np.testing.assert_allclose(answers(tmp_path / "caller"), answer, rtol=1e-5)
    for language in ("c11", "c++17"):
        compiler = [COMPILER, "-x", "c"] if language == "c11" else ["g++", "-x", "c++"]
        subprocess.run([*compiler, f"-std={language}", "-Wall", "-Wextra", "-Werror", "-pedantic", "-fsyntax-only",
                        "net.h"], check=True, timeout=60, cwd=tmp_path)


def test_a_freestanding_build_reads_no_header_but_the_compilers(tmp_path):
    graph, parameters, inputs, _ = dense_net()
    export_c(graph, parameters, inputs, tmp_path / "net.c", "net")
    done = subprocess.run([COMPILER, "-ffreestanding", "-O1", "-std=c11", "-Wall", "-Wextra", "-Werror", "-M", "net.c"],
                          check=True, timeout=60, cwd=tmp_path, capture_output=True, text=True)
    read = set(re.findall(r"\S+\.h", done.stdout))
    assert {path.rpartition("/")[2] for path in read} <= {"stddef.h", "stdint.h", "stdint-gcc.h"}
    subprocess.run([COMPILER, "-ffreestanding", "-O1", "-std=c11", "-Wall", "-Wextra", "-Werror", "-c", "net.c"],
                   check=True, timeout=60, cwd=tmp_path)


def test_callers_of_mxnets_predict_api_link(tmp_path):
    graph, parameters, inputs, answer = dense_net()
    export_c(graph, parameters, inputs, tmp_path / "net.c", "net")
    key = c_string(next(iter(inputs)))
    (tmp_path / "caller.c").write_text("""#define NET_MXNET_API
#include "net.c"
int main(void) {
    const char *keys[] = {KEY};
    const mx_uint begin[] = {0, 2}, wrong[] = {2, 6}, right[] = {2, 5};
    PredictorHandle h;
    mx_uint *shape, ndim;
    float x[10] = {1, 1, 1, 1, 1, 1, 1, 1, 1, 1}, y[6];
    if (!MXPredCreate("", NULL, 0, 1, 0, 1, keys, begin, wrong, &h) || !MXGetLastError()[0]) return 1;
    if (!MXPredCreate("", NULL, 0, 2, 0, 1, keys, begin, right, &h)) return 2;
    if (!MXPredCreate("", "short", 5, 1, 0, 1, keys, begin, right, &h)) return 3;
    if (MXPredCreate("", NULL, 0, 1, 0, 1, keys, begin, right, &h)) return 4;
    if (!MXPredForward(h) || !MXPredSetInput(h, "nobody", x, 10) || MXPredSetInput(h, keys[0], x, 10)) return 5;
    if (MXPredForward(h) || MXPredGetOutputShape(h, 0, &shape, &ndim) || !MXPredGetOutput(h, 0, y, 5)) return 6;
    if (ndim != 2 || shape[0] != 2 || shape[1] != 3 || MXPredGetOutput(h, 0, y, 6) || MXPredFree(h)) return 7;
    return fwrite(y, sizeof y, 1, stdout) != 1;
}
""".replace("KEY", key))
    subprocess.run([COMPILER, *FLAGS, "caller.c", "-o", "caller", "-lm"], check=True, timeout=60, cwd=tmp_path)
    np.testing.assert_allclose(answers(tmp_path / "caller"), answer, rtol=1e-5)


def test_two_handles_in_two_threads(tmp_path):
    graph, parameters, inputs, _ = dense_net()
    export_c(graph, parameters, inputs, tmp_path / "net.c", "net")
    library = shared(tmp_path / "net.c")
    wrong = []

    def work(number):
        model = ctypes.c_void_p(library.net_create())
        data, out = (ctypes.c_float * 10)(*([number] * 10)), (ctypes.c_float * 6)()
        seen = set()
        for _ in range(200):
            library.net_set_input(model, 0, data, ctypes.c_size_t(10))
            library.net_forward(model)
            library.net_get_output(model, 0, out, ctypes.c_size_t(6))
            seen.add(bytes(out))
        library.net_free(model)
        if len(seen) != 1:
            wrong.append(number)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not wrong and not any(thread.is_alive() for thread in threads)


def test_the_formula_of_the_self_test_and_the_checksum_by_hand():
    state, expected = 2, []
    for _ in range(1000):
        state = (1664525 * state + 1013904223) % 2**32
        expected.append((state >> 8) / 8388608 - 1)
    np.testing.assert_array_equal(formula_input(TensorType((10, 100)), 1).reshape(-1), np.array(expected, np.float32))
    assert set(formula_input(TensorType((50,), "int32"), 0).tolist()) == {1}
    payload = np.random.default_rng(0).bytes(64 * 5)
    words = np.frombuffer(payload, "<u8").reshape(5, 8).tolist()
    a, b = [0] * 8, [0] * 8
    for row in words:
        for lane, word in enumerate(row):
            a[lane] = (a[lane] + word) % 2**64
            b[lane] = (b[lane] + a[lane]) % 2**64
    mixed = 0
    for lane in a + b:
        mixed = (mixed ^ lane) * 0x9E3779B97F4A7C15 % 2**64
        mixed ^= mixed >> 29
    assert checksum(payload) == mixed


def test_parameters_keep_their_dtypes():
    tensors = [torch.arange(3, dtype=torch.int64), torch.ones(2, dtype=torch.bfloat16), torch.ones(1)]
    packed = pack(tensors)
    assert packed.offsets == [0, 64, 128] and packed.payload_bytes == 192
    assert packed.blob[64:88] == np.arange(3, dtype="<i8").tobytes() and packed.blob[128:132] == b"\x80\x3f\x80\x3f"
    assert pack([torch.ones(2)]).layout != pack([torch.ones(3)]).layout
    assert pack([torch.ones(2)]).layout == pack([torch.zeros(2)]).layout


def test_unknown_options_are_refused(tmp_path):
    graph, parameters, inputs, _ = dense_net()
    for options, text in [({"weights": "cloud"}, "inside, beside"), ({"nan": "maybe"}, "accept, refuse")]:
        with pytest.raises(MXNetError, match=text):
            export_c(graph, parameters, inputs, tmp_path / "net.c", "net", **options)
    assert not list(tmp_path.iterdir())
