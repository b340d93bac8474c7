"""Parameters, constants and dictionaries of them."""
import numpy as np
import pytest

import mxdl as mx
from mxdl import gluon, nd
from mxdl.errors import DeferredInitializationError, NotBuiltError


def made(shape=(2, 3), **kwargs):
    param = gluon.Parameter("w", shape=shape, **kwargs)
    param.initialize(init=mx.init.One())
    return param


def test_one_array_and_gradient_a_context():
    param = gluon.Parameter("w", shape=(2, 3))
    param.initialize(ctx=[mx.cpu(0), mx.cpu(1)])
    assert [x.ctx for x in param.list_data()] == [mx.cpu(0), mx.cpu(1)] == param.list_ctx()
    np.testing.assert_array_equal(param.data(mx.cpu(0)).asnumpy(), param.data(mx.cpu(1)).asnumpy())
    assert [g.shape for g in param.list_grad()] == [(2, 3), (2, 3)]
    assert param.grad(mx.cpu(1)).ctx == mx.cpu(1)
    with pytest.raises(RuntimeError, match=r"got ctx=cpu\(2\)"):
        param.data(mx.cpu(2))


def test_reading_too_early_says_what_to_do():
    param = gluon.Parameter("w", shape=(2, 0), allow_deferred_init=True)
    for read in (param.data, param.list_data, param.grad, param.list_ctx):
        with pytest.raises(RuntimeError, match="'w': not initialized"):
            read()
    param.initialize()
    with pytest.raises(DeferredInitializationError, match=r"shape \(2, 0\) is not known"):
        param.data()
    assert param.list_ctx() == [mx.cpu()]
    param.shape = (2, 3)
    param._finish_deferred_init()
    assert param.data().shape == (2, 3)


def test_an_unknown_shape_that_may_not_wait_is_an_error():
    with pytest.raises(ValueError, match="only a whole shape"):
        gluon.Parameter("w", shape=(2, 0)).initialize()


def test_shapes_only_become_better_known():
    param = gluon.Parameter("w", shape=(0, 3), allow_deferred_init=True)
    param.shape = (4, 3)
    with pytest.raises(AssertionError, match=r"\(4, 3\) cannot change; got \(4, 5\)"):
        param.shape = (4, 5)


def test_initializing_again_warns_unless_forced():
    param = made()
    with pytest.warns(UserWarning, match="initialized before"):
        param.initialize(init=mx.init.Zero())
    assert param.data().asnumpy().all()
    param.initialize(init=mx.init.Zero(), force_reinit=True)
    assert not param.data().asnumpy().any()


def test_gradients_are_written_added_or_absent():
    param = made((3,))
    x = nd.array([1., 2., 3.])

    def backward():
        with mx.autograd.record():
            y = (param.data() * x).sum()
        y.backward()
    backward()
    backward()
    np.testing.assert_array_equal(param.grad().asnumpy(), [1, 2, 3])
    param.grad_req = "add"
    backward()
    backward()
    np.testing.assert_array_equal(param.grad().asnumpy(), [2, 4, 6])
    param.zero_grad()
    np.testing.assert_array_equal(param.grad().asnumpy(), [0, 0, 0])
    param.grad_req = "null"
    with pytest.raises(RuntimeError, match="grad_req='null'"):
        param.grad()
    with pytest.raises(AssertionError, match="one of write, add, null"):
        param.grad_req = "twice"


def test_set_data_before_and_after_initialization():
    param = gluon.Parameter("w", shape=(0, 2), allow_deferred_init=True)
    with pytest.raises(AssertionError, match="'.*': not initialized"):
        param.set_data(nd.ones((3, 2)))
    param.initialize(ctx=[mx.cpu(0), mx.cpu(1)])
    param.set_data(nd.ones((3, 2)) * 5)
    param._finish_deferred_init()
    assert param.data(mx.cpu(1)).asnumpy().tolist() == [[5, 5]] * 3
    array = param.data(mx.cpu(1))
    param.set_data(nd.ones((3, 2)))
    assert array.asnumpy().tolist() == [[1, 1]] * 3, "arrays that were handed out see the new value"
    with pytest.raises(AssertionError, match="cannot change"):
        param.set_data(nd.ones((4, 2)))


def test_moving_to_other_contexts_and_casting_keep_the_value():
    param = made()
    param.set_data(nd.array(np.arange(6.).reshape(2, 3)))
    param.reset_ctx([mx.cpu(1), mx.cpu(2)])
    assert param.list_ctx() == [mx.cpu(1), mx.cpu(2)]
    param.cast("float16")
    assert param.data(mx.cpu(2)).dtype == np.float16 == param.grad(mx.cpu(1)).dtype
    np.testing.assert_array_equal(param.data(mx.cpu(2)).asnumpy(), np.arange(6).reshape(2, 3))


def test_the_initializer_nearest_to_the_parameter_wins():
    own = gluon.Parameter("w", shape=(2,), init=mx.init.Constant(3))
    own.initialize(default_init=mx.init.One())
    assert own.data().asnumpy().tolist() == [3, 3]
    by_name = gluon.Parameter("b", shape=(2,), init="ones")
    by_name.initialize(default_init=mx.init.Zero())
    assert by_name.data().asnumpy().tolist() == [1, 1]


def test_constants_do_not_change():
    constant = gluon.Constant("c", [[1, 2], [3, 4]])
    constant.initialize()
    assert constant.data().asnumpy().tolist() == [[1, 2], [3, 4]]
    with pytest.warns(UserWarning, match="never gets a gradient; got grad_req="):
        constant.grad_req = "write"
    assert constant.grad_req == "null"


def test_sparse_storage_is_not_built_and_says_so():
    with pytest.raises(NotBuiltError, match="grad_stype='row_sparse'"):
        gluon.Parameter("w", grad_stype="row_sparse")
    with pytest.raises(NotBuiltError, match="take"):
        made().row_sparse_data(nd.array([0]))


def test_a_dictionary_makes_finds_and_checks():
    params = gluon.ParameterDict("net_")
    w = params.get("w", shape=(2, 0), allow_deferred_init=True)
    assert w.name == "net_w" and params.get("w", shape=(2, 3)) is w and w.shape == (2, 3)
    with pytest.raises(AssertionError, match=r"shape=\(2, 3\); got shape=\(3, 3\)"):
        params.get("w", shape=(3, 3))
    with pytest.raises(AssertionError, match="got dtype="):
        params.get("w", dtype="float64")
    c = params.get_constant("c", [1, 2])
    assert params.get_constant("c") is c is params.get_constant("c", [1, 2])
    with pytest.raises(AssertionError, match="holds another value"):
        params.get_constant("c", [1, 3])
    with pytest.raises(KeyError, match="net_d"):
        params.get_constant("d")
    assert list(params) == list(params.keys()) == ["net_w", "net_c"] and "net_w" in params


def test_shared_dictionaries_share_by_full_name():
    first = gluon.ParameterDict("net_")
    w = first.get("w", shape=(2,))
    assert gluon.ParameterDict("net_", shared=first).get("w") is w
    assert gluon.ParameterDict("other_", shared=first).get("w") is not w
    other = gluon.ParameterDict("net_")
    other.get("w")
    with pytest.raises(AssertionError, match="two Parameters are called 'net_w'"):
        first.update(other)


def test_saving_with_prefixes(tmp_path):
    file = str(tmp_path / "p.params")
    params = gluon.ParameterDict("net_")
    params.get("w", shape=(2,), init="ones")
    params.initialize()
    params.save(file, strip_prefix="net_")
    assert list(nd.load(file)) == ["w"]
    with pytest.raises(ValueError, match="does not start with strip_prefix='xx'"):
        params.save(file, strip_prefix="xx")
    loaded = gluon.ParameterDict("net_")
    loaded.get("w", shape=(2,))
    loaded.load(file, restore_prefix="net_")
    assert loaded["net_w"].data().asnumpy().tolist() == [1, 1]
    with pytest.raises(AssertionError, match="file .* lacks parameter 'net_w'; got 'w'"):
        loaded.load(file)
    loaded.get("v", shape=(1,))
    with pytest.raises(AssertionError, match="lacks parameter 'v'"):
        loaded.load(file, restore_prefix="net_")
    empty = gluon.ParameterDict("net_")
    with pytest.raises(AssertionError, match="no parameter 'w'; got it from"):
        empty.load(file, restore_prefix="net_")
    empty.load(file, restore_prefix="net_", ignore_extra=True)


@pytest.mark.parametrize("source, dtype", [("current", np.float16), ("saved", np.float32)])
def test_files_of_another_dtype(source, dtype, tmp_path):
    file = str(tmp_path / "p.params")
    nd.save(file, {"w": nd.ones((2,))})
    params = gluon.ParameterDict()
    params.get("w", shape=(2,), dtype="float16")
    with pytest.raises(AssertionError, match="is float16; got float32; cast_dtype=True"):
        params.load(file)
    params.load(file, cast_dtype=True, dtype_source=source)
    assert params["w"].data().dtype == dtype
