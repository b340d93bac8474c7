"""Recurrent layers and cells: fused equals unrolled, layouts, lengths, modifiers, the same bits hybridized."""
import numpy as np
import pytest

import mxdl as mx
from mxdl import autograd, nd
from mxdl.gluon import contrib, rnn
from tests.gluon.layer_checks import check_layer, leaves, pattern, same, train

T, N, C, H = 5, 3, 4, 6
CELLS = {"rnn": rnn.RNNCell, "lstm": rnn.LSTMCell, "gru": rnn.GRUCell}
LAYERS = {"rnn": lambda *args, **kwargs: rnn.RNN(*args, activation="tanh", **kwargs), "lstm": rnn.LSTM, "gru": rnn.GRU}


def close(ours, theirs):
    np.testing.assert_allclose(ours.asnumpy(), theirs.asnumpy(), rtol=1e-5, atol=1e-6)


def cells_of(kind, layer):
    """The stack of cells that computes what the fused layer does, with its parameters."""
    stack = rnn.SequentialRNNCell()
    for i in range(layer._num_layers):
        cells = []
        for direction in "lr"[:layer._dir]:
            cell = CELLS[kind](H)
            cell.initialize()
            for name, param in cell._reg_params.items():
                param.shape = getattr(layer, f"{direction}{i}_{name}").shape
                param._finish_deferred_init()
                param.set_data(getattr(layer, f"{direction}{i}_{name}").data())
            cells.append(cell)
        stack.add(cells[0] if len(cells) == 1 else rnn.BidirectionalCell(*cells))
    return stack


@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("num_layers", [1, 2])
@pytest.mark.parametrize("kind", LAYERS)
def test_fused_layers_equal_their_cells(kind, num_layers, bidirectional):
    layer = LAYERS[kind](H, num_layers, bidirectional=bidirectional)
    layer.initialize(mx.init.Uniform(0.6))
    x = pattern((T, N, C))
    begin = [pattern(info["shape"], i) for i, info in enumerate(layer.state_info(N))]
    outputs, states = layer(x, begin)
    stack = cells_of(kind, layer)
    each = [[s[i] for s in begin] for i in range(num_layers * layer._dir)]
    expected, last = stack.unroll(T, x, [s for part in each for s in part], layout="TNC", merge_outputs=True)
    close(outputs, expected)
    for i in range(num_layers * layer._dir):
        for j, state in enumerate(states):
            close(state[i], last[i * len(states) + j])


@pytest.mark.parametrize("layer", ["LSTM(6, 2, bidirectional=True)", "GRU(6, layout='NTC')", "RNN(6, 2)",
                                   "LSTM(6, dropout=0.5, num_layers=2)"])
def test_layers_hybridize(layer, tmp_path):
    out, = check_layer(lambda: eval(f"rnn.{layer}", {"rnn": rnn}), (T, N, C), folder=tmp_path)
    assert out.shape == (T, N, 12 if "bidirectional" in layer else 6)


def test_hybridized_layers_take_any_batch_and_length():
    layer = rnn.LSTM(H)
    layer.initialize()
    shapes = [(T, N, C), (T, 7, C), (2, 1, C), (4, 4, C)]
    expected = [layer(pattern(shape)).asnumpy() for shape in shapes]
    layer.hybridize()
    for shape, wanted in zip(shapes, expected, strict=True):
        np.testing.assert_array_equal(layer(pattern(shape)).asnumpy(), wanted)


def test_layouts_agree():
    first, second = rnn.GRU(H), rnn.GRU(H, layout="NTC")
    x = pattern((T, N, C))
    for layer, inputs in ((first, x), (second, x.swapaxes(0, 1))):
        layer.initialize()
        layer(inputs)
    for ours, theirs in zip(second.collect_params().values(), first.collect_params().values(), strict=True):
        ours.set_data(theirs.data())
    close(second(x.swapaxes(0, 1)).swapaxes(0, 1), first(x))


def test_a_layer_deep_inside_a_hybrid_net_finds_its_shape():
    class Model(mx.gluon.HybridBlock):
        def __init__(self):
            super().__init__()
            with self.name_scope():
                self.embedding = mx.gluon.nn.Embedding(10, C)
                self.lstm = rnn.LSTM(H, 2)
                self.head = mx.gluon.nn.Dense(3, flatten=False)

        def hybrid_forward(self, F, words, states):
            out, states = self.lstm(self.embedding(words), states)
            return self.head(out), states

    words = nd.array(np.arange(T * N).reshape(T, N) % 10)
    net = Model()
    net.initialize()
    net.hybridize()
    out, states = net(words, net.lstm.begin_state(N))
    assert out.shape == (T, N, 3) and net.lstm.l0_i2h_weight.shape == (4 * H, C)
    hybrid = out.asnumpy()
    net.hybridize(False)
    np.testing.assert_array_equal(net(words, net.lstm.begin_state(N))[0].asnumpy(), hybrid)


def test_sequence_lengths():
    layer = rnn.LSTM(H, use_sequence_length=True)
    plain = rnn.LSTM(H, params=layer.params)
    layer.initialize()
    x, lengths = pattern((T, N, C)), nd.array([2, T, 1])
    outputs, states = layer(x, layer.begin_state(N), lengths)
    for n, length in enumerate([2, T, 1]):
        alone, last = plain(x[:length, n:n + 1], plain.begin_state(1))
        close(outputs[:length, n], alone[:, 0])
        assert not outputs[length:, n].asnumpy().any()
        close(states[0][:, n], last[0][:, 0])
    with pytest.raises(AssertionError, match="use_sequence_length"):
        plain(x, None, lengths)


def test_wrong_states_are_refused():
    layer = rnn.LSTM(H)
    layer.initialize()
    with pytest.raises(ValueError, match=r"is \(1, 3, 6\); got \(1, 2, 6\)"):
        layer(pattern((T, N, C)), layer.begin_state(2))
    with pytest.raises(ValueError, match="needs 2 states; got 1"):
        layer(pattern((T, N, C)), layer.begin_state(N)[0])
    with pytest.raises(AssertionError, match="layout is"):
        rnn.LSTM(H, layout="CTN")


def test_casting_a_layer_casts_its_begin_states():
    layer = rnn.GRU(H, input_size=C)
    layer.initialize()
    layer.cast("float64")
    assert layer(pattern((T, N, C)).astype("float64")).dtype == np.float64
    assert layer.begin_state(N)[0].dtype == np.float64


def stacked():
    stack = rnn.HybridSequentialRNNCell()
    stack.add(rnn.LSTMCell(H))
    stack.add(rnn.DropoutCell(0.3))
    stack.add(rnn.ResidualCell(rnn.GRUCell(H)))
    return stack


MAKERS = {"rnn": lambda: rnn.RNNCell(H), "rnn relu": lambda: rnn.RNNCell(H, activation="relu"),
          "lstm": lambda: rnn.LSTMCell(H), "gru": lambda: rnn.GRUCell(H), "stack": stacked,
          "residual": lambda: rnn.ResidualCell(rnn.RNNCell(C)),
          "zoneout": lambda: rnn.ZoneoutCell(rnn.LSTMCell(H), 0.4, 0.2)}


@pytest.mark.parametrize("name", MAKERS)
def test_a_step_of_a_cell_hybridizes(name):
    cell = MAKERS[name]()
    cell.initialize(mx.init.Uniform(0.5))
    states = [pattern(info["shape"], i) for i, info in enumerate(cell.state_info(N))]
    x = pattern((N, C))

    class Step(mx.gluon.HybridBlock):
        """Flat arguments, so that `train` can drive it."""
        def __init__(self):
            super().__init__(prefix="")
            self.cell = cell

        def hybrid_forward(self, F, x, *states):
            self.cell.reset()
            return self.cell(x, list(states))
    step = Step()
    step(x, *states)
    eager = train(step, [x, *states])
    step.hybridize()
    same(train(step, [x, *states]), eager)


@pytest.mark.parametrize("layout", ["NTC", "TNC"])
def test_unrolling_gives_lists_or_tensors(layout):
    cell = rnn.LSTMCell(H)
    cell.initialize()
    x = pattern((N, T, C) if layout == "NTC" else (T, N, C))
    steps = [x[:, i] if layout == "NTC" else x[i] for i in range(T)]
    as_list, states = cell.unroll(T, x, layout=layout)
    merged, _ = cell.unroll(T, steps, layout=layout, merge_outputs=True)
    assert [s.shape for s in as_list] == [(N, H)] * T and [s.shape for s in states] == [(N, H)] * 2
    for i, step in enumerate(as_list):
        close(merged[:, i] if layout == "NTC" else merged[i], step)
    with pytest.raises(AssertionError, match="got 5 steps along axis"):
        cell.unroll(T + 1, x, layout=layout)


PADDED = {"gru": lambda: rnn.GRUCell(H), "residual": lambda: rnn.ResidualCell(rnn.RNNCell(C)),
          "bidirectional": lambda: rnn.BidirectionalCell(rnn.LSTMCell(H), rnn.GRUCell(H))}


@pytest.mark.parametrize("make", PADDED.values(), ids=PADDED)
@pytest.mark.parametrize("merge", [True, False])
def test_padding_changes_nothing(make, merge):
    cell = make()
    cell.initialize(mx.init.Uniform(0.5))
    lengths = [2, T, 1]
    x = pattern((N, T, C))
    outputs, states = cell.unroll(T, x, merge_outputs=merge, valid_length=nd.array(lengths))
    outputs = outputs if merge else nd.stack(*outputs, axis=1)
    for n, length in enumerate(lengths):
        alone, last = cell.unroll(length, x[n:n + 1, :length], merge_outputs=True)
        close(outputs[n, :length], alone[0])
        assert not outputs[n, length:].asnumpy().any()
        for state, expected in zip(states, last, strict=True):
            close(state[n], expected[0])


def test_unrolled_symbols_run_as_arrays_do():
    cell = stacked()
    cell.initialize()
    x = pattern((N, T, C))
    expected, _ = cell.unroll(T, x, merge_outputs=True)
    symbol, _ = cell.unroll(T, mx.sym.var("data"), merge_outputs=True)
    block = mx.gluon.SymbolBlock(symbol, mx.sym.var("data"), params=cell.collect_params())
    np.testing.assert_array_equal(block(x).asnumpy(), expected.asnumpy())


def test_modified_cells_are_used_through_their_modifier():
    base = rnn.LSTMCell(H)
    cell = rnn.ZoneoutCell(base, 0.5)
    assert list(cell.collect_params()) == list(base.collect_params())
    for call in (lambda: base.begin_state(batch_size=2), lambda: rnn.ResidualCell(base)):
        with pytest.raises(AssertionError, match="modif"):
            call()
    assert len(cell.begin_state(batch_size=2)) == 2
    both = rnn.BidirectionalCell(rnn.LSTMCell(H), rnn.LSTMCell(H))
    with pytest.raises(NotImplementedError, match="unroll"):
        both(pattern((N, C)), [])
    with pytest.raises(AssertionError, match="ZoneoutCell: needs a cell that runs step by step"):
        rnn.ZoneoutCell(both)


def test_zoneout_keeps_some_of_the_states():
    cell = rnn.ZoneoutCell(rnn.RNNCell(200), 0, 0.5)
    cell.initialize()
    x, state = pattern((1, C)), nd.ones((1, 200)) * 7
    with autograd.record():
        _, (after,) = cell(x, [state])
    kept = (after.asnumpy() == 7).mean()
    assert 0.3 < kept < 0.7
    assert not (cell(x, [state])[1][0].asnumpy() == 7).any(), "not outside training"


def test_names_and_repr():
    stack = rnn.SequentialRNNCell(prefix="s_")
    with stack.name_scope():
        stack.add(rnn.LSTMCell(H))
        stack.add(rnn.ZoneoutCell(rnn.GRUCell(H), 0.2, 0.3))
    assert repr(stack) == ("SequentialRNNCell(\n(0): LSTMCell(None -> 24)\n"
                           "(1): ZoneoutCell(p_out=0.2, p_state=0.3, GRUCell(None -> 18))\n)")
    assert list(stack.collect_params())[0] == "s_lstm0_i2h_weight" and len(stack) == 2
    assert repr(rnn.LSTM(4, 2, dropout=0.1, bidirectional=True, input_size=3)) == \
        "LSTM(3 -> 4, TNC, num_layers=2, dropout=0.1, bidirectional)"
    assert len(leaves(stack.begin_state(batch_size=2))) == 3


def test_a_projected_cell_by_its_formula():
    cell = contrib.rnn.LSTMPCell(H, 2)
    cell.initialize(mx.init.Uniform(0.5))
    x, r, c = pattern((N, C)), pattern((N, 2), 1), pattern((N, H), 2)
    out, states = cell(x, [r, c])
    w = {name: param.data().asnumpy() for name, param in cell._reg_params.items()}
    gates = x.asnumpy() @ w["i2h_weight"].T + w["i2h_bias"] + r.asnumpy() @ w["h2h_weight"].T + w["h2h_bias"]
    i, f, g, o = np.split(gates, 4, axis=1)
    i, f, o = (1 / (1 + np.exp(-gate)) for gate in (i, f, o))
    memory = f * c.asnumpy() + i * np.tanh(g)
    np.testing.assert_allclose(states[1].asnumpy(), memory, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(out.asnumpy(), (o * np.tanh(memory)) @ w["h2r_weight"].T, rtol=1e-5, atol=1e-6)
    assert repr(cell) == "LSTMPCell(4 -> 24 -> 2)" and [s.shape for s in cell.begin_state(N)] == [(N, 2), (N, H)]


def test_variational_dropout_draws_once_a_sequence():
    cell = contrib.rnn.VariationalDropoutCell(rnn.RNNCell(H, activation="relu"), drop_outputs=0.5)
    cell.initialize(mx.init.One())
    x = nd.ones((N, T, C))
    with autograd.record():
        outputs, _ = cell.unroll(T, x, merge_outputs=True)
    dropped = outputs.asnumpy() == 0
    assert (dropped == dropped[:, :1]).all() and dropped.any() and not dropped.all()
    assert not (cell.unroll(T, x, merge_outputs=True)[0].asnumpy() == 0).any()
    with pytest.raises(AssertionError, match="drop_states has no single state"):
        contrib.rnn.VariationalDropoutCell(rnn.BidirectionalCell(rnn.LSTMCell(H), rnn.LSTMCell(H)), 0.1, 0.1)


@pytest.mark.parity
@pytest.mark.parametrize("cell", [
    "rnn.RNNCell(4, prefix='l_')", "rnn.LSTMCell(4, prefix='l_')", "rnn.GRUCell(4, prefix='l_')",
    "rnn.ResidualCell(rnn.GRUCell(4, prefix='l_'))", "rnn.ZoneoutCell(rnn.LSTMCell(4, prefix='l_'), .1, .2)",
    "contrib.rnn.LSTMPCell(4, 3, prefix='l_')",
    "contrib.rnn.VariationalDropoutCell(rnn.LSTMCell(4, prefix='l_'), .1, .2, .3)"])
def test_cells_write_mxnets_symbols(cell, same_as_mxnet):
    same_as_mxnet(f"""
cell = mx.gluon.{cell.replace("(rnn.", "(mx.gluon.rnn.")}
states = [mx.sym.var(f's{{i}}') for i in range(len(cell.state_info()))]
result = cell(mx.sym.var('x'), states)[0].tojson()
""")
