"""An import finder that answers for `mxnet` and `mxnet.*` with mxdl's own module objects.

The module objects are the same, so classes, registries and scopes are shared by both names.
"""
import importlib
import importlib.abc
import importlib.machinery
import sys
from types import ModuleType

import mxdl

ALIAS = "mxnet"


def _own_name(name: str) -> str:
    """`mxnet.nd.random` as the name of mxdl's module: short names (`nd`) stand for whole modules."""
    _, *rest = name.split(".")
    if rest:
        rest[0] = mxdl._MODULES.get(rest[0], rest[0])
    return ".".join(["mxdl", *rest])


class _Loader(importlib.abc.Loader):
    """Gives an existing module; its own spec is put back, which the import system replaces by the alias's."""

    def __init__(self, module: ModuleType):
        self._module, self._spec = module, module.__spec__

    def create_module(self, spec) -> ModuleType:
        return self._module

    def exec_module(self, module: ModuleType) -> None:
        module.__spec__ = self._spec


class _Finder(importlib.abc.MetaPathFinder):
    def find_spec(self, name: str, path=None, target=None):
        if name != ALIAS and not name.startswith(f"{ALIAS}."):
            return None
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
    """Makes `import mxnet` give mxdl in this process.

    Raises ImportError when the real MXNet is already imported: two engines cannot share one name.
    """
    if installed():
        return
    there = sys.modules.get(ALIAS)
    if there is not None and there is not mxdl:
        raise ImportError(f"compat.install: the real mxnet is already imported (from {there.__file__}); "
                          f"call mxdl.compat.install() before anything imports mxnet")
    sys.meta_path.insert(0, _Finder())


def uninstall() -> None:
    """Takes the alias away again; modules that imported it keep what they have."""
    sys.meta_path[:] = [finder for finder in sys.meta_path if not isinstance(finder, _Finder)]
    for name in [name for name in sys.modules if name == ALIAS or name.startswith(f"{ALIAS}.")]:
        del sys.modules[name]
