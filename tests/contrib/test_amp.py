"""Automatic mixed precision: casts where they belong, equal eager and as a graph, scaled losses, converted models."""
import threading
from types import SimpleNamespace

import numpy as np
import pytest
import torch

import mxdl as mx
from mxdl import autograd, gluon
from mxdl.contrib import amp
from mxdl.errors import GraphError, MXNetError, OperatorError
from mxdl.executor.memory import track
from mxdl.gluon import nn, rnn
from mxdl.ndarray.invoke import invoke
from mxdl.ndarray.mixed_precision import use
from mxdl.ops import precision, registry
from mxdl.ops.precision import Policy
from mxdl.types import torch_dtype

HALVES = ("float16", "bfloat16")


@pytest.fixture(autouse=True)
def off_afterwards():
    yield
    amp.amp.uninit()


def convolutional():
    net = nn.HybridSequential()
    net.add(nn.Conv2D(8, 3, padding=1), nn.BatchNorm(), nn.Activation("relu"), nn.Conv2D(8, 3, padding=1),
            nn.MaxPool2D(), nn.Flatten(), nn.Dropout(0.3), nn.Dense(10))
    return net


class Mixing(gluon.HybridBlock):
    """Wide and half values meet: sums, concatenations, a norm, a loop."""

    def __init__(self):
        super().__init__()
        self.up, self.norm, self.down = nn.Dense(16, flatten=False), nn.LayerNorm(), nn.Dense(10)

    def hybrid_forward(self, F, x):
        y = F.Activation(self.up(x), act_type="softrelu")
        z = F.concat(self.norm(y), y * 2, F.exp(-F.abs(x)), dim=-1)
        steps, _ = F.contrib.foreach(lambda row, state: (row + state, row * 0.5), F.transpose(z, axes=(1, 0, 2)),
                                     [F.zeros_like(F.slice_axis(z, axis=1, begin=0, end=1)).reshape((0, -1))][0])
        return self.down(F.where(z > 0.5, z, 1 / (z + 3)) + F.transpose(steps, axes=(1, 0, 2)))


seen = []     # (is traced, dtype) of a layer's output in `Written`


class Written(gluon.HybridBlock):
    """`forward` instead of `hybrid_forward`, and a parameter of its own."""

    def __init__(self):
        super().__init__()
        self.dense = nn.Dense(10)
        with self.name_scope():
            self.scale = self.params.get("scale", shape=(1, 10), init="ones")

    def forward(self, x):
        y = self.dense(x)
        seen.append((y._data.is_meta, y._data.dtype))
        return mx.nd.broadcast_mul(y, self.scale.data()) ** 2


NETS = {"convolutional": (convolutional, (4, 3, 8, 8)), "mixing": (Mixing, (4, 5, 6)), "written": (Written, (4, 6)),
        "lstm": (lambda: rnn.LSTM(10, layout="NTC"), (4, 3, 6))}


def made(make, x=None):
    mx.random.seed(3)
    np.random.seed(3)
    net = make()
    net.initialize(mx.init.Xavier())
    if x is not None:
        net(x)      # shapes are known, parameters drawn in one order
    return net


def trained_once(net, x):
    """Output, loss and gradients of one step, as they are."""
    mx.random.seed(5)
    label = mx.nd.arange(x.shape[0])
    with autograd.record():
        out = net(x)
        out = out.reshape((x.shape[0], -1))
        loss = gluon.loss.SoftmaxCrossEntropyLoss()(out, label)
    loss.backward()
    grads = [p.grad() for p in net.collect_params().values() if p.grad_req != "null"]
    return [a._data.clone() for a in (out, loss, *grads)]


@pytest.mark.parametrize("name, target", [("convolutional", "bfloat16"), ("mixing", "float16"), ("lstm", "bfloat16"),
                                          ("written", "float16"), ("written", "bfloat16")])
def test_graphs_and_arrays_agree_to_the_bit(name, target):
    make, shape = NETS[name]
    seen.clear()
    x = mx.nd.random.normal(shape=shape)
    amp.init(target)
    eager = trained_once(made(make, x), x)
    assert eager[1].dtype is torch.float32 and all(g.dtype is torch.float32 for g in eager[2:])
    found = []
    for flags in ({}, {"mirror": True}, {"mirror": "min"}, {"mirror": "sqrt"}):
        net = made(make, x)
        net.hybridize(**flags)
        found.append(trained_once(net, x))
        assert all(a.dtype is b.dtype and torch.equal(a, b) for a, b in zip(found[-1], found[0], strict=True)), flags
    for ours, theirs in zip(found[0], eager, strict=True):
        if name == "mixing":    # where a value is read twice, graphs and tapes add gradients in other orders
            torch.testing.assert_close(ours, theirs, rtol=0.02, atol=1e-3)
        else:
            assert ours.dtype is theirs.dtype and torch.equal(ours, theirs)
    if name == "written":
        assert {(False, torch_dtype(target)), (True, torch_dtype(target))} == set(seen)     # traced as it runs
    amp.amp.uninit()
    plain = trained_once(made(make, x), x)
    assert not torch.equal(plain[0], eager[0].float())
    if name != "convolutional":     # whose relu and pooling choose otherwise for other roundings
        for ours, theirs in zip(plain, eager, strict=True):
            torch.testing.assert_close(theirs.float(), ours, rtol=0.1, atol=0.05)


def test_statistics_and_parameters_stay_in_float32():
    amp.init()
    net = made(convolutional, mx.nd.zeros((4, 3, 8, 8)))
    net.hybridize()
    out = trained_once(net, mx.nd.random.normal(shape=(4, 3, 8, 8)))[0]
    assert out.dtype is torch.float16
    assert {p.data()._data.dtype for p in net.collect_params().values()} == {torch.float32}
    assert float(net[1].running_var.data().sum().asscalar()) != 8


def test_half_inputs_and_first_calls_with_unknown_shapes():
    amp.init()
    x = mx.nd.random.normal(shape=(4, 3, 8, 8)).astype("float16")
    eager, net = convolutional(), convolutional()
    eager.initialize(mx.init.Constant(0.01))
    net.initialize(mx.init.Constant(0.01))
    net.hybridize()
    np.testing.assert_array_equal(net(x).asnumpy(), eager(x).asnumpy())
    np.testing.assert_array_equal(net(x.astype("float32")).asnumpy(), eager(x.astype("float32")).asnumpy())


def test_a_policy_holds_in_every_thread_and_ends():
    amp.init("bfloat16")
    found = []

    def run():
        found.append(mx.nd.dot(mx.nd.FullyConnected(mx.nd.ones((2, 2)), mx.nd.ones((2, 2)), num_hidden=2, no_bias=True),
                               mx.nd.ones((2, 2)))._data.dtype)
        found.append(mx.nd.FullyConnected(mx.nd.ones((2, 2)), mx.nd.ones((2, 2)), num_hidden=2,
                                          no_bias=True)._data.dtype)
    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    amp.amp.uninit()
    run()
    assert found == [torch.float32, torch.bfloat16, torch.float32, torch.float32]


def test_arithmetic_takes_the_widest_and_powers_float32():
    amp.init()
    half, wide = mx.nd.full((2,), 300, dtype="float16"), mx.nd.ones((2,))
    assert [a._data.dtype for a in (half + wide, wide * half, half + half, half * 2)] == [
        torch.float32, torch.float32, torch.float16, torch.float16]
    assert (half ** 2).asnumpy().tolist() == [90000, 90000] and (1 / half)._data.dtype is torch.float32
    double = mx.nd.ones((2,), dtype="float64")
    assert (half + double)._data.dtype is torch.float64 and mx.nd.exp(double)._data.dtype is torch.float64


def test_planned_bytes_are_tracked_bytes_and_halves():
    """The plan of a step under mixed precision is what the step takes, and its activations are half."""
    def deep():
        net = nn.HybridSequential()
        for _ in range(6):
            net.add(nn.Dense(64, use_bias=False, in_units=64), nn.Activation("tanh"))
        return net
    x = mx.nd.random.normal(shape=(1024, 64))
    saved = {}
    for target in (None, "float16"):
        use(Policy(torch.float16) if target else None)
        for mirror in (False, True, "min"):
            net = made(deep)
            net.hybridize(mirror=mirror)
            plan = net.memory_plan(x, mirror=mirror)
            for _ in range(2):      # the second step's memory is the plan's: the first still makes the programs
                with track() as usage:
                    with autograd.record():
                        out = net(x)
                    out.backward()
                    del out
            saved[target, mirror] = plan.activation_peak
            gradients = sum(p.data()._data.nbytes for p in net.collect_params().values())
            head = x.size * (2 if target else 4)
            assert abs(usage.peak - (plan.activation_peak + gradients)) <= gradients + head, (target, mirror)
    for mirror in (False, True, "min"):
        assert saved["float16", mirror] <= 0.6 * saved[None, mirror], saved


# -- operators ------------------------------------------------------------------------------------------------------
def test_every_operator_has_one_class_and_every_name_in_the_table_is_one():
    lists = [amp.list_lp16_ops, amp.list_fp32_ops, amp.list_widest_type_cast, amp.list_lp16_fp32_ops]
    names = [name for one in lists for name in one("float16")]
    conditional = [name for name, _, _ in amp.list_conditional_fp32_ops("float16")]
    assert sorted(set(names)) == sorted(names)
    listed = {registry.get(name).name for name in [*names, *conditional]}
    assert listed == {op.name for op in registry.all()} and len(listed) >= 430
    absent = [name for name in precision._CLASSES if registry.find(name) is None]
    assert set(absent) <= {"Custom", "Correlation"}, absent     # operators of MXNet's lists that are not built


@pytest.mark.parametrize("wanted", [precision.LOW, precision.FLOAT32, precision.WIDEST])
def test_operators_of_a_class_run_on_halves(wanted):
    """On each sample's numbers in float16, what comes out is near what float32 gives, and of the dtype of the class."""
    policy = Policy(torch.float16)
    count = 0
    for op in registry.all():
        if policy.precision(op, {}) is not wanted or op.name.startswith("_"):
            continue
        for sample in op.samples[:2]:
            arrays = [mx.nd.array(a, dtype=a.dtype) for a in sample.arrays()]
            floats = [a._data.dtype is torch.float32 for a in arrays]
            if not any(floats) or any(a._data.dtype is torch.float64 for a in arrays):
                continue
            use(policy)
            first = next(i for i, is_float in enumerate(floats) if is_float)
            halves = [a.astype("float16") if is_float and (wanted is not precision.WIDEST or i == first) else a
                      for i, (a, is_float) in enumerate(zip(arrays, floats, strict=True))]
            out = invoke(op, halves, op.parse(sample.attrs))
            use(None)
            one = out[0] if isinstance(out, list) else out
            expected = torch.float16 if wanted is precision.LOW or (wanted is precision.WIDEST and sum(floats) == 1) \
                else torch.float32
            given = op.filled(op.parse(sample.attrs)).get("dtype")
            assert given or one._data.dtype in (expected, torch.uint8, torch.int32, torch.bool), (op, sample)
            count += 1
    assert count >= {precision.LOW: 8, precision.FLOAT32: 60, precision.WIDEST: 30}[wanted], count


def test_own_lists_and_what_they_refuse():
    policy = Policy(torch.float16, low=["exp"], conditional=[("Activation", "act_type", ["relu"])])
    op = registry.get
    assert policy.precision(op("exp"), {}) is precision.LOW
    assert policy.precision(op("FullyConnected"), {}) is precision.EITHER
    assert policy.precision(op("Activation"), {"act_type": "relu"}) is precision.FLOAT32
    assert policy.precision(op("LeakyReLU"), {"act_type": "elu"}) is precision.EITHER
    with pytest.raises(OperatorError, match="one precision; got exp"):
        Policy(torch.float16, low=["exp"], float32=["exp"])
    with pytest.raises(OperatorError, match="unknown operator"):
        amp.init(target_precision_ops=["nosuch"])
    with pytest.raises(OperatorError, match="no attribute 'kind'"):
        amp.init(conditional_fp32_ops=[("Activation", "kind", ["relu"])])
    with pytest.raises(AssertionError, match="float16 or bfloat16"):
        amp.init("float32")
    with pytest.raises(AssertionError, match="float16 or bfloat16"):
        amp.list_fp32_ops("float64")


# -- loss scaling ---------------------------------------------------------------------------------------------------
def regression(optimizer="sgd", **settings):
    net = nn.Dense(1, in_units=2, use_bias=False)
    net.initialize(mx.init.One(), ctx=settings.pop("ctx", None))
    net.hybridize()
    return net, gluon.Trainer(net.collect_params(), optimizer, {"learning_rate": 0.5}, **settings)


def step(net, trainer, factor=0.25):
    losses = []
    with autograd.record():
        for ctx in net.weight.list_ctx():
            losses.append((net(mx.nd.ones((2, 2), ctx=ctx)) * factor).mean())
        with amp.scale_loss(losses, trainer) as scaled:
            autograd.backward(scaled)
    trainer.step(1)


@pytest.mark.parametrize("settings", [{}, {"ctx": [mx.cpu(0), mx.cpu(1)], "update_on_kvstore": True},
                                      {"ctx": [mx.cpu(0), mx.cpu(1)], "update_on_kvstore": False}])
def test_a_step_that_overflows_changes_nothing_and_halves_the_scale(settings):
    amp.init()
    net, trainer = regression("adam", **settings)
    amp.init_trainer(trainer)
    step(net, trainer)
    before, count = net.weight.data(mx.cpu(0)).asnumpy(), trainer.optimizer.num_update
    assert (before != 1).all()
    step(net, trainer, factor=1e30)      # over float16's range, with the scale
    assert (net.weight.data(mx.cpu(0)).asnumpy() == before).all() and trainer.optimizer.num_update == count
    assert trainer._amp_loss_scaler.loss_scale == 2 ** 15
    step(net, trainer)
    assert (net.weight.data(mx.cpu(0)).asnumpy() != before).all() and trainer._amp_loss_scaler.loss_scale == 2 ** 15


def test_steps_are_those_of_unscaled_losses_and_small_gradients_survive():
    amp.init()
    net, trainer = regression()
    amp.init_trainer(trainer)
    with autograd.record():
        loss = net(mx.nd.ones((2, 2))).mean() * 2.0 ** -28       # its gradient is 0 in float16
        with amp.scale_loss(loss, trainer) as scaled:
            scaled.backward()
    assert (net.weight.grad().asnumpy() == 2.0 ** -12).all()
    amp.unscale(trainer)
    assert (net.weight.grad().asnumpy() == 2.0 ** -28).all()
    step(net, trainer)
    np.testing.assert_allclose(net.weight.data().asnumpy(), 1 - 0.5 * 0.25)


def test_the_scale_doubles_after_two_thousand_good_steps():
    amp.init()
    net, trainer = regression()
    amp.init_trainer(trainer)
    step(net, trainer)
    scaler = trainer._amp_loss_scaler
    for _ in range(1998):
        scaler._set_next(overflows=False)
    assert scaler.loss_scale == 2 ** 16
    scaler._set_next(overflows=False)
    assert scaler.loss_scale == 2 ** 17


def test_losses_that_ignore_what_comes_from_above_are_scaled_too():
    amp.init()
    net, trainer = regression()
    amp.init_trainer(trainer)
    x = mx.nd.ones((2, 2))
    for hybridized in (False, True):
        grads = []
        for trained in (False, True):
            symbol = mx.sym.LinearRegressionOutput(net(mx.sym.var("data")), mx.sym.var("label"))
            block = gluon.SymbolBlock(symbol, [mx.sym.var("data"), mx.sym.var("label")], net.collect_params())
            trainer._amp_loss_scaler._notify(2.0 ** 10 if trained else 1.0)
            with autograd.record():
                out = block(x, mx.nd.zeros((2, 1))) if hybridized else mx.nd.LinearRegressionOutput(
                    net(x), mx.nd.zeros((2, 1)))
            out.backward()
            grads.append(net.weight.grad().asnumpy())
        np.testing.assert_array_equal(grads[1], grads[0] * 2.0 ** 10)


def test_what_cannot_be_is_refused():
    net, trainer = regression()
    with pytest.raises(AssertionError, match="call amp.init"):
        amp.init_trainer(trainer)
    amp.init()
    with pytest.raises(AssertionError, match="init_trainer"), amp.scale_loss(mx.nd.ones(1), trainer):
        pass
    with pytest.raises(TypeError, match="an Optimizer"):
        amp.init_trainer(mx.optimizer.SGD())
    amp.init_trainer(trainer)
    with pytest.raises(MXNetError, match="backward_and_step"):
        trainer.backward_and_step(net(mx.nd.ones((1, 2))), 1)
    trainer._store = SimpleNamespace(updates=True, is_distributed=True, kv=SimpleNamespace(type="dist_sync"))
    with pytest.raises(MXNetError, match="got 'dist_sync'; .* update_on_kvstore=False"):
        trainer._overflows_on_store()


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_half_weights_train_with_float32_copies(optimizer):
    amp.init()
    net = made(convolutional)
    net.cast("float16")
    net.hybridize()
    trainer = gluon.Trainer(net.collect_params(), optimizer, {"learning_rate": 0.01, "multi_precision": True})
    amp.init_trainer(trainer)
    x, label = mx.nd.random.normal(shape=(4, 3, 8, 8)), mx.nd.arange(4)
    losses = []
    for _ in range(15):
        with autograd.record():
            loss = gluon.loss.SoftmaxCrossEntropyLoss()(net(x), label)
            with amp.scale_loss(loss, trainer) as scaled:
                scaled.backward()
        trainer.step(4)
        losses.append(loss.mean().asscalar())
    assert losses[-1] < 0.6 * losses[0], losses
    assert net[0].weight.data()._data.dtype is torch.float16


# -- converted models -----------------------------------------------------------------------------------------------
@pytest.mark.parametrize("target", HALVES)
@pytest.mark.parametrize("optional", [False, True])
def test_a_converted_block_predicts_and_is_written_and_read(target, optional, tmp_path):
    net = made(convolutional)
    net.hybridize()
    x = mx.nd.random.normal(shape=(4, 3, 8, 8))
    expected = net(x).asnumpy()
    converted = amp.convert_hybrid_block(net, target, cast_optional_params=optional)
    out = converted(x)
    assert out._data.dtype is torch.float32
    np.testing.assert_allclose(out.asnumpy(), expected, atol=0.02)
    dtypes = {str(p.data()._data.dtype) for p in converted.collect_params().values()}
    assert dtypes == ({f"torch.{target}", "torch.float32"} if optional else {"torch.float32"})
    path = str(tmp_path / "model")
    converted.export(path, remove_amp_cast=False)
    if target == "float16":     # MXNet's .params hold no bfloat16
        again = gluon.SymbolBlock.imports(f"{path}-symbol.json", ["data"], f"{path}-0000.params")
        np.testing.assert_array_equal(again(x).asnumpy(), out.asnumpy())
    source = converted.export_c(str(tmp_path / "net.c"), x, precision=target)   # computed in float32, stored in halves
    assert "_Float16" not in source.read_text()
    amp.init(target)        # casts that are there already are not made twice
    np.testing.assert_array_equal(converted(x).asnumpy(), out.asnumpy())


def test_a_model_of_symbol_and_parameters_and_its_refusals():
    data = mx.sym.var("data")
    symbol = mx.sym.SoftmaxOutput(mx.sym.FullyConnected(mx.sym.FullyConnected(data, num_hidden=4, name="a"),
                                                        num_hidden=2, name="b"), name="softmax")
    args = {"a_weight": mx.nd.ones((4, 3)), "a_bias": mx.nd.ones(4), "b_weight": mx.nd.ones((2, 4)),
            "b_bias": mx.nd.ones(2)}
    made, new_args, _ = amp.convert_model(symbol, args, {}, excluded_sym_names=["b"], cast_optional_params=True)
    assert {name: str(a._data.dtype) for name, a in new_args.items()} == {
        "a_weight": "torch.float16", "a_bias": "torch.float16", "b_weight": "torch.float32", "b_bias": "torch.float32"}
    bound = made.bind(mx.cpu(), {**new_args, "data": mx.nd.ones((2, 3)), "softmax_label": mx.nd.zeros(2)})
    assert bound.forward()[0].asnumpy().tolist() == [[0.5, 0.5]] * 2
    with pytest.raises(GraphError, match="excluded_sym_names .* nosuch"):
        amp.convert_symbol(symbol, excluded_sym_names=["nosuch"])
    with pytest.raises(RuntimeError, match="hybridized call"):
        amp.convert_hybrid_block(nn.Dense(2))
    with pytest.raises(TypeError, match="HybridBlock is needed"):
        amp.convert_hybrid_block(symbol)


def test_a_module_binds_under_a_policy_and_buckets_are_converted():
    def sym_gen(length):
        net = mx.sym.FullyConnected(mx.sym.var("data"), num_hidden=2, name="fc")
        return mx.sym.SoftmaxOutput(net, name="softmax"), ("data",), ("softmax_label",)
    module = mx.mod.BucketingModule(sym_gen, default_bucket_key=4)
    module.bind([("data", (2, 4))], [("softmax_label", (2,))])
    module.init_params(mx.init.Uniform(1))
    batch = mx.io.DataBatch([mx.nd.random.normal(shape=(2, 4))], [mx.nd.zeros(2)], bucket_key=4,
                            provide_data=[("data", (2, 4))], provide_label=[("softmax_label", (2,))])
    module.forward(batch, is_train=False)
    plain = module.get_outputs()[0].asnumpy()
    converted = amp.convert_bucketing_module(module, cast_optional_params=True)
    converted.forward(batch, is_train=False)
    half = converted.get_outputs()[0].asnumpy()
    assert str(converted.get_params()[0]["fc_weight"]._data.dtype) == "torch.float16"
    amp.init()
    again = mx.mod.BucketingModule(sym_gen, default_bucket_key=4)
    again.bind([("data", (2, 4))], [("softmax_label", (2,))])
    again.set_params(*module.get_params())
    again.forward(batch, is_train=False)
    np.testing.assert_array_equal(again.get_outputs()[0].asnumpy(), half)
    assert (half != plain).any()
    np.testing.assert_allclose(half, plain, atol=0.01)


@pytest.mark.slow
def test_inductor_compiles_graphs_with_casts():
    amp.init("bfloat16")
    x = mx.nd.random.normal(shape=(4, 6))
    nets = []
    for backend in (None, "inductor"):
        net = made(lambda: nn.Dense(10, activation="tanh"))
        net.hybridize(backend=backend)
        nets.append(trained_once(net, x))
    for ours, theirs in zip(*nets, strict=True):
        torch.testing.assert_close(ours.float(), theirs.float(), rtol=0.05, atol=0.02)


def test_batch_norms_fold_into_convolutions_before_the_casts():
    amp.init("bfloat16")
    x = mx.nd.random.normal(shape=(4, 3, 8, 8))
    net = made(convolutional, x)
    net.hybridize()
    plain = net(x).asnumpy()
    net.hybridize(fold=True)
    folded = net(x)
    assert folded._data.dtype is torch.bfloat16
    np.testing.assert_allclose(folded.asnumpy(), plain, atol=0.05)


def test_exported_c_has_no_casts(tmp_path):
    net = made(convolutional, mx.nd.zeros((4, 3, 8, 8)))
    net.hybridize()
    x = mx.nd.random.normal(shape=(4, 3, 8, 8))
    net(x)
    paths = [block.export_c(str(tmp_path / f"{i}.c"), x, name="net") for i, block in
             enumerate([net, amp.convert_hybrid_block(net)])]
    bare = [[line for line in path.read_text().splitlines() if "source" not in line and "graph" not in line.lower()]
            for path in paths]
    assert bare[0] == bare[1]
