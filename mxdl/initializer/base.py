"""What an initializer is: a value for a parameter, chosen by the parameter's name and attributes."""
from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping
from typing import Any

from .. import registry
from ..ndarray import NDArray


class InitDesc(str):
    """A parameter's name, with its attributes and the initializer that the whole model is given.

    attrs: the attribute ``__init__`` names an initializer (its JSON, its name, or one) that comes before all others.
    """

    attrs: Mapping[str, Any]
    global_init: Initializer | None

    def __new__(cls, name: str, attrs: Mapping[str, Any] | None = None, global_init: Initializer | None = None):
        described = super().__new__(cls, name)
        described.attrs = attrs or {}
        described.global_init = global_init
        return described


class Initializer:
    """Base of all initializers; one of your own defines ``_init_weight(name, arr)`` and passes its arguments up.

    Called with a parameter's name and array, it fills the array as the end of the name says: weights by
    `_init_weight`; gammas, variances and maxima with 1; biases, betas, means and minima with 0.
    kwargs: the arguments that `dumps` writes and `create` needs to make the same initializer again.
    """

    def __init__(self, **kwargs: Any):
        self._kwargs = kwargs
        self._verbose = False
        self._print_func: Callable[[NDArray], str] | None = None

    def set_verbosity(self, verbose: bool = False, print_func: Callable[[NDArray], str] | None = None) -> Initializer:
        """With `verbose`, logs each array that is filled, as `print_func` describes it (default: its mean size)."""
        self._verbose = verbose
        self._print_func = print_func
        return self

    def dumps(self) -> str:
        """The initializer as JSON: ``["xavier", {"magnitude": 3, ...}]``; `create` reads it."""
        return json.dumps([type(self).__name__.lower(), self._kwargs], default=_as_json)

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and self.dumps() == other.dumps()  # type: ignore[attr-defined]

    def __hash__(self) -> int:
        return hash(self.dumps())

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{name}={value!r}' for name, value in self._kwargs.items())})"

    def __call__(self, desc: str, arr: NDArray) -> None:
        """Fills `arr`, the parameter described by `desc` (an `InitDesc`, or a plain name)."""
        if not isinstance(desc, str):
            raise TypeError(f"{type(self).__name__}: a parameter is described by its name; got {desc!r}")
        chosen = desc.attrs.get("__init__", "") if isinstance(desc, InitDesc) else ""
        if chosen:
            filler = create(chosen)
            filler._init_weight(desc, arr)
            self._log(desc, filler, arr)
            return
        for endings, method in _BY_NAME:
            if desc.endswith(endings):
                getattr(self, method)(desc, arr)
                self._log(desc, self, arr)
                return
        self._init_default(desc, arr)

    def _log(self, desc: str, filler: Initializer, arr: NDArray) -> None:
        if self._verbose:
            text = (self._print_func or _mean_size)(arr)
            logging.info("Initialized %s as %s: %s", desc, filler, text)

    def _init_weight(self, name: str, arr: NDArray) -> None:
        raise NotImplementedError(f"{type(self).__name__} must define _init_weight(name, arr)")

    def _init_bias(self, name: str, arr: NDArray) -> None:
        self._init_zero(name, arr)

    def _init_beta(self, name: str, arr: NDArray) -> None:
        self._init_zero(name, arr)

    def _init_gamma(self, name: str, arr: NDArray) -> None:
        self._init_one(name, arr)

    def _init_zero(self, name: str, arr: NDArray) -> None:
        arr[:] = 0

    def _init_one(self, name: str, arr: NDArray) -> None:
        arr[:] = 1

    def _init_default(self, name: str, arr: NDArray) -> None:
        raise ValueError(f"{type(self).__name__}: cannot tell how to fill {name!r}; names end in weight, bias, gamma, "
                         f"beta, moving_mean, moving_var, ...; give the variable an init of its own")


#: endings of a name -> the method that fills the array, the first that fits
_BY_NAME: tuple[tuple[tuple[str, ...], str], ...] = (
    (("weight",), "_init_weight"), (("bias",), "_init_bias"), (("gamma",), "_init_gamma"), (("beta",), "_init_beta"),
    (("min", "moving_mean", "running_mean", "moving_avg", "moving_inv_var"), "_init_zero"),
    (("max", "moving_var", "running_var"), "_init_one"),
)

register = registry.get_register_func(Initializer, "initializer")
alias = registry.get_alias_func(Initializer, "initializer")
create = registry.get_create_func(Initializer, "initializer")


def _as_json(value: Any) -> Any:
    """What JSON has no word for: arrays as lists, initializers as their JSON."""
    if isinstance(value, Initializer):
        return value.dumps()
    if hasattr(value, "asnumpy"):
        value = value.asnumpy()
    if hasattr(value, "tolist"):
        return value.tolist()
    raise TypeError(f"an initializer's argument cannot be written as JSON; got {value!r}")


def _mean_size(arr: NDArray) -> str:
    values = arr.asnumpy()
    return f"root mean square {(values.astype('float64') ** 2).mean() ** 0.5:.6g}"
