"""``mx.nd.NAME`` for every operator, with MXNet's calling conventions, generated from the registry."""
from __future__ import annotations

from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any

from ..device import current_context
from ..errors import OperatorError
from ..ops import Operator
from ..ops.faces import TOP, documentation, faces, signature
from .invoke import invoke
from .ndarray import NDArray

#: parsed attributes are remembered for so many different calls of one operator
REMEMBERED = 256


def make_function(op: Operator, name: str, module: str) -> Callable:
    """The imperative function of an operator: tensors first, then attributes by position or keyword, `out=`."""
    parse = remembering_parse(op)
    gather = _gather_any_number if op.variadic else _gather
    placed = "ctx" in op.attributes and not op.parameters and not op.variadic

    def function(*args: Any, out: Any = None, name: str | None = None, **attrs: Any) -> Any:
        if placed:
            attrs["ctx"] = str(attrs.get("ctx") or current_context())
        tensors = gather(op, args, attrs, parse)
        return invoke(op, tensors, parse(attrs), out)

    function.__name__ = function.__qualname__ = name
    function.__module__ = module
    function.__doc__ = documentation(op, name)
    function.__signature__ = signature(op, "out=None, name=None")  # type: ignore[attr-defined]
    return function


def remembering_parse(op: Operator) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """`op.parse` that remembers: a training loop gives the same attributes again and again."""
    known: dict[tuple, dict[str, Any]] = {}

    def parse(attrs: dict[str, Any]) -> dict[str, Any]:
        key = tuple(attrs.items())
        try:
            typed = known.get(key)
        except TypeError:   # an attribute given as a list
            return op.parse(attrs)
        if typed is None:
            typed = op.parse(attrs)
            if len(known) >= REMEMBERED:
                known.clear()
            known[key] = typed
        return typed
    return parse


def _gather(op: Operator, args: tuple, attrs: dict[str, Any], parse: Callable) -> list[NDArray | None]:
    """The inputs in use, taken out of `args` and `attrs`; positional attributes go into `attrs`."""
    parameters = op.parameters
    count = len(parameters)
    if len(args) == count and op.inputs_rule is None and attrs.keys().isdisjoint(parameters):
        for x in args:
            if type(x) is not NDArray:
                break
        else:
            return list(args)
    if len(args) > count:
        names = list(op.attributes)
        if len(args) - count > len(names):
            raise OperatorError(f"{op.name}: too many arguments; got {len(args)}; it takes "
                                f"{', '.join([*parameters, *names])}")
        for attribute, value in zip(names, args[count:], strict=False):
            if attribute in attrs and attribute != "ctx":
                raise TypeError(f"{op.name}: argument {attribute!r} is given twice; got it by position and by name")
            attrs[attribute] = value
        args = args[:count]
    given = dict(zip(parameters, args, strict=False))
    for parameter in parameters:
        if parameter in attrs:
            if parameter in given:
                raise TypeError(f"{op.name}: argument {parameter!r} is given twice; got it by position and by name")
            given[parameter] = attrs.pop(parameter)
    used = parameters if op.inputs_rule is None else op.input_names(parse(attrs))
    tensors = [_array(op, parameter, given.get(parameter)) for parameter in used]
    for parameter, tensor in zip(used, tensors, strict=True):
        if tensor is None and parameter not in op.optional:
            raise OperatorError(f"{op.name}: input {parameter!r} is missing; got {', '.join(given) or 'none'}; "
                                f"give an NDArray")
    while tensors and tensors[-1] is None:
        tensors.pop()
    return tensors


def _gather_any_number(op: Operator, args: tuple, attrs: dict[str, Any], parse: Callable) -> list[NDArray | None]:
    """The same where the operator takes any number of inputs: as arguments, in one list, or by name."""
    if len(args) == 1 and isinstance(args[0], (list, tuple)):
        args = tuple(args[0])
    elif not args and op.variadic in attrs:
        args = tuple(attrs.pop(op.variadic))
    names = [*op.parameters, *[f"arg{i}" for i in range(len(args) - len(op.parameters))]]
    return [_array(op, name, x) for name, x in zip(names, args, strict=False)]


def _array(op: Operator, parameter: str, value: Any) -> NDArray | None:
    if value is not None and not isinstance(value, NDArray):
        raise OperatorError(f"{op.name}: input {parameter!r} is not an NDArray; got {type(value).__name__}; "
                            f"make it one with mx.nd.array")
    return value


def populate(namespaces: Mapping[str, ModuleType]) -> None:
    """Put every operator's function into the module of its namespace, and the methods on NDArray.

    A name that is there already (written by hand, because MXNet's does more than the operator) stays.
    """
    for face in faces():
        module = namespaces[face.namespace]
        function = make_function(face.op, face.name, module.__name__)
        if not hasattr(module, face.name):
            setattr(module, face.name, function)
        takes_tensor = bool(face.op.parameters) or face.op.variadic is not None
        if face.namespace == TOP and face.name.islower() and takes_tensor and not hasattr(NDArray, face.name):
            setattr(NDArray, face.name, function)
