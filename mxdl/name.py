"""Names for symbols that were not given one: ``fullyconnected0``, ``fullyconnected1``, ..."""
from __future__ import annotations

import threading
from collections import defaultdict
from typing import ClassVar


class _Stack(threading.local):
    def __init__(self) -> None:
        self.managers: list[NameManager] = [NameManager()]


class _Current:
    """``NameManager.current``: the innermost manager of this thread, asked of the class."""

    def __get__(self, instance: object, owner: type[NameManager]) -> NameManager:
        return owner._stack.managers[-1]


class NameManager:
    """Counts the names it gave by hint.  ``with NameManager():`` starts counting anew inside the block."""

    _stack: ClassVar[_Stack]
    current: ClassVar[_Current] = _Current()

    def __init__(self) -> None:
        self._counts: defaultdict[str, int] = defaultdict(int)

    def get(self, name: str | None, hint: str) -> str:
        """`name` where given, else the next name for `hint`."""
        if name:
            return name
        number = self._counts[hint]
        self._counts[hint] += 1
        return f"{hint}{number}"

    def __enter__(self) -> NameManager:
        self._stack.managers.append(self)
        return self

    def __exit__(self, *exc: object) -> None:
        self._stack.managers.pop()


NameManager._stack = _Stack()


class Prefix(NameManager):
    """A name manager that puts `prefix` before every name, given ones too."""

    def __init__(self, prefix: str):
        super().__init__()
        self._prefix = prefix

    def get(self, name: str | None, hint: str) -> str:
        return self._prefix + super().get(name, hint)

