"""Several examples in one call: each comes out as it does alone, whatever their number."""
import subprocess

import numpy as np
import pytest

import mxdl as mx
from mxdl.codegen import export_c
from mxdl.errors import MXNetError

from .compiled import COMPILER, SANITIZED, WARNINGS, needs_compiler
from .test_precision import net, parameters

EXAMPLE = (1, 3, 8, 9)
CALLER = """
#include "net.c"
#include <stdio.h>
int main(void) {
    static float in[5 * 216], out[5 * 2000];
    net_model *m = net_create();
    if (!m || NET_MAX_BATCH != 4 || net_set_batch(m, 0) != -1 || net_set_batch(m, 5) != -1) return 2;
    const size_t n = net_input_size(0), total = net_output_size(0);
    for (int count = 1; count <= 4; ++count) {
        if (fread(in, sizeof *in, count * n, stdin) != count * n) return 3;
        if (net_set_batch(m, count) || net_forward(m) != -1) return 4;      /* the input is not set yet */
        if (net_set_input(m, 0, in, n * count + 1) != -1 || net_set_input(m, 0, in, n * count)) return 5;
        if (net_forward(m) || net_get_output(m, 0, out, total * count + 1) != -1) return 6;
        if (net_get_output(m, 0, out, total * count)) return 7;
        if (fwrite(out, sizeof *out, total * count, stdout) != total * count) return 8;
    }
    net_free(m);
    return 0;
}
"""


@needs_compiler
def test_examples_of_one_call_do_not_touch_each_other(tmp_path):
    graph = net()
    export_c(graph, parameters(graph), {"x": EXAMPLE}, tmp_path / "net.c", "net", max_batch=4)
    (tmp_path / "caller.c").write_text(CALLER)
    examples = np.random.default_rng(4).normal(size=(10, *EXAMPLE)).astype("float32")
    flags = [*WARNINGS.split(), *SANITIZED.split()]
    outputs = []
    for source, more in (("caller.c", []), ("net.c", ["-DNET_MAIN"])):
        subprocess.run([COMPILER, *flags, *more, tmp_path / source, "-o", tmp_path / "net", "-lm"], check=True,
                       timeout=240)
        outputs.append(subprocess.run([tmp_path / "net"], input=examples.tobytes(), capture_output=True, timeout=60,
                                      check=True).stdout)
    together, alone = outputs
    assert together == alone and len(alone) == 10 * 6 * 70 * 4
    assert np.isfinite(np.frombuffer(alone, "<f4")).all()


def test_no_examples_are_refused(tmp_path):
    graph = mx.sym.relu(mx.sym.var("x")).graph()
    with pytest.raises(MXNetError, match="max_batch counts the examples of a call; got 0"):
        export_c(graph, {}, {"x": (1, 2)}, tmp_path / "net.c", "net", max_batch=0)
