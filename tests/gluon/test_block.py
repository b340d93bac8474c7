"""Blocks: names, children, parameters, files, hooks."""
import importlib

import numpy as np
import pytest

import mxdl as mx
from mxdl import gluon, nd
from mxdl.gluon import nn


class Net(gluon.HybridBlock):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        with self.name_scope():
            self.first = nn.Dense(3, activation="relu")
            self.second = nn.Dense(2)
            self.scale = self.params.get("scale", shape=(1,), init="ones")

    def hybrid_forward(self, F, x, scale):
        return F.broadcast_mul(self.second(self.first(x)), scale)


def run(net, shape=(2, 5)):
    return net(nd.array(np.linspace(-1, 1, int(np.prod(shape))).reshape(shape)))


def test_names_count_up_in_their_scope():
    net = Net(prefix="net_")
    assert (net.first.name, net.second.prefix, net.name) == ("net_dense0", "net_dense1_", "net")
    assert list(net.collect_params()) == ["net_scale", "net_dense0_weight", "net_dense0_bias", "net_dense1_weight",
                                          "net_dense1_bias"]
    inner = nn.HybridSequential(prefix="")
    with net.name_scope():
        outer = nn.Dense(1)
        with inner.name_scope():
            inside = nn.Dense(1)
    assert (outer.name, inside.name) == ("net_dense2", "net_dense3"), "an empty prefix counts on in the outer scope"


def test_default_prefixes_differ():
    first, second = nn.Dense(1), nn.Dense(1)
    assert first.name != second.name and first.name.startswith("dense")


def test_selection_by_regular_expression():
    net = Net(prefix="net_")
    assert list(net.collect_params(".*weight|net_scale")) == ["net_scale", "net_dense0_weight", "net_dense1_weight"]
    net.collect_params(".*bias").setattr("grad_req", "null")
    assert [p.grad_req for p in net.collect_params().values()] == ["write", "write", "null", "write", "null"]


def test_shared_parameters():
    first = nn.Dense(3, in_units=3, prefix="a_")
    second = nn.Dense(3, in_units=3, prefix="b_", params=first.params)
    assert second.weight is first.weight
    net = nn.Sequential()
    net.add(first, second)
    assert list(net.collect_params()) == ["a_weight", "a_bias"]


def test_a_parameter_assigned_by_hand_is_collected():
    net = nn.HybridSequential(prefix="n_")
    net.extra = gluon.Parameter("extra", shape=(1,))
    assert list(net.collect_params()) == ["extra"] == list(net._collect_params_with_prefix())


def test_attributes_keep_their_kind():
    net = Net()
    with pytest.raises(TypeError, match=r"first: holds a \w+ and keeps that kind"):
        net.first = 3
    with pytest.raises(AssertionError, match="scale: a Parameter is in place"):
        net.scale = gluon.Parameter("other", shape=(1,))
    replacement = nn.Dense(7)
    net.first = replacement
    assert net._children["first"] is replacement


def test_blocks_in_lists_are_not_seen_and_a_warning_says_so():
    class Listed(gluon.Block):
        def __init__(self):
            super().__init__()
            self.layers = [nn.Dense(1)]
    with pytest.warns(UserWarning, match="Listed.layers: .* are not children"):
        assert len(Listed().collect_params()) == 0


def test_hybrid_blocks_take_hybrid_children_only():
    with pytest.raises(ValueError, match="takes HybridBlocks only"):
        nn.HybridSequential().add(nn.Lambda("relu"))


def test_files_by_structure(tmp_path):
    file = str(tmp_path / "n.params")
    net = Net()
    net.initialize(mx.init.Uniform(1))
    expected = run(net).asnumpy()
    net.save_parameters(file)
    assert list(nd.load(file)) == ["scale", "first.weight", "first.bias", "second.weight", "second.bias"]
    other = Net(prefix="anything_")
    other.load_parameters(file)
    np.testing.assert_array_equal(run(other).asnumpy(), expected)


def test_files_by_full_names(tmp_path):
    file = str(tmp_path / "n.params")
    net = Net(prefix="net_")
    net.initialize(mx.init.Uniform(1))
    expected = run(net).asnumpy()
    for save in (lambda: net.collect_params().save(file), lambda: net.collect_params().save(file, "net_")):
        save()
        other = Net(prefix="net_")
        other.load_parameters(file)
        np.testing.assert_array_equal(run(other).asnumpy(), expected)
    with pytest.warns(UserWarning, match="deprecated"):
        net.save_params(file)
    other = Net(prefix="other_")
    with pytest.warns(UserWarning, match="deprecated"):
        other.load_params(file)
    np.testing.assert_array_equal(run(other).asnumpy(), expected)


def test_missing_and_extra_parameters_are_named(tmp_path):
    file = str(tmp_path / "n.params")
    nd.save(file, {"first.weight": nd.ones((3, 5)), "third.weight": nd.ones((1,))})
    net = Net()
    net.initialize()
    with pytest.raises(AssertionError, match="lacks parameter 'scale'"):
        net.load_parameters(file)
    with pytest.raises(AssertionError, match="no parameter 'third.weight'; got it from file"):
        net.load_parameters(file, allow_missing=True)
    net.load_parameters(file, allow_missing=True, ignore_extra=True)
    assert net.first.weight.data().asnumpy().all()
    nd.save(file, {"first.weight": nd.ones((4, 5))})
    with pytest.raises(AssertionError, match=r"dense0_weight.* is \(3, 5\); got \(4, 5\)"):
        net.load_parameters(file, allow_missing=True)


def test_a_shared_parameter_may_be_written_once(tmp_path):
    file = str(tmp_path / "n.params")
    shared = nn.Dense(2, in_units=2)

    def build():
        net = nn.Sequential()
        net.add(shared, nn.Dense(2, in_units=2, params=shared.params))
        return net
    net = build()
    net.initialize()
    net.save_parameters(file, deduplicate=True)
    assert sorted(nd.load(file)) == ["1.bias", "1.weight"]
    build().load_parameters(file)


def test_hooks_run_and_come_off():
    net = Net()
    net.initialize()
    calls = []
    before = net.register_forward_pre_hook(lambda block, inputs: calls.append(("before", block, len(inputs))))
    with net.register_forward_hook(lambda block, inputs, output: calls.append(("after", block, output.shape))):
        run(net)
    assert calls == [("before", net, 1), ("after", net, (2, 2))]
    before.detach()
    before.detach()
    run(net)
    assert len(calls) == 2


def test_apply_visits_children_first():
    names = []
    net = Net()
    assert net.apply(lambda block: names.append(type(block).__name__)) is net
    assert names == ["Activation", "Dense", "Dense", "Net"]


def test_cast_reaches_every_parameter():
    net = Net()
    net.initialize()
    run(net)
    net.cast("float64")
    assert {p.data().dtype for p in net.collect_params().values()} == {np.float64}
    assert net(nd.ones((1, 5), dtype="float64")).dtype == np.float64


def test_repr():
    net = nn.HybridSequential()
    net.add(nn.Dense(2, activation="tanh"), nn.Conv2D(4, (3, 2), padding=1, use_bias=False), nn.Dropout(0.5))
    assert repr(net) == """HybridSequential(
  (0): Dense(None -> 2, Activation(tanh))
  (1): Conv2D(None -> 4, kernel_size=(3, 2), stride=(1, 1), padding=(1, 1), bias=False)
  (2): Dropout(p = 0.5, axes=())
)"""


def test_summary_counts_shared_parameters_once(capsys):
    shared = nn.Dense(4, in_units=4)
    net = nn.HybridSequential()
    net.add(nn.Conv2D(4, 3), nn.BatchNorm(), nn.GlobalAvgPool2D(), nn.Flatten(), shared,
            nn.Dense(4, in_units=4, params=shared.params))
    net.initialize()
    net.summary(nd.ones((2, 3, 8, 8)))
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    rows = lines[4:10]
    assert [row[0] for row in rows] == ["Conv2D-1", "BatchNorm-2", "GlobalAvgPool2D-3", "Flatten-4", "Dense-5",
                                        "Dense-6"]
    assert rows[0] == ["Conv2D-1", "(2,", "4,", "6,", "6)", "112"]
    assert ["Total", "params:", "168"] in lines
    assert ["Non-trainable", "params:", "8"] in lines
    assert ["Counted", "twice", "(shared):", "20"] in lines
    net.hybridize()
    with pytest.raises(AssertionError, match="print its layers"):
        net.summary(nd.ones((2, 3, 8, 8)))
    assert not net[0]._forward_hooks, "hooks come off after an error too"


def test_slices_of_containers_share_the_layers():
    net = nn.HybridSequential()
    net.add(nn.Dense(1), nn.Dense(2), nn.Dense(3))
    assert len(net) == 3 and net[1:][0] is net[1] and [layer._units for layer in net] == [1, 2, 3]


def test_an_error_names_the_block():
    net = nn.HybridSequential(prefix="net_")
    with net.name_scope():
        inner = nn.HybridSequential()
        inner.add(nn.Dense(2, in_units=3), nn.Dense(2, in_units=7))
        net.add(nn.Flatten(), inner)
    net.initialize()
    with pytest.raises(mx.MXNetError, match=r"in net\.1\.1 \(Dense "):
        net(nd.ones((2, 3)))


@pytest.mark.parametrize("module, names", [
    ("block", "Block HybridBlock SymbolBlock _flatten _regroup"), ("parameter", "Parameter ParameterDict Constant"),
    ("nn.basic_layers", "Dense Dropout Embedding Flatten Sequential HybridLambda BatchNorm LayerNorm"),
    ("nn.conv_layers", "Conv2D Conv2DTranspose MaxPool2D GlobalAvgPool2D ReflectionPad2D"),
    ("nn.activations", "Activation LeakyReLU PReLU GELU"),
    ("rnn.rnn_cell", "RecurrentCell LSTMCell ModifierCell BidirectionalCell"), ("rnn.rnn_layer", "RNN LSTM GRU"),
    ("loss", "_apply_weighting _reshape_like"), ("utils", "HookHandle _get_repo_file_url"),
    ("model_zoo.model_store", "get_model_file _model_sha1 short_hash purge")])
def test_names_are_where_code_for_mxnet_imports_them_from(module, names):
    found = importlib.import_module(f"mxdl.gluon.{module}")
    assert all(hasattr(found, name) for name in names.split())
    assert not hasattr(found, "NoSuchName")
