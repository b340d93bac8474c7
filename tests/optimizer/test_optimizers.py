"""Optimizers: lists as single updates, rates per parameter, counts, states as bytes, optimizers of one's own."""
import pickle

import numpy as np
import pytest
import torch

import mxdl as mx
from mxdl.errors import FileFormatError
from mxdl.lr_scheduler import FactorScheduler, PolyScheduler
from mxdl.optimizer import SGD, Adam, AdamW, Optimizer, create, get_updater, register

NAMES = sorted(set(Optimizer.opt_registry) - {"sgld", "groupadagrad"})


def arrays(shapes, seed=0, dtype="float32"):
    rng = np.random.default_rng(seed)
    return [mx.nd.array(rng.normal(size=shape).astype("float32"), dtype=dtype) for shape in shapes]


def numpy(weights):
    return [weight.asnumpy() for weight in weights]


def updated(updater, weights, num_updates=3, together=True, first=0):
    for step in range(first, first + num_updates):
        grads = arrays([weight.shape for weight in weights], seed=step + 1, dtype=weights[0].dtype)
        if together:
            updater(list(range(len(weights))), grads, weights)
        else:
            for index, (grad, weight) in enumerate(zip(grads, weights, strict=True)):
                updater(index, grad, weight)
    return numpy(weights)


SHAPES = [(3, 4), (4,), (2, 2, 2), (1,), (3, 4)]


@pytest.mark.parametrize("name", NAMES)
def test_a_list_is_updated_as_its_members_are(name):
    arguments = {"param_idx2name": {0: "a_weight", 1: "a_bias", 2: "b_weight", 3: "b_gamma", 4: "c_weight"}, "wd": 0.1}
    one_by_one = updated(get_updater(create(name, **arguments)), arrays(SHAPES), together=False)
    together = updated(get_updater(create(name, **arguments)), arrays(SHAPES))
    for a, b in zip(one_by_one, together, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("name", NAMES)
def test_states_as_bytes_continue_exactly(name):
    whole = updated(get_updater(create(name)), arrays(SHAPES), 6)
    first, weights = get_updater(create(name)), arrays(SHAPES)
    updated(first, weights, 3)
    second = get_updater(create(name))
    second.set_states(first.get_states(dump_optimizer=True))
    for a, b in zip(whole, updated(second, weights, 3, first=3), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("name", ["sgd", "adam", "adamw", "nag", "lamb"])
@pytest.mark.parametrize("lie", [
    lambda x: x.contiguous(memory_format=torch.channels_last), lambda x: torch.stack([x, x], -1)[..., 0],
    lambda x: x.transpose(0, 1).contiguous().transpose(0, 1)], ids=["channels-last", "strided", "transposed"])
def test_the_layout_of_memory_does_not_matter(name, lie):
    arguments = {"momentum": 0.9} if name in ("sgd", "nag") else {}
    (weight,), grads = arrays([(4, 3, 2, 2)]), arrays([(4, 3, 2, 2)] * 3, seed=9)
    for weight_lies, grad_lies in ((True, False), (False, True), (True, True)):
        expected, ours = weight.copy(), mx.nd.NDArray(lie(weight.to_torch()) if weight_lies else weight.copy())
        plain, other = get_updater(create(name, **arguments)), get_updater(create(name, **arguments))
        for grad in grads:
            plain(0, grad, expected)
            other(0, mx.nd.NDArray(lie(grad.to_torch())) if grad_lies else grad, ours)
        np.testing.assert_allclose(ours.asnumpy(), expected.asnumpy(), rtol=1e-6, atol=1e-7)


def test_states_hold_counts_rates_and_the_schedule():
    first = get_updater(Adam(lr_scheduler=FactorScheduler(2, 0.5, base_lr=0.3)))
    updated(first, arrays(SHAPES), 3)
    first.optimizer.wd = 0.7
    second = get_updater(Adam(lr_scheduler=FactorScheduler(9, 0.9)))
    second.set_states(first.get_states(dump_optimizer=True))
    assert second.optimizer.num_update == 3 and second.optimizer.wd == 0.7
    assert second.optimizer.learning_rate == first.optimizer.learning_rate == 0.15


class Evil:
    def __reduce__(self):
        return pytest.fail, ("code in a file of states was run",)


@pytest.mark.parametrize("content", [pickle.dumps({0: Evil()}, 2), pickle.dumps({0: 1}, 2), b"", b"garbage"])
def test_bytes_that_are_no_states_are_refused_and_never_run(content):
    with pytest.raises(FileFormatError, match="no states that mxdl wrote"):
        get_updater(SGD()).set_states(content)


def test_states_of_another_optimizer_are_refused():
    with pytest.raises(FileFormatError, match="belong to Adam; got an optimizer SGD"):
        get_updater(SGD()).set_states(get_updater(Adam()).get_states(dump_optimizer=True))


def test_states_cut_short_are_refused():
    updater = get_updater(Adam())
    updated(updater, arrays(SHAPES), 1)
    with pytest.raises(FileFormatError):
        get_updater(Adam()).set_states(updater.get_states()[:-200])


def test_rates_and_decays_by_name_index_and_parameter():
    optimizer = SGD(learning_rate=1.0, wd=0.1,
                    param_idx2name={0: "a_weight", 1: "a_bias", 2: "bn_gamma", 3: "bn_beta"})
    assert optimizer._get_wds([0, 1, 2, 3, 4]) == [0.1, 0, 0.1, 0, 0.1]
    optimizer.set_lr_mult({"a_weight": 2.0, 1: 3.0})
    optimizer.set_wd_mult({"a_bias": 0.5})
    assert optimizer._get_lrs([0, 1, 2]) == [2, 3, 1] and optimizer._get_wds([0, 1, 3]) == [0.1, 0.05, 0]

    class Parameter:
        lr_mult, wd_mult = 5.0, 0.0

    assert SGD(learning_rate=1.0, wd=0.1, param_dict={7: Parameter})._get_lr(7) == 5
    assert SGD(learning_rate=1.0, wd=0.1, param_dict={7: Parameter})._get_wd(7) == 0


def test_a_rate_that_is_given_overwrites_the_schedulers():
    assert SGD(lr_scheduler=FactorScheduler(10, base_lr=0.3)).learning_rate == 0.3
    assert Adam(lr_scheduler=PolyScheduler(10, base_lr=0.3)).learning_rate == 0.3
    assert Adam(learning_rate=0.7, lr_scheduler=PolyScheduler(10, base_lr=0.3)).learning_rate == 0.7
    assert (SGD().learning_rate, Adam().learning_rate, create("ftrl").learning_rate) == (0.01, 0.001, 0.1)


def test_setting_the_rate():
    optimizer = SGD()
    optimizer.set_learning_rate(0.5)
    assert optimizer.learning_rate == 0.5
    with pytest.raises(UserWarning, match="lr_scheduler"):
        SGD(lr_scheduler=FactorScheduler(10)).set_learning_rate(0.5)


def test_counts_begin_where_they_are_told_and_are_kept_per_device():
    optimizer = SGD(begin_num_update=5)
    optimizer._update_count([0, 1])
    optimizer._update_count(0)
    assert optimizer._index_update_count == {0: 7, 1: 6} and optimizer.num_update == 7
    optimizer._set_current_context(1)
    optimizer._update_count(0)
    assert optimizer._index_update_count == {0: 6} and optimizer.num_update == 7


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_float32_copies_keep_small_updates(dtype):
    updater = get_updater(SGD(learning_rate=1e-4, momentum=0.9, multi_precision=True))
    weight = mx.nd.ones((4,), dtype=dtype)
    for _ in range(200):
        updater(0, mx.nd.ones((4,), dtype=dtype), weight)
    assert abs(weight.astype("float32").asnumpy()[0] - (1 - 0.191)) < 0.01
    assert updater.states[0][0]._data.dtype == torch.float32


def test_low_precision_without_copies_warns():
    with pytest.warns(UserWarning, match="multi_precision"):
        get_updater(SGD(momentum=0.9))(0, mx.nd.ones((2,), dtype="float16"), mx.nd.ones((2,), dtype="float16"))


def test_gradients_are_left_alone():
    for name in NAMES:
        weight, grad = arrays([(3, 4), (3, 4)])
        before = grad.asnumpy()
        get_updater(create(name, clip_gradient=0.1, rescale_grad=0.5))(0, grad, weight)
        np.testing.assert_array_equal(grad.asnumpy(), before)


def test_a_weight_with_a_gradient_is_updated_in_place():
    weight, = arrays([(3, 4)])
    weight.attach_grad()
    tensor = weight._data
    with mx.autograd.record():
        loss = (weight * weight).sum()
    loss.backward()
    before = weight.asnumpy()
    get_updater(SGD(learning_rate=0.1))(0, weight.grad, weight)
    assert weight._data is tensor
    np.testing.assert_allclose(weight.asnumpy(), before * 0.8, rtol=1e-6)


def test_an_optimizer_of_ones_own_is_given_single_parameters():
    @register
    class Halving(SGD):
        def create_state(self, index, weight):
            return mx.nd.zeros(weight.shape)

        def update(self, index, weight, grad, state):
            self._update_count(index)
            state += 1
            weight[:] = weight - 0.5 * self._get_lr(index) * grad

    try:
        updater, (weight, grad) = get_updater(create("halving", learning_rate=1.0)), arrays([(2,), (2,)])
        expected = weight.asnumpy() - 0.5 * grad.asnumpy()
        updater([3, 4], [grad, grad], [weight, weight.copy()])
        np.testing.assert_allclose(weight.asnumpy(), expected, rtol=1e-6)
        assert updater.states[3].asnumpy().tolist() == [1, 1] and updater.optimizer.num_update == 1
    finally:
        del Optimizer.opt_registry["halving"]


def test_adamw_decays_apart_from_the_gradient():
    weight = mx.nd.ones((2,))
    get_updater(AdamW(learning_rate=0.1, wd=0.5))(0, mx.nd.zeros((2,)), weight)
    np.testing.assert_allclose(weight.asnumpy(), [0.95, 0.95], rtol=1e-6)
    ours, theirs = mx.nd.array([1.0, -2.0]), torch.nn.Parameter(torch.tensor([1.0, -2.0]))
    reference = torch.optim.AdamW([theirs], lr=0.1, weight_decay=0.3, eps=1e-6)
    updater = get_updater(AdamW(learning_rate=0.1, wd=0.3))
    for step in range(5):
        grad, = arrays([(2,)], seed=step)
        updater(0, grad, ours)
        theirs.grad = grad.to_torch().clone()
        reference.step()
    np.testing.assert_allclose(ours.asnumpy(), theirs.detach().numpy(), rtol=1e-5)


def test_langevin_noise_has_the_rates_variance():
    weight = mx.nd.zeros((200, 200))
    get_updater(create("sgld", learning_rate=0.04))(0, mx.nd.zeros((200, 200)), weight)
    assert abs(weight.asnumpy().std() - 0.2) < 0.005


def test_on_a_store():
    store = mx.kv.create("device")
    store.set_optimizer(SGD(learning_rate=0.5, momentum=0.9))
    store.init(["a", "b"], [mx.nd.ones((2,)), mx.nd.ones((3,))])
    store.push(["a", "b"], [[mx.nd.ones((2,)), mx.nd.ones((2,))], [mx.nd.ones((3,))] * 2])
    out = mx.nd.zeros((2,))
    store.pull("a", out=out)
    assert out.asnumpy().tolist() == [0, 0]


def test_wrong_names_and_arguments():
    with pytest.raises(ValueError, match="did you mean 'adam'"):
        create("addam")
    with pytest.raises(TypeError, match="param_idx2name"):
        SGD(param_idx2name=[1])
    with pytest.raises(ValueError, match="made already"):
        create(SGD(), learning_rate=1)
    with pytest.raises(ValueError, match="no weight decay"):
        get_updater(create("groupadagrad", wd=0.1))(0, mx.nd.ones((2, 2)), mx.nd.ones((2, 2)))
    with pytest.raises(NotImplementedError, match="must define update"):
        get_updater(Optimizer())(0, mx.nd.ones((2,)), mx.nd.ones((2,)))


def test_a_name_that_is_taken_is_registered_with_a_warning():
    with pytest.warns(UserWarning, match="takes the place"):
        register(type("SGD", (SGD,), {}))
    with pytest.warns(UserWarning, match="takes the place"):
        register(SGD)


@pytest.mark.parametrize(("settings", "calls"), [({"momentum": 0.9}, 1), ({}, 1), ({"clip_gradient": 0.5}, 3)])
def test_sgd_takes_all_arrays_in_one_call_where_it_reads_them_once(settings, calls, monkeypatch):
    optimizer, seen = SGD(**settings), []
    monkeypatch.setattr(optimizer, "apply", lambda group: seen.append(len(group.weights)))
    updated(get_updater(optimizer), arrays([(1 << 16,)] * 3), num_updates=1)
    assert len(seen) == calls and sum(seen) == 3
