"""Every operator of the registry against MXNet 1.9.1: outputs, updated states, gradients; on samples and variants.

Driven by the entries alone: an operator is compared under the first of its names that MXNet knows.  One that
differs on purpose says why in `parity="..."`; one that MXNet cannot have (a backward kernel) says `parity=None`.
"""
from __future__ import annotations

import numpy as np
import pytest

from mxdl.ops import registry
from tests.parity import kernels
from tests.parity.client import MXNetRefused, Reference
from tests.parity.comparison import difference
from tests.parity.kernels import Call
from tests.parity.variants import variants

COMPARED = [op for op in registry.all() if op.parity == "" and op.samples]
#: Operators compared may not become fewer: raise this when they become more.
AT_LEAST = 280


def cases() -> list:
    return [pytest.param(op, index, id=f"{op.name}-{index}")
            for op in COMPARED for index, sample in enumerate(op.samples) if not sample.parity]


def reference_name(op, mxnet: Reference) -> str:
    for name in (op.name, *op.aliases):
        if name in mxnet.names:
            return name
    raise AssertionError(f"{op.name}: none of its names is registered in MXNet 1.9.1; got {(op.name, *op.aliases)}; "
                         'say parity="reason" on its entry, or parity=None where MXNet cannot have it')


@pytest.mark.parity
@pytest.mark.parametrize("op, index", cases())
def test_operator_equals_mxnet(op, index, mxnet, record_property):
    name, sample = reference_name(op, mxnet), op.samples[index]
    call = Call(sample.arrays(), sample.attrs, sample.training)
    wanted = sample.differentiable
    call = call._replace(grad=kernels.differentiable_inputs(op, call) if wanted is None else tuple(wanted))
    problems, has_gradient = compare(op, name, call, mxnet, sample.tolerance)
    for change, changed in variants(call, sample.resizable):
        try:
            found, _ = compare(op, name, changed, mxnet, sample.tolerance)
        except MXNetRefused:
            continue
        problems += [f"[{change}] {problem}" for problem in found]
    assert not problems, "\n".join([f"{op.name} {sample} differs from MXNet's {name}:", *problems])
    record_property("parity", (op.name, "forward"))
    if has_gradient:
        record_property("parity", (op.name, "backward"))


def compare(op, name: str, call: Call, mxnet: Reference, tolerance: float | None) -> tuple[list[str], bool]:
    """What differs, and whether gradients were compared.  Raises MXNetRefused when MXNet does not take the call."""
    try:
        ours = kernels.forward(op, call)
    except Exception as error:  # noqa: BLE001 - the failure is a result: it is wrong only where MXNet succeeds
        mxnet.op(name, call.inputs, call.attrs, train=call.training)
        return [f"mxdl raises {type(error).__name__}: {str(error).splitlines()[0]}"], False
    visible = ours.outputs[:ours.visible]
    douts = head_gradients(visible)
    theirs = mxnet.op(name, call.inputs, call.attrs, train=call.training, head_grads=douts,
                      grad=call.grad if any(d is not None for d in douts) else ())
    if len(visible) != len(theirs.outputs):
        return [f"{len(visible)} outputs are {len(theirs.outputs)} in MXNet"], False

    alike = any(not a.size for a in call.inputs)

    problems: list[str] = []

    def differ(pairs):
        return [line for what, a, b in pairs if (line := difference(what, a, b, tolerance, alike))]

    strided = kernels.forward(op, call, contiguous=False).outputs
    for what, outputs in (("output", visible), ("with strided inputs, output", strided[:ours.visible])):
        problems += differ((f"{what} {k}", a.contiguous().numpy(), b)
                           for k, (a, b) in enumerate(zip(outputs, theirs.outputs, strict=True)))
    problems += differ((f"updated input {i}", ours.outputs[k].numpy(), theirs.inputs[i]) for i, k in ours.updated)
    if not theirs.grads:
        return problems, False
    for way, grads in kernels.backward(op, call, ours, douts).items():
        problems += differ((f"{way}, input {i}", a, b) for i, a, b in zip(call.grad, grads, theirs.grads, strict=True))
    return problems, True


def head_gradients(outputs) -> list[np.ndarray | None]:
    """Uneven gradients for the outputs that are floats: a constant one hides transposed and swapped axes."""
    rng = np.random.default_rng(7)
    return [rng.uniform(0.5, 1.5, tuple(out.shape)).astype(out.numpy().dtype) if out.is_floating_point() else None
            for out in outputs]


def test_enough_operators_are_compared():
    assert len(COMPARED) >= AT_LEAST, f"{len(COMPARED)} operators would be compared with MXNet; it was {AT_LEAST}"


def test_every_operator_is_compared_or_says_why():
    silent = [op.name for op in registry.all() if op.parity == "" and not op.samples]
    assert not silent, f"operators without samples that do not say why they are not compared: {silent}"


def test_like_operators_leave_a_dtype_aside(same_as_mxnet):
    """GluonCV's CenterNet gives one; MXNet ignores it."""
    same_as_mxnet("""
x = mx.nd.ones((2, 3), dtype='int32')
made = mx.nd.zeros_like(x, dtype='int64'), mx.nd.ones_like(x, dtype='float32')
result = [(y.asnumpy(), str(y.dtype)) for y in made]
""")
