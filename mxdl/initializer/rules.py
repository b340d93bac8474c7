"""Choosing by name: values from a file, or an initializer for each pattern."""
from __future__ import annotations

import logging
import re
from collections.abc import Mapping, Sequence

from .. import ndarray
from ..ndarray import NDArray
from .base import Initializer


class Load(Initializer):
    """Takes each parameter's value from a dict or a .params file; `default_init` fills those that are not there.

    Args:
        param: arrays by name, or the name of a file; a prefix ``arg:`` or ``aux:`` is left out.
        verbose: logs where each value comes from.
    """

    def __init__(self, param: str | Mapping[str, NDArray], default_init: Initializer | None = None,
                 verbose: bool = False):
        super().__init__()
        arrays = ndarray.load(param) if isinstance(param, str) else param
        if not isinstance(arrays, Mapping):
            raise ValueError(f"Load: {param!r} holds a list of arrays; got no names to find parameters by")
        self.param = {name.removeprefix("arg:").removeprefix("aux:"): value for name, value in arrays.items()}
        self.default_init = default_init
        self.verbose = verbose

    def __call__(self, name: str, arr: NDArray) -> None:
        self._init_weight(name, arr)

    def _init_weight(self, name: str, arr: NDArray) -> None:
        if name in self.param:
            value = self.param[name]
            if tuple(value.shape) != tuple(arr.shape):
                raise ValueError(f"Load: {str(name)!r} has shape {arr.shape}; got {value.shape} to load")
            arr[:] = value.as_in_context(arr.context)
            source = "loaded value"
        elif self.default_init is not None:
            self.default_init(str(name), arr)
            source = "default initializer"
        else:
            raise ValueError(f"Load: no value for {str(name)!r}; got {len(self.param)} others; give default_init")
        if self.verbose:
            logging.info("Initialized %s by its %s", name, source)


class Mixed(Initializer):
    """The initializer of the first pattern (a regular expression for the beginning of the name) fills the parameter."""

    def __init__(self, patterns: Sequence[str], initializers: Sequence[Initializer]):
        super().__init__()
        if len(patterns) != len(initializers):
            raise ValueError(f"Mixed: needs one initializer for each pattern; got {len(patterns)} patterns and "
                             f"{len(initializers)} initializers")
        self.map = [(re.compile(pattern), init) for pattern, init in zip(patterns, initializers, strict=True)]

    def __call__(self, name: str, arr: NDArray) -> None:
        self._init_weight(name, arr)

    def _init_weight(self, name: str, arr: NDArray) -> None:
        for pattern, init in self.map:
            if pattern.match(name):
                init(str(name), arr)     # a plain str: an attribute __init__ has chosen already
                return
        raise ValueError(f"Mixed: no pattern fits {str(name)!r}; add '.*' with a default at the end")
