"""A node applies an operator to values; a value is one output of a node.  A node without operator is a variable."""
from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from ..ops import Operator


class Value(NamedTuple):
    """Output number `index` of `node`."""

    node: Node
    index: int  # type: ignore[assignment]  # tuple.index is not used of values

    @staticmethod
    def apply_operator(op: Operator, inputs: Sequence[Value], attrs: Mapping[str, Any]) -> Any:
        """What calling an operator on values means: a new node (gradient rules rely on it)."""
        return apply(op, inputs, attrs)

    def __repr__(self) -> str:
        return f"%{self.node.name}" + (f":{self.index}" if self.index else "")


_serials = itertools.count()


class Node:
    """op: the operator, None for a variable.   attrs: typed attributes that were given (defaults are the kernel's).
    inputs: values.   name: unique within a graph by convention.   hidden: MXNet's string attributes that are no
    operator's (``__shape__``, ``__lr_mult__``, scopes); also the block path and the user's line for errors.

    serial: order of creation, which is the order in which a program runs nodes and random nodes draw; None for a
    mirror clone, which runs as late as it can.

    Passes treat nodes as immutable and build new ones; only `hidden` is ever written after construction.
    """

    __slots__ = ("attrs", "hidden", "inputs", "name", "op", "serial")

    def __init__(self, op: Operator | None, name: str, attrs: dict[str, Any] | None = None,
                 inputs: Sequence[Value] = (), hidden: dict[str, str] | None = None):
        self.op: Any = op  # Operator or None: passes have told the two apart before they ask it
        self.name = name
        self.attrs = {} if attrs is None else attrs
        self.inputs = tuple(inputs)
        self.hidden = {} if hidden is None else hidden
        self.serial: int | None = next(_serials)

    @property
    def is_variable(self) -> bool:
        return self.op is None

    def replaced(self, inputs: Sequence[Value] | None = None, attrs: dict[str, Any] | None = None) -> Node:
        """A copy with other inputs or attributes, in the same place of the running order."""
        node = Node(self.op, self.name, self.attrs if attrs is None else attrs,
                    self.inputs if inputs is None else inputs, self.hidden)
        node.serial = self.serial
        return node

    @property
    def num_outputs(self) -> int:
        return 1 if self.op is None else self.op.num_outputs(self.attrs)

    def __repr__(self) -> str:
        return f"<{self.op.name if self.op else 'variable'} {self.name}>"


def variable(name: str, hidden: dict[str, str] | None = None) -> Value:
    return Value(Node(None, name, hidden=hidden), 0)


def apply(op: Operator, inputs: Sequence[Value], attrs: Mapping[str, Any], name: str | None = None,
          hidden: dict[str, str] | None = None) -> Any:
    """A new node; returns its value, or a tuple of values where the operator has several outputs."""
    node = Node(op, name or op.name.lower(), dict(attrs), inputs, hidden)
    n = node.num_outputs
    return Value(node, 0) if n == 1 else tuple(Value(node, i) for i in range(n))
