"""Sequential and HybridSequential: children called one after the other.  Lambda: a function as a block."""
from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

from ... import ndarray, symbol
from ..block import Block, indent
from ..hybrid import HybridBlock


class _Stack:
    """What both containers share: adding, indexing, iterating."""

    def add(self, *blocks: Block) -> None:
        """Append blocks to the stack."""
        for block in blocks:
            self.register_child(block)

    def __repr__(self) -> str:
        lines = "\n".join(f"  ({key}): {indent(repr(block))}" for key, block in self._children.items())
        return f"{type(self).__name__}(\n{lines}\n)"

    def __getitem__(self, key: int | slice) -> Any:
        layers = list(self._children.values())[key]
        if isinstance(layers, list):
            net = type(self)(prefix=self._prefix)
            with net.name_scope():
                net.add(*layers)
            return net
        return layers

    def __len__(self) -> int:
        return len(self._children)

    def __iter__(self):
        return iter(self._children.values())


class Sequential(_Stack, Block):
    """Calls its children in order, each on the output of the one before."""

    def forward(self, x: Any, *args: Any) -> Any:
        for block in self._children.values():
            x = block(x, *args)
            args = ()
            if isinstance(x, (tuple, list)):
                x, *args = x
        return (x, *args) if args else x

    def hybridize(self, active: bool = True, **kwargs: Any) -> None:
        if self._children and all(isinstance(c, HybridBlock) for c in self._children.values()):
            warnings.warn(f"{self.name}.hybridize: a Sequential runs its children one at a time, each as a graph of "
                          f"its own; use HybridSequential to run them as one", stacklevel=2)
        super().hybridize(active, **kwargs)


class HybridSequential(_Stack, HybridBlock):
    """Calls its children in order, each on the output of the one before; hybridizes as one graph."""

    def hybrid_forward(self, F: Any, x: Any, *args: Any) -> Any:
        for block in self._children.values():
            x = block(x, *args)
            args = ()
            if isinstance(x, (tuple, list)):
                x, *args = x
        return (x, *args) if args else x


def _named(function: str | Callable, namespaces: tuple, who: str) -> list[Callable]:
    found = [getattr(space, function, None) for space in namespaces]
    if None in found:
        raise ValueError(f"{who}: no operator {function!r} in {', '.join(space.__name__ for space in namespaces)}; "
                         f"give the name of an operator or a function")
    return found


class Lambda(Block):
    """A function on arrays, or the name of an operator of mx.nd, as a block: ``nn.Lambda('tanh')``."""

    def __init__(self, function: str | Callable, prefix: str | None = None):
        super().__init__(prefix=prefix)
        if isinstance(function, str):
            self._function, = _named(function, (ndarray,), "Lambda")
            self._function_name = function
        elif callable(function):
            self._function, self._function_name = function, function.__name__
        else:
            raise ValueError(f"Lambda: unrecognized function; got {function!r} of type {type(function).__name__}; "
                             f"give the name of an operator or a function")

    def forward(self, *args: Any) -> Any:
        return self._function(*args)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._function_name})"


class HybridLambda(HybridBlock):
    """``function(F, x, ...)``, or the name of an operator, as a hybrid block: ``nn.HybridLambda('tanh')``."""

    def __init__(self, function: str | Callable, prefix: str | None = None):
        super().__init__(prefix=prefix)
        if isinstance(function, str):
            _named(function, (ndarray, symbol), "HybridLambda")
            self._function = lambda F, *args: getattr(F, function)(*args)
            self._function_name = function
        elif callable(function):
            self._function, self._function_name = function, function.__name__
        else:
            raise ValueError(f"HybridLambda: unrecognized function; got {function!r} of type "
                             f"{type(function).__name__}; give the name of an operator or a function")

    def hybrid_forward(self, F: Any, x: Any, *args: Any) -> Any:
        return self._function(F, x, *args)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._function_name})"
