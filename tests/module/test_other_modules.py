"""Buckets that share parameters, modules in a row, losses written in Python."""
from types import SimpleNamespace

import numpy as np
import pytest

import mxdl as mx
from mxdl.errors import MXNetError
from tests.module.batches import Batches, Waves, blobs, classifier


def bag_of_words(length):
    """Embeds `length` words and classifies their mean."""
    data = mx.sym.var("data")
    net = mx.sym.mean(mx.sym.Embedding(data, input_dim=10, output_dim=4, name="embed"), axis=1)
    net = mx.sym.FullyConnected(net, num_hidden=2, name="fc")
    return mx.sym.SoftmaxOutput(net, name="softmax"), ("data",), ("softmax_label",)


def sentences(length, size=4, seed=0):
    """Words 0-4 mean class 0, words 5-9 class 1."""
    rng = np.random.default_rng(seed)
    label = rng.integers(0, 2, size)
    data = rng.integers(0, 5, (size, length)) + 5 * label[:, None]
    return SimpleNamespace(data=[mx.nd.array(data)], label=[mx.nd.array(label)], pad=0, bucket_key=length,
                           provide_data=[("data", (size, length))], provide_label=[("softmax_label", (size,))])


def test_buckets_share_parameters_and_optimizer():
    module = mx.mod.BucketingModule(bag_of_words, default_bucket_key=6)
    module.bind([("data", (4, 6))], [("softmax_label", (4,))])
    module.init_params(Waves())
    module.init_optimizer(optimizer_params={"learning_rate": 1.0})
    metric = mx.metric.create("acc")
    for step in range(40):
        batch = sentences((6, 3, 5)[step % 3], seed=step)
        module.prepare(batch)
        module.forward_backward(batch)
        module.update()
        if step >= 30:
            module.update_metric(metric, batch.label)
    assert metric.get()[1] == 1.0
    arrays = {id(m.get_params()[0]["embed_weight"]) for m in module._modules.values()}
    assert len(module._modules) == 3 and len(arrays) == 1
    module.switch_bucket(3, [("data", (4, 3))], [("softmax_label", (4,))])
    assert module.data_shapes == [("data", (4, 3))] and module.output_names == ["softmax_output"]


def test_bucketing_checkpoints(tmp_path):
    module = mx.mod.BucketingModule(bag_of_words, default_bucket_key=6)
    module.bind([("data", (4, 6))], [("softmax_label", (4,))])
    module.init_params(Waves())
    module.forward(sentences(3), is_train=False)
    expected = module.get_outputs()[0].asnumpy()
    module.save_checkpoint(str(tmp_path / "b"), 1)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["b-0001.params", "b-3-symbol.json", "b-6-symbol.json"]
    again = mx.mod.BucketingModule.load(str(tmp_path / "b"), 1, sym_gen=bag_of_words, default_bucket_key=6)
    again.bind([("data", (4, 6))], [("softmax_label", (4,))], for_training=False)
    again.forward(sentences(3), is_train=False)
    np.testing.assert_array_equal(again.get_outputs()[0].asnumpy(), expected)


def test_modules_in_a_row_learn_like_one():
    data, label = blobs()
    first = mx.sym.Activation(mx.sym.FullyConnected(mx.sym.var("data"), num_hidden=16, name="fc1"), act_type="relu")
    last = mx.sym.SoftmaxOutput(mx.sym.FullyConnected(mx.sym.var("hidden"), num_hidden=3, name="fc2"), name="softmax")
    row = mx.mod.SequentialModule()
    row.add(mx.mod.Module(first, label_names=None))
    row.add(mx.mod.Module(last, data_names=["hidden"]), take_labels=True, auto_wiring=True)
    row.fit(Batches(data, label, 32), num_epoch=3, initializer=Waves(),
            optimizer_params={"learning_rate": 0.1})
    assert dict(row.score(Batches(data, label, 32), "acc"))["accuracy"] > 0.95
    assert sorted(row.get_params()[0]) == ["fc1_bias", "fc1_weight", "fc2_bias", "fc2_weight"]
    one = mx.mod.Module(classifier())
    batch = next(iter(Batches(data, label, 32)))
    one.bind(batch.provide_data, batch.provide_label)
    one.set_params(*row.get_params())
    for module in (one, row):
        module.forward_backward(batch)
    np.testing.assert_allclose(one.get_grads()[0]["fc1_weight"].asnumpy(),
                               row._modules[0].get_grads()[0]["fc1_weight"].asnumpy(), rtol=1e-4, atol=1e-6)


def test_a_loss_written_in_python():
    def gradient(scores, labels):
        return mx.nd.array(scores.asnumpy() - np.eye(3)[labels.asnumpy().astype(int)])

    data, label = blobs()
    net = mx.sym.softmax(mx.sym.FullyConnected(mx.sym.var("data"), num_hidden=3, name="fc"), axis=-1)
    row = mx.mod.SequentialModule()
    row.add(mx.mod.Module(net, label_names=None))
    row.add(mx.mod.PythonLossModule(grad_func=gradient), take_labels=True, auto_wiring=True)
    row.fit(Batches(data, label, 32), num_epoch=5, initializer=Waves(),
            optimizer_params={"learning_rate": 0.5})
    assert dict(row.score(Batches(data, label, 32), "acc"))["accuracy"] > 0.9
    with pytest.raises(MXNetError, match="takes no gradients"):
        row.backward([mx.nd.ones((32, 3))])


@pytest.mark.parametrize("call, error, says", [
    (lambda: mx.mod.BucketingModule(bag_of_words), ValueError, "default_bucket_key"),
    (lambda: mx.mod.BucketingModule.load("x", 1), ValueError, "sym_gen"),
    (lambda: mx.mod.SequentialModule().add(None, labels=True), ValueError, "no such setting; got labels"),
])
def test_wrong_calls_say_what_to_do(call, error, says):
    with pytest.raises(error, match=says):
        call()


def test_two_parameters_of_one_name_in_a_row():
    row = mx.mod.SequentialModule()
    for _ in range(2):
        row.add(mx.mod.Module(mx.sym.FullyConnected(mx.sym.var("data"), num_hidden=8, name="fc"), label_names=None),
                auto_wiring=True)
    row.bind([("data", (2, 8))])
    with pytest.raises(ValueError, match="modules 0 and 1 both have a parameter 'fc_"):
        row.init_params(Waves())
