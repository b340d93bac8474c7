"""Every exception that mxdl raises on purpose.  Texts read: where: what is wrong; got ...; do ..."""
from __future__ import annotations

import difflib
from collections.abc import Iterable


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
