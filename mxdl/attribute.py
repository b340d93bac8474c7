"""Attribute scopes: strings that every symbol made inside a ``with AttrScope(...)`` block carries."""
from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import ClassVar


class _Stack(threading.local):
    def __init__(self) -> None:
        self.scopes: list[AttrScope] = []


class _Current:
    """``AttrScope.current``: the innermost scope of this thread, asked of the class."""

    def __get__(self, instance: object, owner: type[AttrScope]) -> AttrScope:
        return owner._stack.scopes[-1] if owner._stack.scopes else _outermost


class AttrScope:
    """``with mx.AttrScope(ctx_group='stage1', __mood__='happy'):`` inner scopes add to outer ones.

    Raises ValueError for a value that is not a string.
    """

    _stack: ClassVar[_Stack] = _Stack()
    current: ClassVar[_Current] = _Current()

    def __init__(self, **attrs: str):
        for key, value in attrs.items():
            if not isinstance(value, str):
                raise ValueError(f"AttrScope: attributes are strings; got {key}={value!r}; give {key}={str(value)!r}")
        self._own = attrs
        self._attr = attrs

    def get(self, attr: Mapping[str, str] | None = None) -> dict[str, str]:
        """`attr` on top of what this scope says."""
        return {**self._attr, **(attr or {})}

    def __enter__(self) -> AttrScope:
        self._attr = {**AttrScope.current.get(), **self._own}
        self._stack.scopes.append(self)
        return self

    def __exit__(self, *exc: object) -> None:
        self._stack.scopes.pop()
        self._attr = self._own


_outermost = AttrScope()

