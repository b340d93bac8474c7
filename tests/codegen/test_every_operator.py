"""Every operator that has a C kernel: compiled by the system's compiler, it gives what the eager kernel gives."""
from __future__ import annotations

import shutil
import subprocess

import numpy as np
import pytest
import torch

from mxdl.codegen import export_c
from mxdl.codegen.call import C_TYPES
from mxdl.errors import NotBuiltError, OperatorError
from mxdl.graph import Graph, Value, apply, variable
from mxdl.ops import get
from mxdl.ops.operator import TrainingOnly
from mxdl.types import DTYPE_NAMES, TensorType
from tests.ops.calls import Case, sample_cases
from tests.parity.kernels import forward

COMPILER = next((c for c in ("cc", "gcc", "clang") if shutil.which(c)), None)
pytestmark = pytest.mark.skipif(COMPILER is None, reason="no C compiler on this machine")
MOST_INPUTS = 30  # of one file
FLAGS = "-O1 -std=c11 -Wall -Wextra -Werror".split()


def has_c_kernel(case: Case) -> bool:
    """Whether the single-file build may take this call: in predict mode, of dtypes that C has, with a rule."""
    op, call = case.op, case.call
    constant = all(i in op.traits.shape_only for i in range(len(call.inputs)))
    ruled = op.emit_c_rule or op.lower_c_rule or constant
    if not ruled or isinstance(op.emit_c_rule, TrainingOnly) or call.training or op.needs_seed:
        return False
    outputs = visible(case)
    return (bool(call.inputs) and all(str(a.dtype) in C_TYPES and a.size for a in call.inputs)
            and all(DTYPE_NAMES[out.dtype] in C_TYPES for out in outputs))


def visible(case: Case) -> list[torch.Tensor]:
    result = forward(case.op, case.call)
    return result.outputs[:result.visible]


def batches() -> list[list[Case]]:
    """Cases that share a file, so that the compiler starts a dozen times and not hundreds."""
    found: list[list[Case]] = [[]]
    for case in filter(has_c_kernel, sample_cases()):
        if sum(len(c.call.inputs) for c in found[-1]) + len(case.call.inputs) > MOST_INPUTS:
            found.append([])
        found[-1].append(case)
    return found


def node_of(case: Case, number: int) -> tuple[list[Value], dict[str, TensorType]]:
    """The visible outputs of the call as graph values, and the types of its variables."""
    shapes = {f"in{number}_{i}": TensorType(a.shape, str(a.dtype)) for i, a in enumerate(case.call.inputs)}
    made = apply(case.op, [variable(name) for name in shapes], case.op.parse(case.call.attrs), name=f"node{number}")
    return [made] if isinstance(made, Value) else list(made[:len(visible(case))]), shapes


def exportable(case: Case, folder) -> bool:
    """A kernel may refuse a case, in words; then there is nothing to compare."""
    values, shapes = node_of(case, 0)
    try:
        export_c(Graph(values), {}, shapes, folder / "one.c", "net")
    except NotBuiltError as error:
        assert "export to C" in str(error)
        return False
    except OperatorError as error:      # the self-test's indices are 1 and 2, too many for a sample of that length
        assert "out of bounds" in str(error)
        return False
    return True


@pytest.mark.parametrize("batch", batches(), ids=lambda batch: f"{batch[0].op.name}-{batch[-1].op.name}")
def test_c_equals_eager(batch, tmp_path):
    cases = [case for case in batch if exportable(case, tmp_path)]
    if not cases:
        return
    values, shapes = [], {}
    for number, case in enumerate(cases):
        made, more = node_of(case, number)
        values += made
        shapes |= more
    source, program = tmp_path / "net.c", tmp_path / "net"
    graph = Graph(values)
    export_c(graph, {}, shapes, source, "net")
    subprocess.run([COMPILER, *FLAGS, "-DNET_MAIN", source, "-o", program, "-lm"], check=True, timeout=120)
    arrays = {f"in{n}_{i}": a for n, case in enumerate(cases) for i, a in enumerate(case.call.inputs)}
    data = b"".join(np.ascontiguousarray(arrays[node.name]).tobytes() for node in graph.inputs)
    done = subprocess.run([program], input=data, capture_output=True, timeout=60, check=True)
    start = 0
    for case in cases:
        for expected in visible(case):
            found = np.frombuffer(done.stdout, expected.numpy().dtype, expected.numel(), start)
            start += found.nbytes
            np.testing.assert_allclose(found.reshape(expected.shape), expected, rtol=2e-5, atol=2e-6,
                                       err_msg=repr(case))
    assert start == len(done.stdout)


def test_arrays_made_of_attributes_alone_are_constants(tmp_path):
    x = variable("x")
    steps = apply(get("_arange"), [], {"start": 0.0, "stop": 3.0})
    twice = apply(get("_mul_scalar"), [steps], {"scalar": 2.0})
    export_c(Graph([apply(get("broadcast_add"), [x, twice], {})]), {}, {"x": (2, 3)}, tmp_path / "net.c", "net")
    subprocess.run([COMPILER, *FLAGS, "-DNET_MAIN", tmp_path / "net.c", "-o", tmp_path / "net", "-lm"], check=True,
                   timeout=120)
    done = subprocess.run([tmp_path / "net"], input=np.ones((2, 3), "<f4").tobytes(), capture_output=True, timeout=60,
                          check=True)
    np.testing.assert_array_equal(np.frombuffer(done.stdout, "<f4"), [1, 3, 5, 1, 3, 5])


def test_many_operators_have_a_c_kernel():
    assert len({case.op for batch in batches() for case in batch}) >= 210


def test_integer_cases_are_among_them():
    dtypes = {str(a.dtype) for batch in batches() for case in batch for a in case.call.inputs}
    assert dtypes >= {"float32", "int32", "bool"}
