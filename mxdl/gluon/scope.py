"""Names of blocks: prefixes such as ``net0_`` and the scopes in which the children count theirs."""
from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from .. import name as naming
from .parameter_dict import ParameterDict

if TYPE_CHECKING:
    from .block import Block


class _Current(threading.local):
    scope: BlockScope | None = None
    top_counts: dict[str, int]

    def __init__(self):
        self.top_counts = {}


_current = _Current()


class BlockScope:
    """``with block.name_scope():`` prefixes what is made inside with the block's prefix.

    Children are counted by hint, each scope on its own: ``net0_dense0_``, ``net0_dense1_``, ``net0_conv0_``.
    """

    def __init__(self, block: Block):
        self._block = block
        self._counts: dict[str, int] = {}
        self._outer: list[tuple[BlockScope | None, naming.Prefix]] = []

    @staticmethod
    def create(prefix: str | None, params: ParameterDict | None, hint: str) -> tuple[str, ParameterDict]:
        """The full prefix and the parameters of a block that is made now."""
        scope = _current.scope
        outer_prefix = "" if scope is None else scope._block.prefix
        if prefix is None:
            counts = _current.top_counts if scope is None else scope._counts
            number = counts.get(hint, 0)
            counts[hint] = number + 1
            prefix = f"{hint}{number}_"
        if params is not None:
            return outer_prefix + prefix, ParameterDict(params.prefix, params)
        if scope is None:
            return prefix, ParameterDict(prefix)
        outer = scope._block.params
        return outer_prefix + prefix, ParameterDict(outer.prefix + prefix, outer._shared)

    def __enter__(self) -> BlockScope:
        if self._block._empty_prefix:
            return self
        prefix = naming.Prefix(self._block.prefix)
        self._outer.append((_current.scope, prefix))
        _current.scope = self
        prefix.__enter__()
        return self

    def __exit__(self, *exc: object) -> None:
        if self._block._empty_prefix:
            return
        _current.scope, prefix = self._outer.pop()
        prefix.__exit__(*exc)
