"""``mx.sym.*``: one function an operator, and the operators as methods of `Symbol`, from the registry."""
from __future__ import annotations

from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any

from ..errors import OperatorError, missing_attribute
from ..ops import Operator
from ..ops.faces import TOP, documentation, faces, signature
from .compose import make_node, visible_outputs
from .symbol import Symbol, one_value


def make_function(op: Operator, name: str, module: str) -> Callable[..., Symbol]:
    """The function that users call as ``mx.sym.<name>``."""
    tensors = frozenset(op.parameters)

    def function(*args: Any, **kwargs: Any) -> Symbol:
        given, attr = kwargs.pop("name", None), kwargs.pop("attr", None)
        kwargs.pop("out", None)
        if op.variadic:
            symbols = args[0] if len(args) == 1 and isinstance(args[0], (list, tuple)) else args
            inputs: Any = [one_value(s, f"{name}: argument {i}") for i, s in enumerate(symbols)]
        else:
            _by_name(op, name, args, kwargs)
            inputs = {n: one_value(kwargs[n], f"{name}: argument {n!r}") for n in op.parameters
                      if kwargs.get(n) is not None}
        attrs = {k: v for k, v in kwargs.items() if k not in tensors}
        return Symbol(visible_outputs(make_node(op, name.lower(), inputs, attrs, given, attr)))

    function.__name__ = function.__qualname__ = name
    function.__module__ = module
    function.__signature__ = signature(op)  # type: ignore[attr-defined]
    function.__doc__ = documentation(op, name)
    return function


def _by_name(op: Operator, name: str, args: tuple, kwargs: dict[str, Any]) -> None:
    """Put positional arguments (tensors, then attributes) into `kwargs`."""
    positions = [*op.parameters, *op.attributes]
    if len(args) > len(positions):
        raise OperatorError(f"{name}: too many arguments; got {len(args)}; it takes {', '.join(positions)}")
    for position, value in zip(positions, args, strict=False):
        if position in kwargs:
            raise TypeError(f"{name}: argument {position!r} is given twice; got it by position and by name")
        kwargs[position] = value


def populate(namespaces: Mapping[str, ModuleType]) -> None:
    """Put every operator's function into the module of its namespace, and the methods on `Symbol`."""
    for face in faces():
        module = namespaces[face.namespace]
        function = make_function(face.op, face.name, module.__name__)
        setattr(module, face.name, function)
        if face.name.startswith("_random_") and face.name.endswith("_like"):
            setattr(namespaces["random"], face.name.removeprefix("_random_"), function)
        takes_tensor = bool(face.op.parameters) or face.op.variadic is not None
        if face.namespace == TOP and face.name.islower() and takes_tensor and not hasattr(Symbol, face.name):
            setattr(Symbol, face.name, _method(function))
    for key, module in namespaces.items():
        if "__getattr__" not in vars(module):
            module.__getattr__ = missing_attribute(f"mx.sym.{key}", vars(module))  # type: ignore[method-assign]


def _method(function: Callable[..., Symbol]) -> Callable[..., Symbol]:
    def method(self: Symbol, *args: Any, **kwargs: Any) -> Symbol:
        return function(self, *args, **kwargs)
    method.__name__, method.__doc__ = function.__name__, function.__doc__
    return method
