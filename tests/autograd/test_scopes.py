"""Recording and training scopes."""
import pytest

from mxdl import autograd


def modes():
    return autograd.is_recording(), autograd.is_training()


def test_scopes_nest_and_restore():
    assert modes() == (False, False)
    with autograd.record():
        assert modes() == (True, True)
        with autograd.pause():
            assert modes() == (False, False)
            with autograd.train_mode():
                assert modes() == (False, True)
        with autograd.predict_mode():
            assert modes() == (True, False)
        assert modes() == (True, True)
    with autograd.record(train_mode=False):
        assert modes() == (True, False)
    assert modes() == (False, False)


def test_scopes_restore_after_an_error():
    with pytest.raises(ZeroDivisionError), autograd.record():
        1 / 0
    assert modes() == (False, False)


def test_set_functions_return_what_was():
    assert autograd.set_recording(True) is False and autograd.set_recording(False) is True
    assert autograd.set_training(True) is False and autograd.set_training(False) is True
