"""Libraries for other machines, under an emulator where one is here; the classes for phones."""
import importlib.util
import shutil
import subprocess

import numpy as np
import pytest

from mxdl.codegen import toolchain
from mxdl.codegen.bindings import java_class, jni_source, swift_class
from mxdl.codegen.targets import TARGETS, build
from mxdl.errors import MXNetError
from tests.codegen.nets import small_example, small_file

needs_zig = pytest.mark.skipif(importlib.util.find_spec("ziglang") is None,
                               reason="the package ziglang is not installed")
MAGIC = {"linux": b"\x7fELF", "android": b"\x7fELF", "ios": b"\xcf\xfa\xed\xfe", "macos": b"\xcf\xfa\xed\xfe"}
EMULATED = {"aarch64": "aarch64-linux-musl", "riscv64": "riscv64-linux-musl", "arm": "arm-linux-musleabihf"}


@needs_zig
@pytest.mark.parametrize("target", [name for name in TARGETS if name in ("aarch64-linux", "ios", "android")])
def test_an_object_for_another_machine(target, tmp_path):
    files = build(small_file(), target, tmp_path, "object")
    assert files[0].read_bytes().startswith(MAGIC[target.rpartition("-")[2]])
    assert (tmp_path / "net.h").is_file()
    assert (tmp_path / "Net.java").is_file() == (target == "android")
    assert (tmp_path / "Net.swift").is_file() == (target == "ios")


@needs_zig
@pytest.mark.slow
@pytest.mark.parametrize("target", TARGETS)
def test_every_target_in_every_quick_form(target, tmp_path):
    for form in ("static", "object"):
        library = build(small_file(), target, tmp_path / form, form)[0].read_bytes()
        assert library.startswith(b"!<arch>") == (form == "static") and b"net_forward" in library
    if "linux" in target or "android" in target:
        shared = build(small_file(), target, tmp_path / "shared", "shared")[0]
        content = shared.read_bytes()
        assert content.startswith(b"\x7fELF") and b"net_forward" in content
        assert b"libm.so" in content or "android" not in target   # Android's loader must be told


@needs_zig
@pytest.mark.slow
@pytest.mark.parametrize("place", ["inside", "incbin"])
@pytest.mark.parametrize("machine", EMULATED)
def test_the_file_runs_on_another_machine(machine, place, tmp_path):
    emulator = shutil.which(f"qemu-{machine}-static") or shutil.which(f"qemu-{machine}")
    if emulator is None:
        pytest.skip(f"no qemu-{machine} here: apt-get install qemu-user-static")
    made = small_file(weights=place)
    (tmp_path / "net.c").write_text(made.text)
    (tmp_path / "net.bin").write_bytes(made.blob)
    toolchain.run([*toolchain.cross(EMULATED[machine]), "-std=c11", "-Wall", "-Wextra", "-Werror", "-static",
                   "-DNET_MAIN", "net.c", "-o", "program", "-lm"], tmp_path)
    data, answer = small_example()
    done = subprocess.run([emulator, tmp_path / "program"], input=data.tobytes(), capture_output=True, timeout=120,
                          check=True)
    found = np.frombuffer(done.stdout, "<f4").reshape(answer.shape)
    assert np.abs(found - answer).max() <= 2e-5 * np.abs(answer).max()


def test_what_cannot_be_built_is_refused_before_anything_is_written(tmp_path):
    for target, form, text in [("amiga", "static", "aarch64-linux"), ("ios", "shared", "signed frameworks"),
                               ("android", "exe", "static, shared, object")]:
        with pytest.raises(MXNetError, match=text):
            build(small_file(), target, tmp_path / "out", form)
    assert not list(tmp_path.iterdir())


def test_a_missing_compiler_is_told(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MXNetError, match=r"pip install 'mxdl\[export\]'"):
        toolchain.zig()
    with pytest.raises(MXNetError, match="no compiler 'nocc'"):
        toolchain.cross("wasm32-wasi", "nocc")


@pytest.mark.slow
@pytest.mark.skipif(not (shutil.which("javac") and shutil.which("cc")), reason="no Java compiler or no C compiler here")
def test_java_calls_the_model(tmp_path):
    made = small_file(name="tiny")     # "net" is a library of Java's own
    (tmp_path / "tiny.c").write_text(made.text)
    (tmp_path / "tiny_jni.c").write_text(jni_source(made))
    (tmp_path / "mxdl").mkdir()
    (tmp_path / "mxdl" / "Tiny.java").write_text(java_class(made))
    (tmp_path / "Caller.java").write_text("""import mxdl.Tiny;
public class Caller {
    public static void main(String[] arguments) throws Exception {
        float[] x = new float[252];
        java.nio.ByteBuffer bytes = java.nio.ByteBuffer.wrap(System.in.readAllBytes());
        bytes.order(java.nio.ByteOrder.nativeOrder()).asFloatBuffer().get(x);
        try (Tiny net = new Tiny()) {
            for (float y : net.run(x)[0]) System.out.println(y);
            try { net.setInput(0, Tiny.buffer(12)); }
            catch (IllegalStateException e) { System.out.println("refused"); }
        }
    }
}
""")
    subprocess.run(["cc", "-O1", "-std=c11", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", "tiny.c",
                    "tiny_jni.c", "-o", "libtiny.so", "-lm"], check=True, timeout=120, cwd=tmp_path)
    subprocess.run(["javac", "Caller.java", "mxdl/Tiny.java"], check=True, timeout=120, cwd=tmp_path)
    data, answer = small_example()
    done = subprocess.run(["java", "-Djava.library.path=.", "Caller"], input=data.tobytes(), capture_output=True,
                          timeout=120, check=True, cwd=tmp_path)
    *numbers, last = done.stdout.decode().split()
    np.testing.assert_allclose(np.array(numbers, np.float32).reshape(2, 4), answer, rtol=2e-5, atol=1e-6)
    assert last == "refused"


def test_the_class_for_swift_names_the_functions_of_the_header():
    made = small_file()
    text = swift_class(made)
    for function in ("create_from", "set_input", "forward", "get_output", "last_error", "free"):
        assert f"net_{function}(" in text and f"net_{function}(" in made.header
    assert "[[2, 2, 9, 7]]" in text and "$" not in text.replace("$0", "")
