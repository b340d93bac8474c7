"""What libraries written for MXNet meet on a modern system besides MXNet itself, mended when the alias is installed.

Each is mended where it is imported, and nothing else of it is touched.
"""
from __future__ import annotations

import importlib.abc
import importlib.machinery
from collections.abc import Callable
from types import ModuleType

import numpy as np


def _gluoncv_check(module: ModuleType) -> None:
    """GluonCV 0.10 asks for the versions of MXNet and torch through `distutils`, which Python 3.12 has no more, and
    gives up where it finds a torch of 2.0 or later, though its MXNet half does not use torch."""
    def no_torch(*versions: str) -> None:
        raise ImportError("gluoncv: its torch half needs torch below 2.0; got mxdl, which runs its MXNet half")
    module._require_mxnet_version = lambda *versions: None      # type: ignore[attr-defined]
    module._require_pytorch_version = no_torch                  # type: ignore[attr-defined]


#: module -> what is done to it once it is loaded
AMENDED: dict[str, Callable[[ModuleType], None]] = {"gluoncv.check": _gluoncv_check}


class AmendingLoader(importlib.abc.Loader):
    """Loads a library's module, then amends it."""

    def __init__(self, loader: importlib.abc.Loader, amend: Callable[[ModuleType], None]):
        self._loader, self._amend = loader, amend

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType | None:
        return self._loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        self._loader.exec_module(module)
        self._amend(module)


class AmendingFinder(importlib.abc.MetaPathFinder):
    """Finds the modules of `AMENDED` where they are."""

    def find_spec(self, name: str, path=None, target=None):
        spec = importlib.machinery.PathFinder.find_spec(name, path, target) if name in AMENDED else None
        if spec is not None and spec.loader is not None:
            spec.loader = AmendingLoader(spec.loader, AMENDED[name])
        return spec


#: names that NumPy had when MXNet lived (MXNet 1.9.1 needs NumPy 1.23), and what stands for them
NUMPY_NAMES = {
    "bool": bool, "int": int, "long": int, "float": float, "complex": complex, "object": object, "str": str,
    "unicode": str, "float_": np.float64, "complex_": np.complex128, "string_": np.bytes_, "unicode_": np.str_,
    "Inf": np.inf, "Infinity": np.inf, "infty": np.inf, "PINF": np.inf, "NINF": -np.inf, "NaN": np.nan, "NAN": np.nan,
    "product": np.prod, "cumproduct": np.cumprod, "sometrue": np.any, "alltrue": np.all, "row_stack": np.vstack,
    "round_": np.round,
}


def old_numpy_names() -> list[str]:
    """Gives NumPy those names back that it has dropped; returns them."""
    missing = [name for name in NUMPY_NAMES if name not in vars(np)]
    for name in missing:
        setattr(np, name, NUMPY_NAMES[name])
    return missing
