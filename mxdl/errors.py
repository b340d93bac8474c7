"""Every exception that mxdl raises on purpose.  Texts read: where: what is wrong; got ...; do ..."""
from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable, Iterable, Mapping
from typing import Any


class MXNetError(RuntimeError):
    """Root of mxdl's errors, under MXNet's name so that ``except mx.base.MXNetError`` of old code still catches."""


class OperatorError(MXNetError):
    """An operator was called wrongly: an unknown name, a missing input, an attribute that it does not have.

    Example: ``mx.nd.FullyConnected(x, w, num_hiden=3)``.  Fix: the message names the nearest attribute.
    """


class AttributeValueError(OperatorError, ValueError):
    """An attribute's value cannot be read as its type.  Example: ``kernel='three'``.  Fix: what the message asks."""


class ShapeError(OperatorError, ValueError):
    """Shapes that do not fit together, or that are not known yet.  The message shows every input's type."""


class GraphError(MXNetError):
    """A graph that is malformed (a cycle, a missing output) or that a pass cannot handle."""


class FileFormatError(MXNetError, ValueError):
    """A file is truncated, corrupt, or not of the format expected.  The message names the file and the byte offset."""


class FileMissingError(MXNetError, FileNotFoundError):
    """A file to be read is not there.  The message names it, and the nearest name in its folder.  Fix: the path."""


class DeviceError(MXNetError):
    """A device that this machine does not have, or arrays of two devices in one operator."""


class NotBuiltError(MXNetError, NotImplementedError):
    """Something of MXNet's surface that mxdl does not have yet.  The message names the nearest thing that works."""


class NotImplementedForSymbol(MXNetError, NotImplementedError):
    """A symbol was asked for what only arrays have: numbers, a truth value.  Fix: run it first (`eval`, `bind`)."""


class DeferredInitializationError(MXNetError):
    """A parameter was read before its shape is known.  Fix: run one forward pass, or give the shapes."""


def suggest(word: str, known: Iterable[str]) -> str:
    """``"; did you mean 'x'?"`` for the nearest of `known`, or the empty string."""
    near = difflib.get_close_matches(word, list(known), n=1, cutoff=0.6)
    return f"; did you mean {near[0]!r}?" if near else ""


def missing_attribute(place: str, names: Mapping[str, Any]) -> Callable[[str], Any]:
    """A module's ``__getattr__``: an AttributeError that suggests the nearest of the module's `names`."""
    def __getattr__(name: str) -> Any:
        near = "" if name.startswith("_") else suggest(name, (n for n in names if not n.startswith("_")))
        raise AttributeError(f"{place}: nothing is called {name!r} here{near}")
    return __getattr__


def unknown_arguments(kind: type, unknown: dict[str, Any]) -> str:
    """What to say of keyword arguments that no constructor of the class `kind` has."""
    known = {name for base in kind.__mro__ if "__init__" in vars(base)
             for name, parameter in inspect.signature(base.__init__).parameters.items()
             if name != "self" and parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY)}
    got = ", ".join(f"{name}={value!r}{suggest(name, known)}" for name, value in unknown.items())
    return f"{kind.__name__}: unknown argument; got {got}; use {', '.join(sorted(known))}"
