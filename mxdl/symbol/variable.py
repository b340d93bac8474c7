"""Variables: the inputs and parameters of a symbol."""
from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..attribute import AttrScope
from ..errors import OperatorError
from ..graph.hidden import HIDDEN_KEYS, hidden_key
from ..types import TYPE_FLAGS, dtype_name
from .compose import attribute_text
from .symbol import Symbol, symbol_of

_STORAGE_TYPES = {"default": 0, "row_sparse": 1, "csr": 2}


def var(name: str, attr: Mapping[str, str] | None = None, shape: Any = None, lr_mult: float | None = None,
        wd_mult: float | None = None, dtype: Any = None, init: Any = None, stype: str | None = None,
        **kwargs: str) -> Symbol:
    """A variable: an input or a parameter that is given when the symbol is bound.

    shape: what is known of it, 0 for unknown lengths.   init: an initializer or its name.   attr, kwargs: hidden
    attributes; keywords must be spelled ``__name__``.   Raises TypeError, ValueError, OperatorError.
    """
    if not isinstance(name, str):
        raise TypeError(f"var: the name is a string; got {name!r}; write mx.sym.var('data')")
    hidden = {}
    for key, value in AttrScope.current.get(attr).items():
        if not isinstance(value, str):
            raise ValueError(f"var: attributes are strings; got {key}={value!r}; give {str(value)!r}")
        if any(key.endswith(f"_{h}") and not key.startswith("__") for h in HIDDEN_KEYS):
            raise OperatorError(f"var {name!r}: no such attribute; got {key}={value!r}; give the parameter's own "
                                f"variable lr_mult or wd_mult")
        hidden[hidden_key(key)] = value
    given = {"shape": shape, "lr_mult": lr_mult, "wd_mult": wd_mult,
             "dtype": None if dtype is None else TYPE_FLAGS[dtype_name(dtype)],
             "init": init if init is None or isinstance(init, str) else init.dumps(),
             "storage_type": None if stype is None else _storage_flag(stype)}
    hidden |= {f"__{key}__": attribute_text(value) for key, value in given.items() if value is not None}
    for key, value in kwargs.items():
        if not (key.startswith("__") and key.endswith("__")):
            raise ValueError(f"var {name!r}: no such argument; got {key}={value!r}; attributes of your own are "
                             f"spelled __{key}__")
        hidden[key] = str(value)
    return symbol_of(name, hidden)


def _storage_flag(stype: str) -> int:
    if stype not in _STORAGE_TYPES:
        raise ValueError(f"var: unknown storage type; got {stype!r}; use one of {', '.join(_STORAGE_TYPES)}")
    return _STORAGE_TYPES[stype]
