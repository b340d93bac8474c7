"""Executors: bind and simple_bind, forward and backward, what they refuse."""
import numpy as np
import pytest

import mxdl as mx
from mxdl.errors import GraphError, MXNetError, OperatorError, ShapeError

RNG = np.random.default_rng(0)
X, W, B = (RNG.normal(size=s).astype("float32") for s in ((3, 4), (2, 4), (2,)))


def fc():
    return mx.sym.FullyConnected(mx.sym.var("x"), num_hidden=2, name="fc")


def arrays():
    return {"x": mx.nd.array(X), "fc_weight": mx.nd.array(W), "fc_bias": mx.nd.array(B)}


def test_forward_and_backward_are_the_numbers():
    args = arrays()
    grads = {name: mx.nd.zeros(a.shape) for name, a in args.items()}
    bound = fc().bind(mx.cpu(), args, args_grad=grads)
    [out] = bound.forward(is_train=True)
    np.testing.assert_allclose(out.asnumpy(), X @ W.T + B, rtol=1e-5)
    dout = RNG.normal(size=(3, 2)).astype("float32")
    for _ in range(2):  # a second backward writes the same
        bound.backward(mx.nd.array(dout))
        np.testing.assert_allclose(grads["x"].asnumpy(), dout @ W, rtol=1e-5)
        np.testing.assert_allclose(grads["fc_weight"].asnumpy(), dout.T @ X, rtol=1e-5)
        np.testing.assert_allclose(grads["fc_bias"].asnumpy(), dout.sum(0), rtol=1e-5)
    assert bound.output_dict["fc_output"] is bound.outputs[0]
    assert bound.grad_arrays[1] is grads["fc_weight"]


def test_new_values_come_by_keyword():
    bound = fc().simple_bind(mx.cpu(), x=(3, 4), grad_req="null")
    bound.copy_params_from({"fc_weight": mx.nd.array(W), "fc_bias": mx.nd.array(B)})
    np.testing.assert_allclose(bound.forward(x=X)[0].asnumpy(), X @ W.T + B, rtol=1e-5)
    np.testing.assert_allclose(bound.forward(x=mx.nd.array(2 * X))[0].asnumpy(), 2 * X @ W.T + B, rtol=1e-5)
    assert bound.grad_dict == {"x": None, "fc_weight": None, "fc_bias": None}


@pytest.mark.parametrize("request_, weight_grad", [("write", 1), ("add", 2), (["null", "add", "null"], 2),
                                                   ({"fc_weight": "write"}, 1)])
def test_gradient_requests(request_, weight_grad):
    bound = fc().simple_bind(mx.cpu(), grad_req=request_, x=(3, 4))
    bound.copy_params_from({k: v for k, v in arrays().items()})
    for _ in range(2):
        bound.forward(is_train=True)
        bound.backward([mx.nd.ones((3, 2))])
    np.testing.assert_allclose(bound.grad_dict["fc_weight"].asnumpy(), weight_grad * np.ones((3, 2)).T @ X, rtol=1e-5)
    assert (bound.grad_dict["x"] is None) == (request_ not in ("write", "add"))


def test_an_executor_agrees_with_the_tape():
    args = arrays()
    for a in args.values():
        a.attach_grad()
    with mx.autograd.record():
        out = mx.nd.FullyConnected(args["x"], args["fc_weight"], args["fc_bias"], num_hidden=2)
    out.backward()
    bound = fc().simple_bind(mx.cpu(), x=(3, 4))
    bound.copy_params_from(args)
    bound.forward(is_train=True)
    bound.backward(mx.nd.ones((3, 2)))
    for name, array in args.items():
        np.testing.assert_array_equal(bound.grad_dict[name].asnumpy(), array.grad.asnumpy())


def test_reshape_shares_what_keeps_its_shape():
    bound = fc().simple_bind(mx.cpu(), x=(3, 4))
    smaller = bound.reshape(x=(2, 4))
    assert smaller.arg_dict["fc_weight"] is bound.arg_dict["fc_weight"]
    assert smaller.arg_dict["x"].shape == (2, 4) and smaller.forward()[0].shape == (2, 2)
    with pytest.raises(ShapeError, match="partial_shaping=True"):
        bound.reshape(x=(3, 5))
    assert bound.reshape(x=(3, 5), partial_shaping=True).arg_dict["fc_weight"].shape == (2, 5)


def test_shared_buffers_and_executors():
    first = fc().simple_bind(mx.cpu(), x=(3, 4))
    second = fc().simple_bind(mx.cpu(), x=(5, 4), shared_exec=first)
    assert second.arg_dict["fc_bias"] is first.arg_dict["fc_bias"]
    partly = fc().simple_bind(mx.cpu(), x=(3, 4), shared_exec=first, shared_arg_names=["fc_weight"])
    assert [n for n, a in partly.arg_dict.items() if a is first.arg_dict[n]] == ["fc_weight"]
    buffer = {}
    third = fc().simple_bind(mx.cpu(), x=(3, 4), shared_buffer=buffer)
    fourth = fc().simple_bind(mx.cpu(), x=(3, 4), shared_buffer=buffer)
    assert third.arg_dict["x"] is fourth.arg_dict["x"] and set(buffer) == {"x", "fc_weight", "fc_bias"}


def test_monitor_sees_every_output():
    seen = {}
    bound = fc().simple_bind(mx.cpu(), x=(3, 4))
    bound.set_monitor_callback(lambda name, array: seen.__setitem__(name, array.shape), monitor_all=True)
    bound.forward(is_train=True)
    bound.backward(mx.nd.ones((3, 2)))
    assert seen == {"x": (3, 4), "fc_weight": (2, 4), "fc_bias": (2,), "fc_output": (3, 2)}
    assert len(bound.outputs) == 1


def test_eval():
    values = arrays()
    [out] = fc().eval(ctx=mx.cpu(), **values)
    np.testing.assert_allclose(out.asnumpy(), X @ W.T + B, rtol=1e-5)
    [same] = mx.sym.var("x").eval(x=values["x"])
    assert same.to_torch().data_ptr() != values["x"].to_torch().data_ptr()


def normalized():
    """Batch normalization, then dropout, then a loss."""
    x = mx.sym.BatchNorm(mx.sym.var("x"), name="bn", fix_gamma=False, momentum=0.5)
    return mx.sym.MakeLoss(mx.sym.sum(mx.sym.Dropout(x, p=0.5) * 3), name="loss")


def test_training_updates_states_and_draws_masks():
    trained = normalized().simple_bind(mx.cpu(), x=(64, 3))
    trained.aux_dict["bn_moving_var"][:] = 1
    trained.arg_dict["bn_gamma"][:] = 1
    x = RNG.normal(2, 3, size=(64, 3)).astype("float32")
    trained.forward(is_train=True, x=x)
    np.testing.assert_allclose(trained.aux_dict["bn_moving_mean"].asnumpy(), 0.5 * x.mean(0), rtol=1e-4)
    trained.backward()
    kept = trained.grad_dict["bn_beta"].asnumpy()
    assert ((kept > 0) & (kept < 64 * 3 * 2)).all(), "each dropped element gives no gradient, each kept one 2 * 3"
    before = trained.aux_dict["bn_moving_mean"].asnumpy()
    trained.forward(is_train=False)
    np.testing.assert_array_equal(trained.aux_dict["bn_moving_mean"].asnumpy(), before)


def test_recomputing_gives_the_same_gradients(monkeypatch):
    results = []
    for mirror in ("0", "1"):
        monkeypatch.setenv("MXNET_BACKWARD_DO_MIRROR", mirror)
        mx.random.seed(5)
        executor = normalized().simple_bind(mx.cpu(), x=(8, 3))
        executor.arg_dict["bn_gamma"][:] = 1
        executor.forward(is_train=True, x=X[:2].reshape(8, 1).repeat(3, 1))
        executor.backward()
        results.append([g.asnumpy() for g in executor.grad_arrays])
    for plain, recomputed in zip(*results, strict=True):
        np.testing.assert_array_equal(plain, recomputed)


def bound():
    return fc().simple_bind(mx.cpu(), x=(3, 4))


@pytest.mark.parametrize("call, error, says", [
    (lambda: bound().forward(y=X), TypeError, "unknown argument; got 'y'"),
    (lambda: bound().forward(x=X[:2]), ShapeError, r"got \(2, 4\), need \(3, 4\)"),
    (lambda: bound().forward(x=1), ValueError, "must be an array"),
    (lambda: bound().copy_params_from({"z": mx.nd.ones(1)}), ValueError, "'z' is not among the arguments"),
    (lambda: bound().copy_params_from({"fc_weight": mx.nd.ones((3, 2))}), ShapeError, "another shape"),
    (lambda: bound().backward(), GraphError, "forward"),
    (lambda: fc().bind(mx.cpu(), [mx.nd.ones((3, 4))]), ValueError, "wrong length; got 1"),
    (lambda: fc().bind(mx.cpu(), {"x": mx.nd.ones((3, 4))}), ValueError, "lacks fc_weight, fc_bias"),
    (lambda: fc().bind(mx.cpu(), [1, 2, 3]), TypeError, "NDArrays; got int for x"),
    (lambda: fc().simple_bind(mx.cpu(), x=(3, 4), grad_req="foo"), OperatorError, "unknown request; got 'foo'"),
    (lambda: fc().simple_bind(mx.cpu(), x=(3, 4), grad_req={"y": "add"}), OperatorError, "no such argument; got y"),
])
def test_wrong_calls_say_what_to_do(call, error, says):
    with pytest.raises(error, match=says):
        call()


def test_shapes_that_do_not_tell_all():
    with pytest.warns(UserWarning), pytest.raises(MXNetError, match="give the shapes of the inputs"):
        fc().simple_bind(mx.cpu())


def test_backward_of_what_is_no_loss_needs_gradients():
    executor = bound()
    executor.forward(is_train=True)
    with pytest.raises(GraphError, match="'fc' is no loss"):
        executor.backward()
    with pytest.raises(GraphError, match="got 2 for fc_output"):
        executor.backward([mx.nd.ones((3, 2))] * 2)
