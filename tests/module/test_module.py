"""Module: it learns, its parts do what they say, and it refuses what is wrong."""
import logging

import numpy as np
import pytest

import mxdl as mx
from mxdl.errors import FileFormatError, ShapeError
from tests.module.batches import Batches, Waves, blobs, classifier


def bound(batch_size=6, **kwargs):
    module = mx.mod.Module(classifier())
    module.bind([("data", (batch_size, 8))], [("softmax_label", (batch_size,))], **kwargs)
    module.init_params(Waves())
    return module


def one_batch(size=6):
    data, label = blobs(size)
    return next(iter(Batches(data, label, size)))


@pytest.mark.parametrize("contexts", [mx.cpu(), [mx.cpu(0), mx.cpu(1)]], ids=["one device", "two devices"])
def test_fit_learns_and_predict_agrees_with_score(contexts, caplog):
    data, label = blobs()
    train, held_out = Batches(data, label, 32), Batches(*blobs(50), 32)
    module = mx.mod.Module(classifier(), context=contexts)
    ends, batches = [], []
    with caplog.at_level(logging.INFO):
        module.fit(train, eval_data=held_out, num_epoch=4, optimizer_params={"learning_rate": 0.1},
                   initializer=Waves(), epoch_end_callback=lambda *a: ends.append(a[0]),
                   batch_end_callback=[lambda p: batches.append((p.epoch, p.nbatch))])
    assert ends == [0, 1, 2, 3] and batches[-1] == (3, 7)
    assert "Epoch[3] Validation-accuracy=1.0" in caplog.text
    [(name, accuracy)] = module.score(held_out, "acc")
    assert name == "accuracy" and accuracy > 0.95
    predicted = module.predict(held_out)
    assert predicted.shape == (50, 3), "padding is taken off"
    assert (predicted.asnumpy().argmax(1) == blobs(50)[1]).mean() > 0.95
    assert [o.shape for o in module.predict(held_out, merge_batches=False)[1]] == [(18, 3)]
    assert module.predict(mx.nd.array(data[:32]), always_output_list=True)[0].shape == (32, 3)


def test_the_usual_script(tmp_path, caplog):
    data, label = blobs()
    train = mx.io.NDArrayIter(data, label, batch_size=32, shuffle=True)
    held_out = mx.io.NDArrayIter(*blobs(50), batch_size=32)
    module = mx.mod.Module(classifier())
    with caplog.at_level(logging.INFO):
        module.fit(train, eval_data=held_out, num_epoch=2, optimizer="adam",
                   optimizer_params={"learning_rate": 0.02}, eval_metric=["acc", "ce"],
                   batch_end_callback=mx.callback.Speedometer(32, 2),
                   epoch_end_callback=mx.callback.do_checkpoint(str(tmp_path / "net")))
    assert "Epoch[1] Batch [2-4]\tSpeed:" in caplog.text and "Validation-cross-entropy" in caplog.text
    assert dict(module.score(train, "acc"))["accuracy"] > 0.9
    symbol, arguments, states = mx.model.load_checkpoint(str(tmp_path / "net"), 2)
    again = mx.mod.Module(symbol)
    again.bind(train.provide_data, train.provide_label, for_training=False)
    again.set_params(arguments, states)
    np.testing.assert_array_equal(again.predict(held_out).asnumpy(), module.predict(held_out).asnumpy())
    assert isinstance(again.data_shapes[0], mx.io.DataDesc)


def test_time_major_batches_are_cut_along_n():
    net = mx.sym.SequenceLast(mx.sym.var("data") * 2)
    module = mx.mod.Module(net, label_names=None, context=[mx.cpu(0), mx.cpu(1)])
    module.bind([mx.io.DataDesc("data", (3, 4, 2), layout="TNC")], for_training=False)
    module.init_params()
    data = np.arange(24, dtype="float32").reshape(3, 4, 2)
    module.forward(mx.io.DataBatch([mx.nd.array(data)], provide_data=[mx.io.DataDesc("data", (3, 4, 2), layout="TNC")]),
                   is_train=False)
    np.testing.assert_array_equal(module.get_outputs()[0].asnumpy(), 2 * data[-1])


def test_two_devices_make_the_update_of_one():
    data, label = blobs(12)
    results = []
    for contexts in ([mx.cpu(0)], [mx.cpu(0), mx.cpu(1)]):
        module = mx.mod.Module(classifier(), context=contexts)
        batch = next(iter(Batches(data, label, 12)))
        module.bind(batch.provide_data, batch.provide_label)
        module.init_params(Waves())
        module.init_optimizer(optimizer_params={"learning_rate": 0.1, "momentum": 0.9})
        for _ in range(3):
            module.forward_backward(batch)
            module.update()
        results.append({name: a.asnumpy() for name, a in module.get_params()[0].items()})
    for name, value in results[0].items():
        np.testing.assert_allclose(value, results[1][name], rtol=1e-4, atol=1e-6, err_msg=name)


def test_gradients_of_inputs_and_outputs_given():
    hidden = mx.sym.FullyConnected(mx.sym.var("data"), num_hidden=3, name="fc")
    module = mx.mod.Module(hidden, label_names=None)
    module.bind([("data", (2, 8))], inputs_need_grad=True)
    module.init_params(mx.init.One())
    batch = one_batch(2)
    batch.label = None
    module.forward(batch, is_train=True)
    module.backward([mx.nd.ones((2, 3))])
    np.testing.assert_allclose(module.get_input_grads()[0].asnumpy(), np.full((2, 8), 3.0))
    assert module.get_outputs()[0].shape == (2, 3)
    with pytest.raises(AssertionError, match="inputs_need_grad=True"):
        bound().get_input_grads()


def test_fixed_parameters_and_gradient_requests():
    module = mx.mod.Module(classifier(), fixed_param_names=["fc1_weight"])
    batch = one_batch()
    module.bind(batch.provide_data, batch.provide_label, grad_req={"fc2_bias": "add"})
    module.init_params(Waves())
    before = module.get_params()[0]["fc1_weight"].asnumpy().copy()
    module.init_optimizer(optimizer_params={"learning_rate": 1.0})
    module.forward_backward(batch)
    once = module.get_grads()[0]["fc2_bias"].asnumpy().copy()
    module.forward_backward(batch)
    np.testing.assert_allclose(module.get_grads()[0]["fc2_bias"].asnumpy(), 2 * once, rtol=1e-5)
    module.update()
    np.testing.assert_array_equal(module.get_params()[0]["fc1_weight"].asnumpy(), before)
    assert "fc1_weight" not in module.get_grads()[0]


def test_another_batch_shape_rebinds_and_keeps_the_parameters():
    module = bound(6)
    weight = module.get_params()[0]["fc1_weight"]
    module.forward(one_batch(4), is_train=False)
    assert module.get_outputs()[0].shape == (4, 3) and module.data_shapes == [("data", (4, 8))]
    assert module.get_params()[0]["fc1_weight"] is weight
    assert module.output_shapes == [("softmax_output", (4, 3))]


def test_checkpoints_resume_exactly(tmp_path):
    data, label = blobs(24)
    batches = list(Batches(data, label, 6))

    def run(module, batches):
        for batch in batches:
            module.forward_backward(batch)
            module.update()

    def started():
        module = bound()
        module.init_optimizer(optimizer="adam")
        return module

    through = started()
    run(through, batches)
    first = started()
    run(first, batches[:2])
    first.save_checkpoint(str(tmp_path / "net"), 2, save_optimizer_states=True)
    resumed = mx.mod.Module.load(str(tmp_path / "net"), 2, load_optimizer_states=True)
    resumed.bind(batches[0].provide_data, batches[0].provide_label)
    resumed.init_optimizer(optimizer="adam")
    resumed._updates.optimizer.begin_num_update = 2
    resumed._updates.optimizer.num_update = 2
    run(resumed, batches[2:])
    for name, array in through.get_params()[0].items():
        np.testing.assert_allclose(resumed.get_params()[0][name].asnumpy(), array.asnumpy(), rtol=1e-6, err_msg=name)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["net-0002.params", "net-0002.states", "net-symbol.json"]


def test_parameter_files(tmp_path):
    module, path = bound(), str(tmp_path / "x.params")
    module.save_params(path)
    other = bound()
    other.load_params(path)
    for name, array in module.get_params()[0].items():
        np.testing.assert_array_equal(array.asnumpy(), other.get_params()[0][name].asnumpy())
    mx.nd.save(path, {"fc1_weight": mx.nd.ones((2,))})
    with pytest.raises(FileFormatError, match="arg: or aux:; got 'fc1_weight'"):
        other.load_params(path)


def test_initializers_of_variables_come_first():
    x = mx.sym.FullyConnected(mx.sym.var("data"), mx.sym.var("w_weight", init=mx.init.Constant(2.5)), num_hidden=2,
                              name="fc")
    module = mx.mod.Module(mx.sym.BatchNorm(x, name="bn"), label_names=None)
    module.bind([("data", (2, 3))])
    module.init_params(mx.init.Zero())
    arguments, states = module.get_params()
    assert (arguments["w_weight"].asnumpy() == 2.5).all() and (arguments["fc_bias"].asnumpy() == 0).all()
    assert (states["bn_moving_var"].asnumpy() == 1).all() and (states["bn_moving_mean"].asnumpy() == 0).all()


def test_states_are_carried():
    net = mx.sym.elemwise_add(mx.sym.var("data"), mx.sym.var("state"))
    module = mx.mod.Module(net, label_names=None, state_names=["state"])
    module.bind([("data", (1, 8))])
    module.init_params()
    module.set_states(value=5)
    batch = one_batch(1)
    batch.label = None
    module.forward(batch, is_train=False)
    np.testing.assert_allclose(module.get_outputs()[0].asnumpy(), batch.data[0].asnumpy() + 5)
    module.set_states(states=module.get_outputs())
    np.testing.assert_array_equal(module.get_states()[0].asnumpy(), module.get_outputs()[0].asnumpy())


@pytest.mark.parametrize("call, error, says", [
    (lambda: mx.mod.Module(classifier(), data_names=["date"]), ValueError, "got 'date'.*did you mean 'data'"),
    (lambda: mx.mod.Module(classifier()).get_outputs(), AssertionError, "call bind first"),
    (lambda: bound().update(), AssertionError, "call init_optimizer first"),
    (lambda: mx.mod.Module(classifier()).bind([("x", (1, 8))]), ValueError, "got x; need data"),
    (lambda: mx.mod.Module(classifier(), context=[mx.cpu(0), mx.cpu(1)]).bind([("data", (1, 8))]), ShapeError,
     "batch of 1 cannot be cut over 2"),
    (lambda: bound().set_params({"nope": mx.nd.ones(1)}, {}), ValueError, "got nope"),
    (lambda: bound().set_params({}, {}), RuntimeError, "lacks fc1_weight"),
    (lambda: bound().fit(Batches(*blobs(6), 6)), ValueError, "num_epoch"),
])
def test_wrong_calls_say_what_to_do(call, error, says):
    with pytest.raises(error, match=says):
        call()


def test_set_params_may_leave_some_out():
    module = bound()
    before = module.get_params()[0]["fc1_weight"].asnumpy().copy()
    module.set_params({"fc1_bias": mx.nd.ones((16,)), "other": mx.nd.ones(1)}, None, allow_missing=True,
                      allow_extra=True)
    np.testing.assert_array_equal(module.get_params()[0]["fc1_weight"].asnumpy(), before)
    assert (module.get_params()[0]["fc1_bias"].asnumpy() == 1).all()
