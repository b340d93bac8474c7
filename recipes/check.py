"""Is a value of the type that a key wants?  Conversion and ranges."""
import math
import re
import types
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import yaml


@dataclass(frozen=True)
class Range:
    """Bounds of a number, for `Annotated[int, Range(at_least=1)]`; None leaves a side open."""
    at_least: float | None = None
    below: float | None = None

    def __str__(self) -> str:
        low = "" if self.at_least is None else f"at least {self.at_least:g}"
        high = "" if self.below is None else f"below {self.below:g}"
        return " and ".join(filter(None, (low, high)))

    def holds(self, value: float) -> bool:
        return (self.at_least is None or value >= self.at_least) and (self.below is None or value < self.below)


@dataclass(frozen=True)
class Form:
    """What a text must look like: a pattern, and the same in words."""
    pattern: str
    words: str

    def __str__(self) -> str:
        return f"such as {self.words}"

    def holds(self, value: str) -> bool:
        return re.fullmatch(self.pattern, value) is not None


Positive = Annotated[int, Range(at_least=1)]
NonNegative = Annotated[float, Range(at_least=0)]
Fraction = Annotated[float, Range(at_least=0, below=1)]

_WORDS = {int: "an integer", float: "a number", bool: "true or false", str: "a text", types.NoneType: "null"}


def describe(annotation) -> str:
    """The type in words, for error messages and `mxdl describe`."""
    origin, args = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return f"{describe(args[0])}, {args[1]}"
    if origin is Literal:
        return ("one of " if len(args) > 1 else "") + ", ".join(str(choice) for choice in args)
    if origin in (Union, types.UnionType):
        return " or ".join(describe(option) for option in args)
    if origin in (list, tuple):
        kind, comma, bounds = describe(args[0]).partition(",")
        return f"a list of {kind.removeprefix('an ').removeprefix('a ')}s{comma}{bounds}"
    return _WORDS.get(annotation, getattr(annotation, "__name__", str(annotation)))


def _plain(value, wanted: type):
    """A value of a plain type; bool is not an int, an int is a float, and `1e-3` (a text to YAML 1.1) is a float."""
    if wanted is float and isinstance(value, str):
        value = float(value)
    if wanted is float and isinstance(value, (int, float)) and not isinstance(value, bool):
        if not math.isfinite(value):
            raise ValueError
        return float(value)
    if isinstance(value, bool) != (wanted is bool) or not isinstance(value, wanted):
        raise ValueError
    return value


def _convert(value, annotation):
    origin, args = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        value = _convert(value, args[0])
        if not args[1].holds(value):
            raise ValueError
        return value
    if origin is Literal:
        for choice in args:
            if value == choice and type(value) is type(choice):
                return choice
        raise ValueError
    if origin in (Union, types.UnionType):
        for option in args:
            try:
                return _convert(value, option)
            except ValueError:
                continue
        raise ValueError
    if origin in (list, tuple):
        if isinstance(value, str):
            value = value.split(",")   # export=c,js on a command line
        if not isinstance(value, (list, tuple)):
            raise ValueError
        return tuple(_convert(item, args[0]) for item in value)
    if annotation is types.NoneType:
        if value is not None:
            raise ValueError
        return None
    return _plain(value, annotation)


def convert(value, annotation):
    """`value` as the type `annotation` wants.  Raises ValueError whose text says what was wanted."""
    try:
        return _convert(value, annotation)
    except ValueError:
        raise ValueError(f"must be {describe(annotation)}; got {value!r}") from None


def parse(text: str, annotation) -> Any:
    """The value written as `text` on a command line, for a key of this type: `007` stays a text where one is wanted."""
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError:
        value = text
    try:
        return convert(value, annotation)
    except ValueError as error:
        try:
            return convert(text, annotation)
        except ValueError:
            raise error from None
