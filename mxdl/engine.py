"""``mx.engine``: MXNet runs operators in the background and can bulk small ones; here they run when they are called,
so the size of a bulk changes nothing.  The functions are there for code that sets it."""
from __future__ import annotations

import contextlib
from collections.abc import Iterator

_bulk_size = 15   # MXNet's default


def set_bulk_size(size: int) -> int:
    """Remember `size`; returns what was set before."""
    global _bulk_size
    before, _bulk_size = _bulk_size, int(size)
    return before


@contextlib.contextmanager
def bulk(size: int) -> Iterator[None]:
    """Set the size inside a ``with``."""
    before = set_bulk_size(size)
    try:
        yield
    finally:
        set_bulk_size(before)
