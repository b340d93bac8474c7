"""An import finder that answers for `mxnet` and `mxnet.*` with mxdl's own module objects.

The submodules are the same objects, so classes, registries and scopes are shared by both names.  Only the package
itself is another object, since libraries ask it which MXNet they run on (GluonCV and GluonNLP refuse to be imported
otherwise): its `__version__` is MXNet's.
"""
import importlib
import importlib.abc
import importlib.machinery
import sys
from types import ModuleType

import numpy

import mxdl

from .libraries import AmendingFinder, old_numpy_names

ALIAS = "mxnet"
_given_back: list[str] = []     # names of NumPy's, by `install`
VERSION = "1.9.1"       # of the MXNet whose names, formats and numbers mxdl keeps


class _Package(ModuleType):
    """`mxnet`: every name is mxdl's, but for the version."""

    def __init__(self) -> None:
        super().__init__(ALIAS, mxdl.__doc__)
        self.__version__, self.__file__, self.__path__ = VERSION, mxdl.__file__, mxdl.__path__

    def __getattr__(self, name: str):
        return getattr(mxdl, name)

    def __dir__(self) -> list[str]:
        return dir(mxdl)


def _own_name(name: str) -> str:
    """`mxnet.nd.random` as the name of mxdl's module: short names (`nd`) stand for whole modules."""
    _, *rest = name.split(".")
    if rest:
        rest[0] = mxdl._MODULES.get(rest[0], rest[0])
    return ".".join(["mxdl", *rest])


class _Loader(importlib.abc.Loader):
    """Gives an existing module; its own spec, where it has one, is put back in place of the alias's."""

    def __init__(self, module: ModuleType):
        self._module, self._spec = module, module.__spec__

    def create_module(self, spec) -> ModuleType:
        return self._module

    def exec_module(self, module: ModuleType) -> None:
        module.__spec__ = self._spec or module.__spec__


class _Finder(importlib.abc.MetaPathFinder):
    def find_spec(self, name: str, path=None, target=None):
        if name != ALIAS and not name.startswith(f"{ALIAS}."):
            return None
        if name == ALIAS:
            return importlib.machinery.ModuleSpec(name, _Loader(_Package()), is_package=True)
        own = _own_name(name)
        try:
            module = importlib.import_module(own)
        except ModuleNotFoundError as error:
            if error.name is None or not own.startswith(error.name):
                raise  # something that mxdl's module needs is missing
            raise ModuleNotFoundError(f"{name}: mxdl has no such module; MXNet's surface that is there: "
                                      f"docs/differences.md", name=name) from None
        return importlib.machinery.ModuleSpec(name, _Loader(module), is_package=hasattr(module, "__path__"))


def installed() -> bool:
    return any(isinstance(finder, _Finder) for finder in sys.meta_path)


def install() -> None:
    """Makes `import mxnet` give mxdl in this process, and what was written for MXNet find the NumPy of its time: see
    libraries.py.

    Raises ImportError when the real MXNet is already imported: two engines cannot share one name.
    """
    if installed():
        return
    there = sys.modules.get(ALIAS)
    if there is not None and not isinstance(there, _Package):
        raise ImportError(f"compat.install: the real mxnet is already imported (from {there.__file__}); "
                          f"call mxdl.compat.install() before anything imports mxnet")
    sys.meta_path[:0] = [_Finder(), AmendingFinder()]
    _given_back.extend(old_numpy_names())


def uninstall() -> None:
    """Takes the alias away again; modules that imported it keep what they have."""
    sys.meta_path[:] = [finder for finder in sys.meta_path if not isinstance(finder, (_Finder, AmendingFinder))]
    while _given_back:
        delattr(numpy, _given_back.pop())
    for name in [name for name in sys.modules if name == ALIAS or name.startswith(f"{ALIAS}.")]:
        del sys.modules[name]
