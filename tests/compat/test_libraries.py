"""What libraries written for MXNet meet besides MXNet: GluonCV's versions check, names that NumPy dropped."""
import subprocess
import sys

import numpy as np
import pytest

from mxdl.compat import libraries

CHECK = """
def _require_mxnet_version(low, high):
    raise RuntimeError("Legacy mxnet detected")
def _require_pytorch_version(low, high):
    raise RuntimeError("Legacy torch detected")
def _deprecate_python2():
    print("asked")
"""
PACKAGE = """
from .check import _deprecate_python2, _require_mxnet_version, _require_pytorch_version
_deprecate_python2()
_require_mxnet_version("1.4.0", "2.0.0")
try:
    _require_pytorch_version("1.4.0", "2.0.0")
except ImportError as error:
    print(error)
"""


def test_gluoncv_is_imported_beside_a_modern_torch(tmp_path):
    """Its check raises for torch 2, which mxdl runs on; the rest of the module stays."""
    package = tmp_path / "gluoncv"
    package.mkdir()
    (package / "check.py").write_text(CHECK)
    (package / "__init__.py").write_text(PACKAGE)
    (tmp_path / "script.py").write_text("import gluoncv, importlib\nprint(importlib.reload(gluoncv.check).__file__)\n")
    done = subprocess.run([sys.executable, "-m", "mxdl.cli.main", "run", str(tmp_path / "script.py")],
                          capture_output=True, text=True)
    assert done.stdout.splitlines() == [
        "asked", "gluoncv: its torch half needs torch below 2.0; got mxdl, which runs its MXNet half",
        str(package / "check.py")], done.stderr


@pytest.mark.filterwarnings("ignore")
def test_names_that_numpy_dropped_come_back_and_go():
    before = {name for name in libraries.NUMPY_NAMES if name in vars(np)}
    done = subprocess.run([sys.executable, "-c", (
        "import numpy as np\nfrom mxdl import compat\n"
        "before = set(vars(np))\ncompat.install()\n"
        "assert np.float is float and np.int is int and np.object is object and np.product([2, 3]) == 6\n"
        "assert np.float_ is np.float64 and np.NINF == -np.inf\n"
        "compat.uninstall()\nassert set(vars(np)) == before and not hasattr(np, 'float')\n")],
        capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert {"float", "int"} - before == {"float", "int"}       # this process was left alone
