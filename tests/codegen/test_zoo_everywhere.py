"""Every net of the model zoo as C++17 without Winograd, as WebAssembly, for aarch64 under an emulator."""
from __future__ import annotations

import importlib.util
import json
import shutil
import subprocess
import warnings

import numpy as np
import pytest

from mxdl.codegen import toolchain, web
from mxdl.codegen.frame import CFile
from mxdl.codegen.web import js_files
from tests.codegen.test_blocked import LEVELS, machine_has
from tests.codegen.zoo import NAMES, Case, case

pytestmark = pytest.mark.slow
CPP = next((c for c in ("g++", "clang++") if shutil.which(c)), None)
QEMU = shutil.which("qemu-aarch64-static") or shutil.which("qemu-aarch64")
HAS_ZIG = importlib.util.find_spec("ziglang") is not None
RELATIVE, DIRECT = 2e-5, 1e-6   # Winograd's transforms round more than the framework's sums


@pytest.fixture(scope="module", params=NAMES)
def net(request) -> Case:
    """Each net once: pytest runs the tests of a module's parameter one after the other."""
    return case(request.param)


@pytest.fixture(scope="module")
def made(net) -> CFile:
    return net.source()


def missing(what: str) -> None:
    """Skip, and say it where warnings are shown: a machine without the tool has not checked the net."""
    warnings.warn(f"no {what} here: nothing was checked", stacklevel=2)
    pytest.skip(f"no {what} here")


def test_the_zoo_is_found():
    assert len(NAMES) == 34


def test_as_cpp_without_winograd(net, tmp_path):
    if CPP is None:
        missing("C++ compiler")
    made = net.source(winograd=False)
    (tmp_path / "net.cpp").write_text(made.text)
    (tmp_path / "net.bin").write_bytes(made.blob)
    subprocess.run([CPP, "-std=c++17", "-O1", LEVELS[machine_has()], "-Wall", "-Wextra", "-Werror", "-DNET_MAIN",
                    "net.cpp", "-o", "program", "-lm"], check=True, timeout=900, cwd=tmp_path)
    found = answer(["./program", "net.bin"], net.x, tmp_path)
    if net.off(found) > DIRECT:     # VGG's long sums: the framework itself is about as far from float64
        exact = net.exact()
        own, its = (np.abs(numbers - exact).max() for numbers in (found.reshape(exact.shape), net.expected))
        assert own <= max(DIRECT * np.abs(exact).max(), 2 * its)


def test_for_aarch64_under_qemu(net, made, tmp_path):
    if QEMU is None or not HAS_ZIG:
        missing("qemu-aarch64 or no ziglang")
    (tmp_path / "net.c").write_text(made.text)
    (tmp_path / "net.bin").write_bytes(made.blob)
    toolchain.run([*toolchain.cross("aarch64-linux-musl"), "-std=c11", "-static", "-DNET_MAIN", "net.c", "-o",
                   "program", "-lm"], tmp_path)
    assert net.off(answer([QEMU, "./program", "net.bin"], net.x, tmp_path)) <= RELATIVE


def test_as_webassembly_in_node(net, made, tmp_path, monkeypatch):
    if not HAS_ZIG or not shutil.which("node"):
        missing("node or no ziglang")
    simd = web.wasm(made, "simd", "")
    monkeypatch.setattr(web, "wasm", lambda *_: simd)     # the other two kinds are tests/codegen/test_web.py's
    for file, content in js_files(made, weights_inside=False).items():
        (tmp_path / file).write_bytes(content)
    net.x.astype("<f4").tofile(tmp_path / "x.bin")
    script = """const fs = require("fs"), net = require("./net.js");
        const x = new Float32Array(new Uint8Array(fs.readFileSync("x.bin")).buffer);
        net.create({kind: "simd", weights: fs.readFileSync("net.bin")}).then(model =>
            console.log(JSON.stringify(Object.values(model.run(x)).map(y => Array.from(y))[0])));"""
    done = subprocess.run(["node", "-e", script], capture_output=True, text=True, timeout=900, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert net.off(np.array(json.loads(done.stdout), np.float32)) <= RELATIVE


def answer(command: list[str], x: np.ndarray, folder) -> np.ndarray:
    done = subprocess.run(command, input=x.astype("<f4").tobytes(), capture_output=True, timeout=900, cwd=folder)
    assert done.returncode == 0, done.stderr
    return np.frombuffer(done.stdout, "<f4")
