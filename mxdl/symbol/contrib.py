"""``mx.sym.contrib``: filled from the operator registry (see register.py); loops and branches need shapes."""
from __future__ import annotations

from typing import Any

from ..errors import NotBuiltError


class ShapesNeeded(NotBuiltError):
    """A loop or a branch met symbols.  A hybridized block that meets it is traced by running it on its arguments'
    shapes instead.  Fix elsewhere: call the block on arrays, or unroll the loop."""


def _refusal(name: str) -> Any:
    def function(*args: Any, **kwargs: Any) -> Any:
        raise ShapesNeeded(f"sym.contrib.{name}: a symbol has no shape to unroll over; got symbols; hybridize the "
                           f"block and call it on arrays, or write the loop out")
    function.__name__, function.__doc__ = name, f"``mx.nd.contrib.{name}`` in a block; refused on symbols alone."
    return function


foreach, while_loop, cond = _refusal("foreach"), _refusal("while_loop"), _refusal("cond")
