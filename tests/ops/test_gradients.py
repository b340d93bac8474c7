"""Three ways to a gradient agree in double precision: the entry's rule, torch autograd of the body, differences."""
from __future__ import annotations

import numpy as np
import torch

from mxdl.ops.generic_gradient import vector_jacobian
from tests.ops.calls import Case, for_each, rule_call, sample_cases
from tests.parity.kernels import Call, forward, reserved
from tests.parity.variants import other_end_of_axis, short_axes

STEP = 1e-6
MOST_ELEMENTS = 64  # of an input that are moved one by one

CASES = [case for case in sample_cases() if case.call.grad]


def doubled(call: Call) -> Call:
    return call._replace(inputs=[a.astype("float64") if a.dtype in (np.float32, np.float16) else a
                                 for a in call.inputs])


def by_rule(case: Case, call: Call) -> list[torch.Tensor]:
    """Gradients of call.grad by the explicit rule, zeros where it gives none."""
    with torch.no_grad():
        given = rule_call(case.op, call)
        grads = case.op.gradient_rule(given)
    assert len(grads) == len(call.inputs), "a rule returns one entry an input"
    for x, grad, i in zip(given.inputs, grads, range(len(grads)), strict=True):
        if grad is not None and i in call.grad:
            assert grad.shape == x.shape, f"gradient of input {i} has shape {tuple(grad.shape)}, not {tuple(x.shape)}"
            assert grad.dtype is x.dtype, f"gradient of input {i} is {grad.dtype}, not {x.dtype}"
    return [torch.zeros_like(given.inputs[i]) if grads[i] is None else grads[i] for i in call.grad]


def by_tape(case: Case, call: Call) -> list[torch.Tensor]:
    """Gradients of call.grad by torch autograd of the body."""
    given = rule_call(case.op, call)
    attrs = {**case.op.parse(call.attrs), **reserved(case.op, call)}
    return list(vector_jacobian(case.op, given.inputs, [d for d in given.douts if d is not None], given.needs,
                                tuple(d is not None for d in given.douts), attrs))


def by_differences(case: Case, call: Call, chosen: list[np.ndarray]) -> list[np.ndarray]:
    """Central differences of sum(outputs * douts) at the `chosen` elements of each input in call.grad.

    In a symmetric matrix half of the step goes to the element across the diagonal.
    """
    symmetric = case.op.samples[case.sample].symmetric
    douts = rule_call(case.op, call).douts

    def total(inputs: list[np.ndarray]) -> float:
        outputs = forward(case.op, call._replace(inputs=inputs)).outputs
        return sum(float((out * dout).sum()) for out, dout in zip(outputs, douts, strict=True) if dout is not None)

    found = []
    for i, places in zip(call.grad, chosen, strict=True):
        slopes = []
        for place in places:
            sides = []
            for sign in (1, -1):
                step = np.zeros_like(call.inputs[i])
                step.flat[place] = sign * STEP
                step = (step + step.swapaxes(-1, -2)) / 2 if symmetric else step
                sides.append(total([a + step if k == i else a for k, a in enumerate(call.inputs)]))
            slopes.append((sides[0] - sides[1]) / (2 * STEP))
        found.append(np.array(slopes))
    return found


def chosen_elements(call: Call) -> list[np.ndarray]:
    rng = np.random.default_rng(3)
    return [np.arange(n) if (n := call.inputs[i].size) <= MOST_ELEMENTS else rng.choice(n, MOST_ELEMENTS, replace=False)
            for i in call.grad]


@for_each([c for c in CASES if callable(c.op.gradient_rule)])
def test_rule_equals_tape(case):
    call = doubled(case.call)
    rule = by_rule(case, call)
    if case.op.surrogate:
        return
    for i, a, b in zip(call.grad, rule, by_tape(case, call), strict=True):
        np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-8, atol=1e-10, err_msg=f"gradient of input {i}")


@for_each([c for c in CASES if not c.op.surrogate])
def test_tape_equals_differences(case):
    call = doubled(case.call)
    if any(out.is_floating_point() and out.dtype is not torch.float64 for out in forward(case.op, call).outputs):
        return  # an attribute asks for less precision than differences need
    chosen = chosen_elements(call)
    for i, grad, places, slopes in zip(call.grad, by_tape(case, call), chosen, by_differences(case, call, chosen),
                                       strict=True):
        if case.op.samples[case.sample].symmetric:
            grad = (grad + grad.mT) / 2
        np.testing.assert_allclose(grad.numpy().reshape(-1)[places], slopes, rtol=1e-5, atol=1e-7,
                                   err_msg=f"gradient of input {i}")


@for_each([c for c in CASES if callable(c.op.gradient_rule)])
def test_rule_in_the_sample_s_own_precision(case):
    """Shapes and dtypes of the gradients in float32 and float16, where a rule may mix precisions."""
    by_rule(case, case.call)
    half = case.call._replace(inputs=[a.astype("float16") if a.dtype == np.float32 else a for a in case.call.inputs])
    try:
        forward(case.op, half)
    except RuntimeError:
        return  # torch has no half-precision kernel for it on a CPU
    by_rule(case, half)


@for_each([c for c in CASES if callable(c.op.gradient_rule) and not c.op.surrogate])
def test_rule_on_short_axes_and_negative_axes(case):
    call = doubled(case.call)
    changes = [*other_end_of_axis(call)]
    if case.op.samples[case.sample].resizable:
        changes += short_axes(call)
    for change, changed in changes:
        try:
            forward(case.op, changed)
            tape = by_tape(case, changed)
        except (RuntimeError, IndexError, ZeroDivisionError):
            continue  # not a call that the operator takes
        for i, a, b in zip(changed.grad, by_rule(case, changed), tape, strict=True):
            np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-8, atol=1e-10, err_msg=f"{change}: input {i}")


@for_each([c for c in CASES if len(c.call.grad) > 1 and callable(c.op.gradient_rule)])
def test_rule_for_each_input_alone(case):
    """A rule that is asked for one input gives the same as when asked for all."""
    call = doubled(case.call)
    together = dict(zip(call.grad, by_rule(case, call), strict=True))
    for i in call.grad:
        alone, = by_rule(case, call._replace(grad=(i,)))
        np.testing.assert_allclose(alone.numpy(), together[i].numpy(), rtol=1e-10, atol=1e-12)
