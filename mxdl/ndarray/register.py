"""``mx.nd.NAME`` for every operator, with MXNet's calling conventions, generated from the registry."""
from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from ..errors import OperatorError
from ..ops import Operator
from .invoke import invoke
from .ndarray import NDArray

#: prefix of an operator's registered name -> the sub-namespace of mx.nd and mx.sym where it also stands
NAMESPACES = {"_contrib_": "contrib", "_linalg_": "linalg", "_random_": "random", "_sample_": "random",
              "_image_": "image", "_sparse_": "sparse"}


def function(op: Operator, name: str) -> Callable:
    """The imperative function of an operator: tensors first, then attributes by position or keyword, `out=`."""
    parameters, attributes, variadic = op.parameters, list(op.attributes), op.variadic
    count = len(parameters)
    required = any(a.default is inspect.Parameter.empty for a in op.attributes.values())
    plain_defaults = None if required else op.parse({})

    def call(*args: Any, out: Any = None, name: str | None = None, **kwargs: Any) -> Any:
        if variadic:
            tensors, args = _variadic(op, args, kwargs)
        else:
            tensors = list(args[:count])
            args = args[count:]
            for parameter in parameters[len(tensors):]:
                tensors.append(kwargs.pop(parameter, None))
        if args:
            if len(args) > len(attributes):
                raise OperatorError(f"{op.name}: too many positional arguments; got {len(args)} after the tensors; "
                                    f"it has {', '.join(attributes) or 'no attributes'}")
            kwargs.update(zip(attributes, args, strict=False))
        for i, tensor in enumerate(tensors):
            if type(tensor) is not NDArray and tensor is not None and not isinstance(tensor, NDArray):
                label = "input" if variadic else parameters[i]
                raise OperatorError(f"{op.name}: {label} is not an NDArray; got {type(tensor).__name__}; "
                                    f"make one with mx.nd.array")
        typed = op.parse(kwargs) if kwargs or plain_defaults is None else plain_defaults
        if not variadic and op.inputs_rule is None:
            _require(op, tensors)
        return invoke(op, tensors, typed, out)

    call.__name__ = call.__qualname__ = name
    call.__doc__ = documentation(op)
    call.__signature__ = signature(op)
    call.__module__ = "mxdl.ndarray"
    return call


def _require(op: Operator, tensors: list) -> None:
    for parameter, tensor in zip(op.parameters, tensors, strict=True):
        if tensor is None and parameter not in op.optional:
            raise OperatorError(f"{op.name}: input {parameter!r} is missing; give an NDArray")


def _variadic(op: Operator, args: tuple, kwargs: dict) -> tuple[list, tuple]:
    """The tensors of an operator that takes any number: as arguments or in one list; then positional attributes."""
    if args and isinstance(args[0], (list, tuple)):
        return list(args[0]), args[1:]
    given = kwargs.pop(op.variadic, None)
    if given is not None:
        return list(given), args
    n = 0
    while n < len(args) and isinstance(args[n], NDArray):
        n += 1
    return list(args[:n]), args[n:]


def signature(op: Operator) -> inspect.Signature:
    """Tensors, then attributes, then out and name: what help() shows."""
    kind = inspect.Parameter
    parts = [kind(p, kind.POSITIONAL_OR_KEYWORD, default=None) for p in op.parameters]
    if op.variadic:
        parts.append(kind(op.variadic, kind.VAR_POSITIONAL))
    attribute_kind = kind.KEYWORD_ONLY if op.variadic else kind.POSITIONAL_OR_KEYWORD
    parts += [kind(a.name, attribute_kind, default=None if a.default is kind.empty else a.default)
              for a in op.attributes.values()]
    return inspect.Signature([*parts, kind("out", kind.KEYWORD_ONLY, default=None),
                              kind("name", kind.KEYWORD_ONLY, default=None)])


def documentation(op: Operator) -> str:
    """The kernel's docstring, the attributes and their types."""
    lines = [op.doc, ""]
    for a in op.attributes.values():
        default = "required" if a.default is inspect.Parameter.empty else f"default {a.default!r}"
        lines.append(f"{a.name}: {a.type_text}, {default}")
    return "\n".join(lines)


def public_names(name: str) -> list[tuple[str, str]]:
    """(namespace, name) pairs under which a registered name appears; namespace "" is mx.nd itself."""
    places = [("_internal", name)] if name.startswith("_") else [("", name), ("op", name)]
    for prefix, namespace in NAMESPACES.items():
        if name.startswith(prefix):
            places.append((namespace, name[len(prefix):]))
    for namespace in ("linalg", "random", "contrib"):
        if name.startswith(namespace + "_"):
            places.append((namespace, name[len(namespace) + 1:]))
    return places
