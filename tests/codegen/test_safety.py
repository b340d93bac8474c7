"""Exported models under Valgrind: no error, no leak, and no allocation after the handle is made."""
from __future__ import annotations

import re
import shutil
import subprocess
import warnings

import numpy as np
import pytest

import mxdl as mx
from tests.codegen.compiled import COMPILER, assert_same
from tests.codegen.test_nets_of_blocks import NETS
from tests.codegen.zoo import case

pytestmark = [pytest.mark.slow, pytest.mark.skipif(COMPILER is None, reason="no C compiler on this machine")]
ZOO = ("mobilenet0.25", "mobilenetv2_0.25", "resnet18_v1")
EXAMPLES = 4


def test_how_many_models_are_checked():
    assert len(NETS) == 7 and len(ZOO) == 3


@pytest.mark.parametrize("name", [*NETS, *ZOO])
def test_valgrind_finds_nothing(name, tmp_path):
    if not shutil.which("valgrind"):
        warnings.warn("no valgrind here: nothing was checked", stacklevel=1)
        pytest.skip("no valgrind here")
    inputs, expected, weights = exported(name, tmp_path)
    subprocess.run([str(COMPILER), "-g", "-O1", "-DNET_MAX_ISA=1", "-DNET_MAIN", "net.c", "-o", "net", "-lm"],
                   check=True, timeout=900, cwd=tmp_path)
    data = b"".join(array.tobytes() for array in inputs)
    first, one = valgrind(tmp_path, data, weights)
    many, same = valgrind(tmp_path, data * EXAMPLES, weights)
    assert one == same, f"{same - one} allocations in {EXAMPLES - 1} further calls"
    assert_same(first, expected)
    assert many == first * EXAMPLES   # one call leaves nothing behind that another reads


def exported(name: str, folder) -> tuple[list[np.ndarray], list[np.ndarray], list[str]]:
    """Inputs, what the framework answers, and the program's arguments."""
    if name in ZOO:
        net = case(name)
        made = net.source()
        (folder / "net.c").write_text(made.text)
        (folder / "net.bin").write_bytes(made.blob)
        return [net.x.astype("<f4")], [net.expected], ["net.bin"]
    net, inputs = NETS[name]()
    net.initialize(mx.init.Normal(0.2), force_reinit=True)
    given = [mx.nd.array(array, dtype=str(array.dtype)) for array in inputs]
    net.export_c(folder / "net.c", *given)
    outs = net(*given)
    return inputs, [out.asnumpy() for out in (outs if isinstance(outs, list | tuple) else [outs])], []


def valgrind(folder, data: bytes, arguments: list[str]) -> tuple[bytes, int]:
    """What the program answers, and how often it allocated."""
    done = subprocess.run(["valgrind", "--leak-check=full", "--show-leak-kinds=all", "--errors-for-leak-kinds=all",
                           "--error-exitcode=9", "./net", *arguments], input=data, capture_output=True, timeout=1500,
                          cwd=folder)
    said = done.stderr.decode()
    assert done.returncode == 0 and "ERROR SUMMARY: 0 errors" in said, said[-3000:]
    return done.stdout, int(re.search(r"total heap usage: ([\d,]+) allocs", said)[1].replace(",", ""))
