"""All operators by name and by alias."""
from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from ..errors import OperatorError, suggest

if TYPE_CHECKING:
    from .operator import Operator

_by_name: dict[str, Operator] = {}


def add(op: Operator) -> Operator:
    """Register `op` under its name and aliases; a name that is taken is an error."""
    for name in (op.name, *op.aliases):
        if name in _by_name:
            raise OperatorError(f"registry: operator name {name!r} is taken; got {op}; choose another name")
        _by_name[name] = op
    return op


def get(name: str) -> Operator:
    """The operator of that name or alias.  Raises OperatorError with the nearest name."""
    try:
        return _by_name[name]
    except KeyError:
        raise OperatorError(f"unknown operator; got {name!r}; see mx.nd for what there is"
                            f"{suggest(name, _by_name)}") from None


def find(name: str) -> Operator | None:
    """The operator of that name or alias, or None."""
    return _by_name.get(name)


def items() -> Iterator[tuple[str, Operator]]:
    """(name or alias, operator), in order of registration."""
    return iter(list(_by_name.items()))


def all() -> list[Operator]:  # noqa: A001 - registry.all() reads as what it is
    """Every operator once."""
    return list(dict.fromkeys(_by_name.values()))
