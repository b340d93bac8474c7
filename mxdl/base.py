"""``mx.base``: names that old code imports from there."""
from __future__ import annotations

from typing import Any

import numpy as np

from .errors import MXNetError as MXNetError

string_types = (str,)
numeric_types = (float, int, np.generic)
integer_types = (int, np.int32, np.int64)
mx_real_t = np.float32


class _NullType:
    """MXNet's mark for an argument that was not given; false, and printed as in its signatures."""

    def __repr__(self) -> str:
        return "_Null"

    def __bool__(self) -> bool:
        return False


_Null = _NullType()


def _as_list(obj: Any) -> list:
    """`obj` if it is a list, a tuple's items, else a list of it alone."""
    return list(obj) if isinstance(obj, (list, tuple)) else [obj]
