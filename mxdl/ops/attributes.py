"""Typed attributes: what an operator's keyword-only parameters accept, as Python values or as MXNet's strings."""
from __future__ import annotations

import ast
import inspect
import re
import types
import typing
from collections.abc import Callable
from typing import Any, Literal

import numpy as np

from ..device import Context
from ..errors import AttributeValueError
from ..types import DType, dtype_name

REQUIRED = inspect.Parameter.empty
_PY2_LONG = re.compile(r"(?<=\d)L\b")


class Attribute:
    """One static argument of an operator: its name, its type, its default (REQUIRED if none)."""

    __slots__ = ("default", "name", "optional", "read", "type_text")

    def __init__(self, name: str, annotation: Any, default: Any):
        self.name = name
        self.default = default
        self.optional, inner = _strip_optional(annotation)
        self.read, self.type_text = _reader(inner)

    def parse(self, value: Any, where: str) -> Any:
        """The typed value of what a caller or a file gave.  Raises AttributeValueError."""
        if value is None or value == "None":
            if self.optional or self.default is None:
                return None
        else:
            try:
                return self.read(value)
            except (ValueError, TypeError, SyntaxError):
                pass  # reported below, with the operator and the attribute named
        raise AttributeValueError(f"{where}: attribute {self.name!r} is not a {self.type_text}; got {value!r}; "
                                  f"give a {self.type_text}{' or None' if self.optional else ''}")


def attribute_text(value: Any) -> str:
    """The string form that MXNet's JSON files use: "(3, 3)", "True", "1e-05", "float32"."""
    if isinstance(value, (list, tuple)):
        return str(tuple(value))
    if isinstance(value, (np.dtype, type)):
        return dtype_name(value)
    return str(value)


def _strip_optional(annotation: Any) -> tuple[bool, Any]:
    if typing.get_origin(annotation) in (typing.Union, types.UnionType):
        inner = [a for a in typing.get_args(annotation) if a is not type(None)]
        if len(inner) != 1:
            raise TypeError(f"attribute annotation {annotation} must be one type, or one type or None")
        return True, inner[0]
    return False, annotation


def _reader(annotation: Any) -> tuple[Callable[[Any], Any], str]:
    if annotation is DType:
        return dtype_name, "dtype"
    if typing.get_origin(annotation) is Literal:
        choices = typing.get_args(annotation)
        return _choice_reader(choices), f"choice of {', '.join(map(repr, choices))}"
    if typing.get_origin(annotation) is tuple:
        element = typing.get_args(annotation)[0]
        optional, inner = _strip_optional(element)
        return _tuple_reader(_READERS[inner][0], optional), f"tuple of {_READERS[inner][1]}"
    return _READERS[annotation]


def _literal(value: Any) -> Any:
    return ast.literal_eval(_PY2_LONG.sub("", value.strip())) if isinstance(value, str) else value


def _read_int(value: Any) -> int:
    value = _literal(value)
    number = int(value)
    if number != value:
        raise ValueError(value)
    return number


def _read_float(value: Any) -> float:
    return float(value)


def _read_bool(value: Any) -> bool:
    if isinstance(value, str):
        value = {"true": True, "false": False, "1": True, "0": False}[value.strip().lower()] \
            if value.strip().lower() in ("true", "false", "1", "0") else value
    if isinstance(value, (bool, int, np.bool_)) and value in (0, 1):
        return bool(value)
    raise ValueError(value)


def _read_str(value: Any) -> str:
    if isinstance(value, Context):
        return str(value)
    if not isinstance(value, str):
        raise TypeError(value)
    return value


def _tuple_reader(read: Callable[[Any], Any], optional: bool) -> Callable[[Any], tuple]:
    def read_tuple(value: Any) -> tuple:
        value = _literal(value)
        items = value if isinstance(value, (tuple, list)) or hasattr(value, "__iter__") else (value,)
        return tuple(None if optional and item is None else read(item) for item in items)
    return read_tuple


def _choice_reader(choices: tuple) -> Callable[[Any], Any]:
    def read_choice(value: Any) -> Any:
        if value not in choices:
            raise ValueError(value)
        return value
    return read_choice


_READERS: dict[Any, tuple[Callable[[Any], Any], str]] = {
    int: (_read_int, "whole number"), float: (_read_float, "number"), bool: (_read_bool, "truth value"),
    str: (_read_str, "string"), DType: (dtype_name, "dtype"),
}
