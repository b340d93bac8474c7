"""Parameters stored in the kernels' order: the same answers, no packing at create, damage refused before any answer."""
import ctypes
import re
import subprocess

import numpy as np
import pytest
import torch

import mxdl as mx
from mxdl.codegen import export_c
from mxdl.codegen.weights import checksum
from mxdl.errors import MXNetError
from mxdl.types import TensorType
from tests.codegen.compiled import COMPILER, needs_compiler
from tests.codegen.test_frame import build, shared

pytestmark = needs_compiler
SHAPE = (2, 3, 16, 17)


def many_kernels(seed: int = 0):
    """Direct, grouped, depthwise and both kinds of Winograd convolutions, a side of a channel each, a dense layer."""
    rng, x = np.random.default_rng(seed), mx.sym.var("x")
    parameters = {}

    def conv(x, name, channels, filters, kernel, pad, groups=1, bias=True):
        shape = (filters, channels // groups, kernel, kernel)
        parameters[f"{name}_weight"] = torch.tensor(rng.normal(size=shape) / shape[1] / 3, dtype=torch.float32)
        if bias:
            parameters[f"{name}_bias"] = torch.tensor(rng.normal(size=filters), dtype=torch.float32)
        return mx.sym.Convolution(x, kernel=(kernel, kernel), num_filter=filters, pad=(pad, pad), num_group=groups,
                                  no_bias=not bias, name=name)
    x = conv(x, "first", 3, 20, 3, 1)
    x = mx.sym.Activation(conv(x, "wide", 20, 32, 3, 1, bias=False), act_type="relu")
    x = conv(x, "deep", 32, 32, 3, 1, groups=32)
    x = conv(x, "half", 32, 32, 1, 0, groups=2)
    x = mx.sym.broadcast_mul(x, mx.sym.var("side"))
    parameters["side"] = torch.tensor(rng.normal(size=(1, 32, 1, 1)), dtype=torch.float32)
    x = mx.sym.FullyConnected(conv(x, "last", 32, 80, 3, 0), num_hidden=5, name="fc")
    parameters["fc_weight"] = torch.tensor(rng.normal(size=(5, 80 * 210)) / 50, dtype=torch.float32)
    parameters["fc_bias"] = torch.tensor(rng.normal(size=5), dtype=torch.float32)
    return x.graph(), parameters, {"x": TensorType(SHAPE)}


def written(folder, name, **options):
    folder.mkdir(exist_ok=True)
    graph, parameters, inputs = many_kernels()
    export_c(graph, parameters, inputs, folder / f"{name}.c", "net", weights="beside", **options)
    return folder / f"{name}.c"


def run(library, path, data):
    """The first call's answers, or the reason why there are none."""
    why = ctypes.c_char_p()
    library.net_open.restype = ctypes.c_void_p
    handle = library.net_open(str(path).encode(), ctypes.byref(why))
    if not handle:
        return why.value.decode()
    model, out = ctypes.c_void_p(handle), np.zeros((2, 5), np.float32)
    library.net_set_input(model, 0, data.ctypes.data_as(ctypes.c_void_p), ctypes.c_size_t(data.size))
    failed = library.net_forward(model)
    wrong = library.net_last_error(model).decode()
    got = library.net_get_output(model, 0, out.ctypes.data_as(ctypes.c_void_p), ctypes.c_size_t(out.size))
    library.net_free(model)
    assert (got != 0) == (failed != 0)
    return wrong if failed else out


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A packed file of the baseline instruction set, and its library."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CC", f"{COMPILER} -DNET_MAX_ISA=0")
        source = written(tmp_path_factory.mktemp("packed"), "net", packed=True)
    return source, shared(source, "-DNET_MAX_ISA=0")


def test_packed_parameters_of_the_baseline_give_the_same_answers(made, tmp_path):
    data = np.random.default_rng(1).normal(size=SHAPE).astype(np.float32)
    other = written(tmp_path, "net")
    found = [run(library, source.with_suffix(".bin"), data)
             for source, library in (made, (other, shared(other, "-DNET_MAX_ISA=0")))]
    np.testing.assert_allclose(*found, rtol=0, atol=2e-6)


@pytest.mark.slow
@pytest.mark.parametrize("winograd", [True, False])
def test_packed_parameters_give_the_answers_of_those_packed_at_create(winograd, tmp_path):
    data = np.random.default_rng(1).normal(size=SHAPE).astype(np.float32)
    found = {}
    for kind in (False, True):
        source = written(tmp_path / str(kind), "net", packed=kind, winograd=winograd)
        assert all((name in source.read_text()) == winograd for name in ("conv_winograd(x", "conv_streamed(x"))
        found[kind] = run(shared(source), source.with_suffix(".bin"), data)
    np.testing.assert_allclose(found[True], found[False], rtol=0, atol=2e-6 if winograd else 0)     # -O3 against -O1


def test_packed_parameters_are_taken_as_they_are(made, tmp_path):
    source, library = made
    data = np.ones(SHAPE, np.float32)
    whole = source.with_suffix(".bin").read_bytes()
    payload = int.from_bytes(whole[16:24], "little")
    changed = bytearray(whole)
    changed[64 + payload:] = bytes(len(whole) - 64 - payload)      # no packed parameters
    changed[40:48] = checksum(bytes(changed[64 + read_from(source):])).to_bytes(8, "little")
    (tmp_path / "empty.bin").write_bytes(changed)
    right = run(library, source.with_suffix(".bin"), data)
    assert not np.allclose(run(library, tmp_path / "empty.bin", data), right)


def read_from(source) -> int:
    return int(re.search(r"#define READ_FROM \(\(size_t\)(\d+)\)", source.read_text()).group(1))


def test_damaged_packed_parameters_give_no_answer(made, tmp_path):
    source, library = made
    whole = source.with_suffix(".bin").read_bytes()
    data = np.ones(SHAPE, np.float32)
    start = 64 + read_from(source)
    rng = np.random.default_rng(2)
    positions = [*range(24), *range(40, 48), *rng.integers(start, len(whole), size=200).tolist(), len(whole) - 1]
    damaged = tmp_path / "damaged.bin"
    for position in positions:
        changed = bytearray(whole)
        changed[position] ^= 1 << position % 8
        damaged.write_bytes(changed)
        assert str(run(library, damaged, data)).startswith("the parameters ")
    unread = bytearray(whole)       # plain parameters count where the packed ones are for other register tiles
    unread[64] ^= 1
    for order, refused in ((whole[32:40], False), (bytes(8), True)):
        unread[32:40] = order
        damaged.write_bytes(unread)
        assert (str(run(library, damaged, data)) == "the parameters are damaged: wrong checksum") == refused
    damaged.write_bytes(whole[:-64])
    assert "wrong size" in run(library, damaged, data)
    damaged.write_bytes(whole)
    assert np.isfinite(run(library, damaged, data)).all()


def test_parameters_can_be_verified_before_the_first_call(made, tmp_path):
    source, library = made
    whole = bytearray(source.with_suffix(".bin").read_bytes())
    library.net_open.restype = ctypes.c_void_p
    whole[-1] ^= 1
    (tmp_path / "damaged.bin").write_bytes(whole)
    for path, status in ((source.with_suffix(".bin"), 0), (tmp_path / "damaged.bin", -1)):
        model = ctypes.c_void_p(library.net_open(str(path).encode(), None))
        assert library.net_verify(model) == status
        assert (b"wrong checksum" in library.net_last_error(model)) == (status != 0)
        library.net_free(model)


def test_packed_files_and_others_are_not_confused(made, tmp_path):
    other, library = written(tmp_path / "b", "net"), made[1]
    assert "another model" in run(library, other.with_suffix(".bin"), np.ones(SHAPE, np.float32))


def test_what_cannot_be_packed_is_refused(tmp_path):
    graph, parameters, inputs = many_kernels()
    for options, text in [({}, "weights='inside'"), ({"weights": "beside", "precision": "float16"}, "float16")]:
        with pytest.raises(MXNetError, match=text):
            export_c(graph, parameters, inputs, tmp_path / "net.c", "net", packed=True, **options)
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_every_instruction_set_gives_the_answers_under_sanitizers(tmp_path):
    source = written(tmp_path, "net", packed=True)
    data = np.random.default_rng(1).normal(size=SHAPE).astype(np.float32)
    results = []
    for flags in (["-DNET_SCALAR"], ["-DNET_MAX_ISA=0"], ["-DNET_MAX_ISA=1"], []):
        program = build(source, *flags)
        results.append(np.frombuffer(subprocess.run([program, "net.bin"], input=data.tobytes(), check=True, timeout=60,
                                                    cwd=tmp_path, capture_output=True).stdout, np.float32))
    for found in results[1:]:
        np.testing.assert_allclose(found, results[0], rtol=0, atol=1e-5 * np.abs(results[0]).max())
