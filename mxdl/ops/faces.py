"""How operators appear to users, derived from their entries: namespaces, signatures, docstrings.

`mx.nd` and `mx.sym` both build their functions from these.
"""
from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import NamedTuple

from . import registry
from .attributes import REQUIRED
from .operator import Operator

#: Prefix of a registered name -> the namespace in which users find it without the prefix.
NAMESPACES = {"_contrib_": "contrib", "_linalg_": "linalg", "_image_": "image", "_sparse_": "sparse"}
INTERNAL = "_internal"
TOP = "op"


class Face(NamedTuple):
    """One operator under one of its names.   namespace: "op" for mx.nd.NAME, "_internal", "contrib", ..."""

    namespace: str
    name: str
    op: Operator


def faces() -> Iterator[Face]:
    """Every operator under its name and each alias."""
    for registered, op in registry.items():
        prefix = next((p for p in NAMESPACES if registered.startswith(p)), None)
        if prefix is not None:
            yield Face(NAMESPACES[prefix], registered.removeprefix(prefix), op)
        else:
            yield Face(INTERNAL if registered.startswith("_") else TOP, registered, op)


def signature(op: Operator, after: str = "name=None, attr=None") -> inspect.Signature:
    """The signature users see: tensors, then attributes with their defaults, then `after` (keyword-only)."""
    kind = inspect.Parameter
    parameters = []
    if op.variadic:
        parameters.append(kind(op.variadic, kind.VAR_POSITIONAL))
    else:
        parameters += [kind(n, kind.POSITIONAL_OR_KEYWORD, default=None) for n in op.parameters]
    attribute_kind = kind.KEYWORD_ONLY if op.variadic else kind.POSITIONAL_OR_KEYWORD
    for attribute in op.attributes.values():
        default = attribute.default
        if default is REQUIRED:  # tensors may be left out (they become variables), so all that follows has a default
            default = None if not op.variadic else kind.empty
        parameters.append(kind(attribute.name, attribute_kind, default=default))
    taken = {p.name for p in parameters}
    for item in filter(None, after.split(", ")):
        name = item.split("=")[0]
        if name not in taken:  # a gradient's operator may well have an input "out"
            parameters.append(kind(name, kind.KEYWORD_ONLY, default=None))
    return inspect.Signature(parameters)


def documentation(op: Operator, name: str) -> str:
    """The entry's docstring and its attributes with types and defaults."""
    lines = [op.doc or f"The operator {op.name}."]
    if op.attributes:
        lines += ["", "Attributes:"]
        for a in op.attributes.values():
            text = "required" if a.default is REQUIRED else f"default {a.default!r}"
            lines.append(f"    {a.name}: {a.type_text}{' or None' if a.optional else ''}, {text}")
    if name != op.name:
        lines += ["", f"Registered as {op.name}."]
    return "\n".join(lines)
