"""Symbols made by operators: names, variables, outputs, composition."""
import copy
import pickle

import pytest

import mxdl as mx
from mxdl.errors import GraphError, NotBuiltError, NotImplementedForSymbol, OperatorError


def mlp():
    hidden = mx.sym.FullyConnected(mx.sym.var("data"), num_hidden=8, name="fc1")
    return mx.sym.FullyConnected(hidden, num_hidden=3, no_bias=True, name="fc2")


def test_missing_inputs_become_variables():
    net = mlp()
    assert net.list_arguments() == ["data", "fc1_weight", "fc1_bias", "fc2_weight"]
    assert net.list_outputs() == ["fc2_output"]
    assert net.list_auxiliary_states() == []
    assert net.name == "fc2" and repr(net) == "<Symbol fc2>"


def test_names_are_counted_by_hint_and_prefixed():
    data = mx.sym.var("data")
    with mx.name.NameManager():
        names = [mx.sym.FullyConnected(data, num_hidden=1).name for _ in range(2)]
    assert names == ["fullyconnected0", "fullyconnected1"]
    with mx.name.Prefix("net_"):
        assert mx.sym.FullyConnected(data, num_hidden=1).name == "net_fullyconnected0"
        assert mx.sym.FullyConnected(data, num_hidden=1, name="fc").name == "net_fc"
    assert isinstance(mx.name.NameManager.current, mx.name.NameManager)


def test_inputs_by_name_in_any_order():
    weight = mx.sym.var("w")
    net = mx.sym.FullyConnected(weight=weight, data=mx.sym.var("x"), num_hidden=2, name="fc")
    assert net.list_arguments() == ["x", "w", "fc_bias"]


def test_internals_children_and_outputs_by_name():
    internals = mlp().get_internals()
    assert internals.list_outputs() == ["data", "fc1_weight", "fc1_bias", "fc1_output", "fc2_weight", "fc2_output"]
    assert internals["fc1_output"].list_arguments() == ["data", "fc1_weight", "fc1_bias"]
    assert mlp().get_children().list_outputs() == ["fc1_output", "fc2_weight"]
    assert mx.sym.var("x").get_children() is None
    with pytest.raises(ValueError, match="did you mean 'fc1_output'"):
        internals["fc1_outpu"]
    with pytest.raises(IndexError):
        internals[6]


def test_group():
    both = mx.sym.Group([mlp(), mx.sym.var("y")])
    assert both.list_outputs() == ["fc2_output", "y"] and both.name is None and len(both) == 2
    assert [s.name for s in both] == ["fc2", "y"]
    with pytest.raises(TypeError, match="Group"):
        mx.sym.Group([])


def test_composition_replaces_variables_in_a_copy():
    net, other = mlp(), mx.sym.FullyConnected(mx.sym.var("z"), num_hidden=4, name="first")
    composed = net(data=other, name="joined")
    assert composed.list_arguments() == ["z", "first_weight", "first_bias", "fc1_weight", "fc1_bias", "fc2_weight"]
    assert composed.name == "joined" and net.name == "fc2"
    assert net.list_arguments()[0] == "data"
    with pytest.raises(GraphError, match="no such argument; got dat; .*did you mean 'data'"):
        net(dat=other)
    with pytest.raises(GraphError, match="keywords"):
        net(other)


def test_copies_do_not_share_attributes():
    net = mlp()
    for twin in (copy.copy(net), copy.deepcopy(net), pickle.loads(pickle.dumps(net))):
        twin._set_attr(lr_mult="3")
        assert twin.attr("lr_mult") == "3" and net.attr("lr_mult") is None
        assert twin.list_arguments() == net.list_arguments()


def test_a_deep_chain_composes_and_saves():
    net = mx.sym.var("x")
    for i in range(5000):
        net = mx.sym.FullyConnected(net, num_hidden=1, no_bias=True, name=f"fc{i}")
    assert len(net.list_arguments()) == 5001
    assert mx.sym.load_json(net.tojson()).list_arguments() == net.list_arguments()


@pytest.mark.parametrize("call, says", [
    (lambda x: mx.sym.FullyConnected(x), "num_hidden' is missing"),
    (lambda x: mx.sym.FullyConnected(x, num_hiden=3), "did you mean 'num_hidden'"),
    (lambda x: mx.sym.FullyConnected(x, num_hidden="a"), "whole number"),
    (lambda x: mx.sym.FullyConnected(x, x, x, 1, True, True, 7), "too many arguments"),
    (lambda x: mx.sym.FullyConnected(x, x, x, num_hidden=1, no_bias=True), "switch off; got bias"),
    (lambda x: mx.sym.FullyConnected(x, num_hidden=1, weight_lr_mult=2), r"weight=mx.sym.var\(..., lr_mult=2\)"),
])
def test_wrong_calls_say_what_to_do(call, says):
    with pytest.raises(OperatorError, match=says):
        call(mx.sym.var("x"))


def test_what_is_no_symbol_is_refused():
    with pytest.raises(TypeError, match="'data': not a Symbol; got int 1"):
        mx.sym.FullyConnected(1, num_hidden=2)
    with pytest.raises(GraphError, match="single output"):
        mx.sym.FullyConnected(mx.sym.Group([mx.sym.var("a"), mx.sym.var("b")]), num_hidden=2)
    with pytest.raises(NotImplementedForSymbol):
        bool(mx.sym.var("a"))
    with pytest.raises(NotImplementedForSymbol):
        mx.sym.var("a").asnumpy()
    with pytest.raises(NotBuiltError):
        mlp().gradient(["data"])
    with pytest.raises(TypeError, match="neither symbol nor number"):
        mx.sym.var("a") + None


def test_functions_have_signatures_and_docs():
    import inspect
    parameters = inspect.signature(mx.sym.FullyConnected).parameters
    assert list(parameters) == ["data", "weight", "bias", "num_hidden", "no_bias", "flatten", "name", "attr"]
    assert parameters["flatten"].default is True
    assert "num_hidden: whole number, required" in mx.sym.FullyConnected.__doc__
    assert mx.sym.op.FullyConnected is mx.sym.FullyConnected
