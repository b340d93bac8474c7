"""A call computed by several threads: the bits of one thread's answer, no race, refused where there are no pthreads."""
import re
import subprocess

import numpy as np
import pytest

import mxdl as mx
from mxdl.codegen import export_c, shares
from mxdl.codegen.formats import export_files
from mxdl.errors import MXNetError, NotBuiltError
from tests.codegen.block_nets import BERT
from tests.codegen.compiled import COMPILER, WARNINGS, needs_compiler
from tests.codegen.nets import small_net
from tests.codegen.test_packed import SHAPE, many_kernels

pytestmark = needs_compiler
EXAMPLES = np.random.default_rng(3).normal(size=(4, *SHAPE)).astype(np.float32)


def program(folder, threads, *flags, name="net"):
    """many_kernels' net on so many threads, every step in shares, compiled."""
    source = folder / f"{name}{threads}.c"
    graph, parameters, inputs = many_kernels()
    export_c(graph, parameters, inputs, source, "net", threads=threads)
    return compiled(source, *flags)


def compiled(source, *flags):
    made = source.with_suffix(f".{len(flags)}")
    subprocess.run([COMPILER, *WARNINGS.split(), *(flags or ("-O1", "-DNET_MAX_ISA=0")), "-DNET_MAIN", source, "-o",
                    made, "-lm", "-lpthread"], check=True, timeout=300)
    return made


def answer(made, data) -> bytes:
    done = subprocess.run([made], input=data.tobytes(), capture_output=True, timeout=120)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout


@pytest.fixture
def every_step_in_shares(monkeypatch):
    monkeypatch.setattr(shares, "PAYS", 1)


def test_any_number_of_threads_gives_the_same_bits(every_step_in_shares, tmp_path):
    alone = answer(program(tmp_path, 1), EXAMPLES)
    made = program(tmp_path, 3)
    text = (tmp_path / "net3.c").read_text()
    assert len(re.findall(r"switch \(share\)", text)) >= 6
    assert all(len(re.findall(rf"  {kernel}\(x", text)) > 1 for kernel in ("conv_winograd", "conv_streamed"))
    assert len(alone) == 4 * 2 * 5 * 4
    for _ in range(3):
        assert answer(made, EXAMPLES) == alone


@pytest.mark.slow
def test_without_a_team_one_thread_computes_all_shares(every_step_in_shares, tmp_path):
    alone = answer(program(tmp_path, 1), EXAMPLES)
    program(tmp_path, 3)
    assert answer(compiled(tmp_path / "net3.c", "-O1", "-DNET_NO_THREADS", "-DNET_MAX_ISA=0"), EXAMPLES) == alone
    for flags in (["-O2"], ["-O2", "-DNET_SCALAR", "-g"],
                  ["-O1", "-fsanitize=address,undefined", "-g", "-fno-sanitize-recover"]):
        two = answer(compiled(tmp_path / "net3.c", *flags), EXAMPLES)
        np.testing.assert_allclose(np.frombuffer(two, "<f4"), np.frombuffer(alone, "<f4"), rtol=1e-4, atol=1e-5)


def test_ranges_cover_everything_once():
    for total in range(1, 40):
        for count in (1, 2, 3, 7, 64):
            found = shares.ranges(total, count)
            assert [i for first, last in found for i in range(first, last)] == list(range(total))
            assert len(found) <= count and max(b - a for a, b in found) - min(b - a for a, b in found) <= 1


def test_small_nets_stay_with_one_thread(tmp_path):
    graph, parameters, inputs = small_net()
    export_c(graph, parameters, inputs, tmp_path / "net.c", "net", threads=2)
    assert "switch (share)" not in (tmp_path / "net.c").read_text()


def test_threads_are_refused_where_there_are_none(tmp_path):
    graph, parameters, inputs = many_kernels()
    for to in ("js", "html", "onnx", "windows"):
        with pytest.raises(NotBuiltError, match="threads=2"):
            export_files(graph, parameters, inputs, to, tmp_path / "net", "net", threads=2)
    for count in (0, 65):
        with pytest.raises(MXNetError, match="give 1 to 64"):
            export_c(graph, parameters, inputs, tmp_path / "net.c", "net", threads=count)
    assert not list(tmp_path.iterdir())


def without_a_meeting(text: str, number: int) -> str:
    """The file with one meeting of the threads taken out."""
    parts = text.split("    meet_(team);\n")
    assert len(parts) > 4
    return "    meet_(team);\n".join(parts[:number]) + "    meet_(team);\n".join(parts[number:])


def sanitizes_threads(folder) -> bool:
    (folder / "try.c").write_text("int main(void) { return 0; }\n")
    built = subprocess.run([COMPILER, "-fsanitize=thread", "try.c", "-o", "try"], cwd=folder, capture_output=True)
    return built.returncode == 0 and subprocess.run([folder / "try"], capture_output=True).returncode == 0


@pytest.mark.slow
def test_no_race_under_thread_sanitizer_which_would_see_one(every_step_in_shares, tmp_path):
    if not sanitizes_threads(tmp_path):
        pytest.skip("no thread sanitizer here")
    flags = ("-O1", "-g", "-DNET_MAX_ISA=0", "-fsanitize=thread")
    assert answer(program(tmp_path, 3, *flags), EXAMPLES)
    for number in (1, 2):       # before a step that reads what other shares wrote; not every step does
        (tmp_path / "bad.c").write_text(without_a_meeting((tmp_path / "net3.c").read_text(), number))
        done = subprocess.run([compiled(tmp_path / "bad.c", *flags)], input=EXAMPLES.tobytes(), capture_output=True,
                              timeout=120)
        assert b"data race" in done.stderr


@pytest.mark.slow
def test_berts_products_norms_and_functions_in_shares(every_step_in_shares, tmp_path):
    mx.random.seed(0)
    net, rng = BERT(), np.random.default_rng(4)
    net.initialize(mx.init.Normal(0.2))
    net.hybridize()
    inputs = [rng.integers(0, 30, (2, 16)).astype("int32"), rng.integers(0, 2, (2, 16)).astype("int32"),
              np.array([16, 9], "int32")]
    found = []
    for threads in (1, 2):
        source = tmp_path / f"bert{threads}.c"
        net.export_c(source, *map(mx.nd.array, inputs), name="net", threads=threads)
        found.append(answer(compiled(source), np.concatenate([array.reshape(-1) for array in inputs])))
    assert found[0] == found[1] and len(found[0]) == 4 * (2 * 16 * 24 + 2 * 24)
    text = (tmp_path / "bert2.c").read_text()
    for kernel in ("gemm_panels", "gemm_turned", "row_normalize", "v_gelu"):
        assert re.search(rf"case 1: {{.*{kernel}", text), kernel
