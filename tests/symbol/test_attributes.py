"""Attributes of symbols: scopes, hidden keys, variables' own."""
import pytest

import mxdl as mx
from mxdl.errors import OperatorError


def test_hidden_keys_have_two_spellings():
    x = mx.sym.var("x", attr={"ctx_group": "a", "mood": "b"}, lr_mult=2.0)
    assert x.list_attr() == {"__ctx_group__": "a", "ctx_group": "a", "mood": "b", "__lr_mult__": "2.0",
                             "lr_mult": "2.0"}
    assert x.attr("lr_mult") == x.attr("__lr_mult__") == "2.0" and x.attr("nothing") is None
    x._set_attr(wd_mult="4")
    assert x.attr("__wd_mult__") == "4"


def test_a_variable_keeps_what_it_was_given():
    x = mx.sym.var("x", shape=(2, 0), dtype="float16", init="xavier", stype="row_sparse", __mine__="q")
    assert x.list_attr() == {"__shape__": "(2, 0)", "__dtype__": "2", "__init__": "xavier",
                             "__storage_type__": "1", "__mine__": "q"}


def test_scopes_nest_and_reach_the_variables_made():
    with mx.AttrScope(ctx_group="one", __data__="great"):
        with mx.AttrScope(ctx_group="two"):
            net = mx.sym.FullyConnected(mx.sym.var("x"), num_hidden=3, name="fc", attr={"__data__": "small"})
        y = mx.sym.var("y")
    assert mx.AttrScope.current.get() == {}
    assert net.attr("ctx_group") == "two" and net.attr("__data__") == "small"
    assert y.attr("ctx_group") == "one" and y.attr("__data__") == "great"
    attrs = net.attr_dict()
    assert attrs["fc_weight"]["num_hidden"] == "3" and attrs["fc_weight"]["__ctx_group__"] == "two"
    assert attrs["x"]["__data__"] == "great"


@pytest.mark.parametrize("call, error", [
    (lambda: mx.sym.var(3), TypeError),
    (lambda: mx.sym.var("q", attr={"a": 1}), ValueError),
    (lambda: mx.sym.var("q", foo="1"), ValueError),
    (lambda: mx.sym.var("q", stype="dense"), ValueError),
    (lambda: mx.sym.var("q", attr={"weight_lr_mult": "1"}), OperatorError),
    (lambda: mx.AttrScope(a=1), ValueError),
    (lambda: mx.sym.var("q")._set_attr(a=1), ValueError),
])
def test_wrong_attributes_are_refused(call, error):
    with pytest.raises(error, match="got"):
        call()
