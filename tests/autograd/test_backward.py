"""backward, grad and gradient buffers.  What MXNet 1.9.1 does in each of these cases was observed on it."""
import threading

import numpy as np
import pytest

import mxdl as mx
from mxdl import autograd
from mxdl.errors import MXNetError, NotBuiltError, ShapeError


def variable(values=(1.0, 2.0, 3.0), grad_req="write"):
    x = mx.nd.array(values)
    x.attach_grad(grad_req)
    return x


def recorded(function, *args):
    with autograd.record():
        return function(*args)


def test_gradient_of_a_power():
    x = variable()
    recorded(lambda: x * x * x).backward()
    assert x.grad.asnumpy().tolist() == [3, 12, 27]


def test_head_gradient():
    x = variable()
    recorded(lambda: x * 2).backward(mx.nd.array([1, 10, 100]))
    assert x.grad.asnumpy().tolist() == [2, 20, 200]
    with pytest.raises(ShapeError, match=r"got \(2,\) for \(3,\)"):
        recorded(lambda: x * 2).backward(mx.nd.ones((2,)))


def test_several_heads():
    x, y = variable(), variable()
    with autograd.record():
        heads = [x * 2, x * y]
    autograd.backward(heads, [None, mx.nd.full((3,), 10)])
    assert x.grad.asnumpy().tolist() == [12, 22, 32] and y.grad.asnumpy().tolist() == [10, 20, 30]
    with pytest.raises(MXNetError, match="differ in number; got 2 and 1"):
        autograd.backward([recorded(lambda: x * 2), recorded(lambda: y * 2)], [None])


def test_write_add_and_null():
    written, added, nothing = variable(), variable(grad_req="add"), variable(grad_req="null")
    for _ in range(3):
        recorded(lambda: written * added * nothing).backward()
    assert written.grad.asnumpy().tolist() == [1, 4, 9]
    assert added.grad.asnumpy().tolist() == [3, 12, 27]
    assert nothing.grad.asnumpy().tolist() == [0, 0, 0]
    with pytest.raises(MXNetError, match="unknown grad_req; got 'sum'"):
        variable(grad_req="sum")


def test_the_buffer_keeps_its_identity_and_its_views():
    x = variable()
    buffer = x.grad
    recorded(lambda: x * 2).backward()
    assert x.grad is buffer and buffer.asnumpy().tolist() == [2, 2, 2]
    view, capsule = buffer[1:], mx.nd.from_dlpack(buffer)
    recorded(lambda: x * 3).backward()
    assert view.asnumpy().tolist() == [3, 3] and capsule.asnumpy().tolist() == [3, 3, 3]


def test_buffers_of_two_variables_are_not_one():
    x, y = variable(), variable()
    recorded(lambda: x + y).backward()
    x.grad[:] = 7
    assert y.grad.asnumpy().tolist() == [1, 1, 1]
    head = mx.nd.ones((3,))
    recorded(lambda: x + 0).backward(head)
    x.grad[:] = 7
    assert head.asnumpy().tolist() == [1, 1, 1]


def test_mark_variables():
    x, g = mx.nd.array([1.0, 2.0]), mx.nd.zeros((2,))
    autograd.mark_variables(x, g)
    recorded(lambda: x * x).backward()
    assert g.asnumpy().tolist() == [2, 4] and x.grad is g
    autograd.mark_variables([x], [g], "add")
    recorded(lambda: x * x).backward()
    assert g.asnumpy().tolist() == [4, 8]


def test_attach_grad_cuts_the_graph():
    x = variable()
    with autograd.record():
        y = x * x
        y.attach_grad()
        z = y * 3
    z.backward()
    assert y.grad.asnumpy().tolist() == [3, 3, 3] and x.grad.asnumpy().tolist() == [0, 0, 0]


def test_a_variable_is_its_own_head():
    x = variable()
    x.backward()
    assert x.grad.asnumpy().tolist() == [1, 1, 1]


def test_nothing_is_recorded_outside():
    x = variable()
    for head in (x * 2, recorded(lambda: mx.nd.ones((3,)) * 2), recorded(lambda: (x * 2).detach())):
        with pytest.raises(MXNetError, match="not computed from a variable while recording"):
            head.backward()
    with autograd.record(), autograd.pause():
        y = x * 2
    with pytest.raises(MXNetError, match="while recording"):
        y.backward()


def test_backward_twice():
    x = variable()
    for function in (lambda: x + 3, lambda: (x * x).sum()):
        y = recorded(function)
        y.backward(retain_graph=True)
        y.backward()
        with pytest.raises(MXNetError, match="already differentiated.*retain_graph=True"):
            y.backward()


@pytest.mark.parametrize("write", [
    lambda x: x.__setitem__(slice(None), 2), lambda x: x.__setitem__(0, 2), lambda x: x.__iadd__(1),
    lambda x: mx.nd.relu(mx.nd.ones((3,)), out=x), lambda x: mx.nd.ones((3,)).copyto(x)],
    ids=["all", "part", "iadd", "out", "copyto"])
def test_arrays_of_a_graph_cannot_be_written_while_recording(write):
    x = variable()
    with autograd.record():
        y = x * 2
        for array in (x, y):
            with pytest.raises(MXNetError, match="in a recorded graph cannot be written in place"):
                write(array)


def test_arrays_outside_the_graph_become_part_of_it():
    x, buffer = variable(), mx.nd.zeros((2, 3))
    with autograd.record():
        buffer[0] = x * 3
        y = buffer * 2
    y.backward()
    assert x.grad.asnumpy().tolist() == [6, 6, 6]
    out = mx.nd.zeros((3,))
    with autograd.record():
        mx.nd.square(x, out=out)
        y = out * 2
    y.backward()
    assert x.grad.asnumpy().tolist() == [4, 8, 12]


def test_a_value_overwritten_before_backward_is_an_error():
    x = variable()
    y = recorded(lambda: x * x)
    x[:] = 5
    with pytest.raises(MXNetError, match="written in place after it was used"):
        y.backward()


def test_an_optimizers_write_between_two_steps_is_none():
    x = variable()
    for _ in range(2):
        with autograd.record():
            y = (x * x).sum()
        y.backward()
        x -= 0.5 * x.grad
    assert x.asnumpy().tolist() == [0, 0, 0]


def test_views_and_casts_carry_gradients():
    x = variable([[1.0, 2.0], [3.0, 4.0]])
    with autograd.record():
        y = x[0] * 2 + x[:, 1] + x.reshape((-1,))[2:] + x[mx.nd.array([1, 1]), mx.nd.array([0, 1])]
        z = y.astype("float64").copy().as_in_context(mx.cpu(1)).T
    z.backward()
    assert x.grad.asnumpy().tolist() == [[2, 3], [2, 3]]


def test_grad():
    x, y = variable(), variable()
    z = recorded(lambda: x * x * y)
    single = autograd.grad(z, x, retain_graph=True)
    several = autograd.grad([z], [x, y])
    assert len(single) == 1 and single[0].asnumpy().tolist() == [2, 8, 18], "a list, also for one variable"
    assert several[1].asnumpy().tolist() == [1, 4, 9]
    assert x.grad.asnumpy().tolist() == [0, 0, 0], "grad() writes no buffer"


def test_grad_of_grad():
    x = variable()
    with autograd.record():
        first, = autograd.grad(x * x * x, x, create_graph=True)
        second, = autograd.grad(first, x, create_graph=True)
        total = (first + second).sum()
    total.backward()
    np.testing.assert_allclose(second.asnumpy(), 6 * x.asnumpy())
    np.testing.assert_allclose(x.grad.asnumpy(), 6 * x.asnumpy() + 6)


def test_grad_errors():
    x, y = variable(), variable()
    z = recorded(lambda: x * x)
    with pytest.raises(MXNetError, match="do not depend on variable 1"):
        autograd.grad(z, [x, y])
    with pytest.raises(MXNetError, match="variable 0 needs no gradient"):
        autograd.grad(recorded(lambda: x * x), mx.nd.ones((3,)))
    with pytest.raises(NotBuiltError, match="HybridBlock"):
        autograd.get_symbol(x)


def test_surrogate_gradients_run_eagerly():
    x = variable()
    with autograd.record():
        y = mx.nd.BlockGrad(x * x) * x
    y.backward()
    assert x.grad.asnumpy().tolist() == [1, 4, 9]
    with autograd.record():
        loss = mx.nd.make_loss(x * x)
    loss.backward(mx.nd.full((3,), 100))
    assert x.grad.asnumpy().tolist() == [2, 4, 6], "make_loss does not look at the head's gradient"


def test_operators_without_a_gradient_stop_it():
    x = variable()
    with autograd.record():
        y = x * (x > 1)
    y.backward()
    assert x.grad.asnumpy().tolist() == [0, 1, 1]


def test_the_state_belongs_to_the_thread():
    seen = []
    with autograd.record():
        thread = threading.Thread(target=lambda: seen.append((autograd.is_recording(), autograd.is_training())))
        thread.start()
        thread.join()
    assert seen == [(False, False)]


def test_an_array_that_is_gone_gets_no_gradient():
    y = variable() * 1
    x = variable()
    with autograd.record():
        y = x * 2
    del x
    y.backward()
