"""ParameterDict: parameters by name, under a prefix, shared or not."""
from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from .. import initializer, ndarray
from ..types import dtype_name
from .constant import Constant
from .parameter import Parameter, as_array
from .partial_shape import compatible

NAMING_HELP = "Names come from the blocks' prefixes: see Block.name_scope"


class ParameterDict:
    """Parameters in the order in which they were made; every name starts with `prefix`.

    shared: another ParameterDict whose parameters of the same full name are used instead of new ones.
    """

    def __init__(self, prefix: str = "", shared: ParameterDict | None = None):
        self._prefix = prefix
        self._params: dict[str, Parameter] = {}
        self._shared = shared

    def __repr__(self) -> str:
        lines = "\n".join(f"  {p}" for p in self.values())
        return f"{self._prefix + ' ' if self._prefix else ''}(\n{lines}\n)"

    def __getitem__(self, key: str) -> Parameter:
        return self._params[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._params)

    def __len__(self) -> int:
        return len(self._params)

    def __contains__(self, key: object) -> bool:
        return key in self._params

    def items(self):
        return self._params.items()

    def keys(self):
        return self._params.keys()

    def values(self):
        return self._params.values()

    @property
    def prefix(self) -> str:
        return self._prefix

    # -- making and finding -----------------------------------------------------------------------------------
    def _find(self, name: str) -> Parameter | None:
        if name in self._params:
            return self._params[name]
        if self._shared is not None and name in self._shared._params:
            self._params[name] = self._shared._params[name]
            return self._params[name]
        return None

    def get(self, name: str, **attributes: Any) -> Parameter:
        """The parameter `prefix + name`; made with `attributes` if there is none, else checked against them.

        Raises AssertionError where an attribute given differs from the parameter's.
        """
        name = self._prefix + name
        param = self._find(name)
        if param is None:
            param = self._params[name] = Parameter(name, **attributes)
            return param
        for key, wanted in attributes.items():
            self._reconcile(param, key, wanted)
        return param

    def _reconcile(self, param: Parameter, key: str, wanted: Any) -> None:
        present = getattr(param, key, None)
        if present is None:
            setattr(param, key, wanted)
        elif key == "shape" and len(wanted) == len(present) and compatible(present, wanted):
            param._shape = tuple(max(a, b) for a, b in zip(present, wanted, strict=True))
        elif key == "dtype" and dtype_name(wanted) == dtype_name(present):
            pass
        elif wanted is not None and wanted != present:
            raise AssertionError(f"ParameterDict.get: Parameter {param.name!r} was made with {key}={present}; got "
                                 f"{key}={wanted}; ask for another name, or for the same {key}")

    def get_constant(self, name: str, value: Any = None) -> Constant:
        """The constant `prefix + name`; made from `value` if there is none, else checked against it."""
        name = self._prefix + name
        param = self._find(name)
        if param is None:
            if value is None:
                raise KeyError(f"ParameterDict.get_constant: there is no {name!r} yet; got value=None; give the value "
                               f"to make it")
            param = self._params[name] = Constant(name, value)
        elif not isinstance(param, Constant):
            raise AssertionError(f"ParameterDict.get_constant: {name!r} names a trained Parameter; got a request for a "
                                 f"Constant; use another name, or get()")
        elif value is not None and (as_array(value, param.dtype).asnumpy() != param.value.asnumpy()).any():
            raise AssertionError(f"ParameterDict.get_constant: {name!r} holds another value; got {value}; leave value "
                                 f"out, or use another name")
        return param

    def update(self, other: ParameterDict | Mapping[str, Parameter]) -> None:
        """Take all parameters of `other`.  Raises AssertionError where another one has the same name."""
        for name, param in other.items():
            if self._params.get(name, param) is not param:
                raise AssertionError(f"ParameterDict.update: two Parameters are called {name!r}; got {param} beside "
                                     f"{self._params[name]}; give the blocks other prefixes")
        self._params.update(other.items())

    # -- all at once ------------------------------------------------------------------------------------------
    def initialize(self, init: Any = None, ctx: Any = None, verbose: bool = False, force_reinit: bool = False) -> None:
        """Initialize every parameter; `init` is used where a parameter has no initializer of its own."""
        init = initializer.Uniform() if init is None else init
        if verbose and isinstance(init, initializer.Initializer):
            init.set_verbosity(verbose=verbose)
        for param in self.values():
            param.initialize(None, ctx, init, force_reinit=force_reinit)

    def zero_grad(self) -> None:
        """Set every gradient to zero."""
        for param in self.values():
            param.zero_grad()

    def reset_ctx(self, ctx: Any) -> None:
        """Move every parameter to `ctx`."""
        for param in self.values():
            param.reset_ctx(ctx)

    def list_ctx(self) -> list:
        """Every context that a parameter is on, once."""
        return list(dict.fromkeys(ctx for param in self.values() for ctx in param.list_ctx()))

    def setattr(self, name: str, value: Any) -> None:
        """Set an attribute of every parameter: ``net.collect_params('.*bias').setattr('lr_mult', 2)``."""
        for param in self.values():
            setattr(param, name, value)

    def select(self, pattern: str) -> ParameterDict:
        """Those whose name matches the regular expression at its start."""
        chosen = ParameterDict(self._prefix)
        match = re.compile(pattern).match
        chosen._params.update((name, param) for name, param in self.items() if match(name))
        return chosen

    # -- files ------------------------------------------------------------------------------------------------
    def save(self, filename: str, strip_prefix: str = "") -> None:
        """Write every parameter, by its full name less `strip_prefix`.  Raises ValueError where a name lacks it."""
        arrays = {}
        for param in self.values():
            if not param.name.startswith(strip_prefix):
                raise ValueError(f"ParameterDict.save: a name does not start with strip_prefix={strip_prefix!r}; got "
                                 f"{param.name!r}; is it shared from another block, or made outside name_scope()? "
                                 f"{NAMING_HELP}")
            arrays[param.name[len(strip_prefix):]] = param._reduce()
        ndarray.save(filename, arrays)

    def load(self, filename: str, ctx: Any = None, allow_missing: bool = False, ignore_extra: bool = False,
             restore_prefix: str = "", cast_dtype: bool = False, dtype_source: str = "current") -> None:
        """Read a file of `save` or of `Block.export`; `restore_prefix` is put before each name of the file."""
        loaded = ndarray.load(filename)
        if not isinstance(loaded, dict):
            raise ValueError(f"{filename}: holds a list of arrays without names; expected names of parameters")
        self.load_dict(loaded, ctx, allow_missing, ignore_extra, restore_prefix, filename, cast_dtype, dtype_source)

    def load_dict(self, param_dict: Mapping, ctx: Any = None, allow_missing: bool = False, ignore_extra: bool = False,
                  restore_prefix: str = "", filename: str | None = None, cast_dtype: bool = False,
                  dtype_source: str = "current") -> None:
        """Set parameters from arrays by name.

        Raises AssertionError for parameters that are missing (unless allow_missing) and for names that are not
        known (unless ignore_extra).
        """
        where = "the dict" if filename is None else f"file '{filename}'"
        for name in self.keys():
            if not name.startswith(restore_prefix):
                raise AssertionError(f"ParameterDict.load: a name here does not start with "
                                     f"restore_prefix={restore_prefix!r}; got {name!r}; {NAMING_HELP}")
        arrays = {restore_prefix + name.removeprefix("arg:").removeprefix("aux:"): array
                  for name, array in param_dict.items()}
        if not allow_missing:
            for name in self.keys():
                if name not in arrays:
                    raise AssertionError(
                        f"load: {where} lacks parameter {name.removeprefix(restore_prefix)!r}; got "
                        f"{brief(n.removeprefix(restore_prefix) for n in arrays)}; do the prefixes differ? "
                        f"allow_missing=True leaves it as it is. {NAMING_HELP}")
        for name, array in arrays.items():
            if name in self._params:
                self._params[name]._load_init(array, ctx, cast_dtype, dtype_source)
            elif not ignore_extra:
                raise AssertionError(
                    f"load: there is no parameter {name.removeprefix(restore_prefix)!r}; got it from {where}, while "
                    f"{brief(self.keys())} are looked for; ignore_extra=True skips it. {NAMING_HELP}")


def brief(names: Any, most: int = 10) -> str:
    """The names in quotes, the middle left out where there are many."""
    names = [f"'{name}'" for name in names]
    if len(names) > most:
        names = [*names[:most // 2], "...", *names[-most // 2:]]
    return ", ".join(names)
