"""Importing the package is cheap, and its names resolve when used."""
import subprocess
import sys

import pytest

import mxdl as mx


def test_import_loads_no_torch():
    code = "import sys, mxdl; print('torch' in sys.modules or 'numpy' in sys.modules)"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "False"


def test_short_names_are_the_modules():
    import mxdl.kvstore
    assert mx.kv is mxdl.kvstore
    assert "kv" in dir(mx) and "files" in dir(mx)


def test_unknown_name():
    with pytest.raises(AttributeError, match="no attribute 'gloun'"):
        mx.gloun
