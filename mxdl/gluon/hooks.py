"""A registered hook, and the way to take it off again."""
from __future__ import annotations

import itertools
from collections.abc import Callable

_numbers = itertools.count()


class HookHandle:
    """Returned by `register_forward_hook`; ``detach()`` takes the hook off, as does leaving a ``with`` block."""

    def __init__(self, hooks: dict[int, Callable], hook: Callable):
        self._hooks = hooks
        self._key = next(_numbers)
        hooks[self._key] = hook

    def detach(self) -> None:
        """Take the hook off; further calls do nothing."""
        self._hooks.pop(self._key, None)

    def __enter__(self) -> HookHandle:
        return self

    def __exit__(self, *exc: object) -> None:
        self.detach()
