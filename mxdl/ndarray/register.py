"""``mx.nd.NAME`` for every operator, with MXNet's calling conventions, generated from the registry."""
from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import ModuleType
from typing import Any, NamedTuple

from ..device import current_context
from ..errors import OperatorError, missing_attribute
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
        return invoke(op, *gather(op, args, attrs, parse), out)

    function.__name__ = function.__qualname__ = name
    function.__module__ = module
    function.__doc__ = documentation(op, name)
    function.__signature__ = signature(op, "out=None, name=None")  # type: ignore[attr-defined]
    return function


class Parsed(NamedTuple):
    """attrs: typed.   used: positions of the parameters in use, None for all of them."""

    attrs: dict[str, Any]
    used: list[int] | None


Parse = Callable[[dict[str, Any]], Parsed]
Gathered = tuple[Sequence["NDArray | None"], dict[str, Any]]


def remembering_parse(op: Operator) -> Parse:
    """`op.parse` that remembers: a training loop gives the same attributes again and again."""
    known: dict[tuple, Parsed] = {}

    def parse(attrs: dict[str, Any]) -> Parsed:
        key = tuple(attrs.items())
        try:
            parsed = known.get(key)
        except TypeError:   # an attribute given as a list
            return _parse(op, attrs)
        if parsed is None:
            parsed = _parse(op, attrs)
            if len(known) >= REMEMBERED:
                known.clear()
            known[key] = parsed
        return parsed
    return parse


def _parse(op: Operator, attrs: dict[str, Any]) -> Parsed:
    typed = op.parse(attrs)
    if op.inputs_rule is None:
        return Parsed(typed, None)
    return Parsed(typed, [op.parameters.index(name) for name in op.input_names(typed)])


def _gather(op: Operator, args: tuple, attrs: dict[str, Any], parse: Parse) -> Gathered:
    """The inputs in use and the typed attributes."""
    parameters = op.parameters
    if len(args) != len(parameters) or not attrs.keys().isdisjoint(parameters):
        args = _by_position(op, args, attrs)
    parsed = parse(attrs)
    used = range(len(parameters)) if parsed.used is None else parsed.used
    for position in used:
        if type(args[position]) is not NDArray:
            break
    else:
        return args if parsed.used is None else [args[position] for position in used], parsed.attrs
    tensors = [_array(op, parameters[position], args[position]) for position in used]
    for position, tensor in zip(used, tensors, strict=True):
        if tensor is None and parameters[position] not in op.optional:
            given = [name for name, x in zip(parameters, args, strict=True) if x is not None]
            raise OperatorError(f"{op.name}: input {parameters[position]!r} is missing; got "
                                f"{', '.join(given) or 'none'}; give an NDArray")
    while tensors and tensors[-1] is None:
        tensors.pop()
    return tensors, parsed.attrs


def _by_position(op: Operator, args: tuple, attrs: dict[str, Any]) -> tuple:
    """One entry a parameter (None where none is given); positional attributes go into `attrs`, tensors out of it."""
    parameters, names = op.parameters, list(op.attributes)
    count = len(parameters)
    if len(args) > count + len(names):
        raise OperatorError(f"{op.name}: too many arguments; got {len(args)}; it takes "
                            f"{', '.join([*parameters, *names])}")
    for name in (*parameters, *names)[:len(args)]:
        if name in attrs:
            raise TypeError(f"{op.name}: argument {name!r} is given twice; got it by position and by name")
    attrs.update(zip(names, args[count:], strict=False))
    return (*args[:count], *[attrs.pop(name, None) for name in parameters[len(args):]])


def _gather_any_number(op: Operator, args: tuple, attrs: dict[str, Any], parse: Parse) -> Gathered:
    """The same where the operator takes any number of inputs: as arguments, in one list, or by name."""
    if len(args) == 1 and isinstance(args[0], (list, tuple)):
        args = tuple(args[0])
    elif not args and op.variadic in attrs:
        args = tuple(attrs.pop(op.variadic))
    for position, x in enumerate(args):
        if type(x) is not NDArray:
            _array(op, f"{op.variadic}[{position}]", x)
    return args, parse(attrs).attrs


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
        if face.name.startswith("_random_") and face.name.endswith("_like"):
            setattr(namespaces["random"], face.name.removeprefix("_random_"), function)
        takes_tensor = bool(face.op.parameters) or face.op.variadic is not None
        if face.namespace == TOP and face.name.islower() and takes_tensor and not hasattr(NDArray, face.name):
            setattr(NDArray, face.name, function)
    for key, module in namespaces.items():
        if "__getattr__" not in vars(module):
            module.__getattr__ = missing_attribute(f"mx.nd.{key}", vars(module))  # type: ignore[method-assign]
