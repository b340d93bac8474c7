"""What ``hybridize(mirror=...)`` may be given, and what each means."""
from __future__ import annotations

import math
import re
from typing import NamedTuple

from ..errors import GraphError

#: what `hybridize(backend=...)` may be
BACKENDS = (None, "", "inductor")
_UNITS = {"B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12,
          "KIB": 2**10, "MIB": 2**20, "GIB": 2**30, "TIB": 2**40, "K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}
_SIZE = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([A-Za-z]+)\s*")


class Goal(NamedTuple):
    """kind: "all" (keep everything), "costly" (MXNet's rule), "sqrt", "min", "bytes" or "fraction".

    amount: bytes that the whole step may take (variables, activations, gradients), or the fraction of what activations
    take at their peak when nothing is recomputed.   max_recompute: how many extra forward passes may be run.
    """

    kind: str
    amount: float = 0
    max_recompute: float = 1

    @property
    def needs_types(self) -> bool:
        return self.kind not in ("all", "costly")


def goal_of(mirror: object, max_recompute: float = 1) -> Goal:
    """The goal that `mirror` names: False, True, "sqrt", "min", bytes (an int, "4GB", "512MiB") or a fraction (a float
    between 0 and 1).  Raises GraphError."""
    if isinstance(max_recompute, bool) or not isinstance(max_recompute, (int, float)) or not max_recompute >= 1:
        raise GraphError(f"hybridize: max_recompute is a number of extra forward passes, at least 1; got "
                         f"{max_recompute!r}; give 1 for one level of recomputation, 2 for recomputation within it")
    if mirror is False or mirror is None:
        return Goal("all")
    if mirror is True:
        return Goal("costly")
    if isinstance(mirror, str) and mirror in ("sqrt", "min"):
        return Goal(mirror, 0, max_recompute)
    if isinstance(mirror, float) and 0 < mirror < 1:
        return Goal("fraction", mirror, max_recompute)
    size = num_bytes(mirror)
    if size is None:
        raise GraphError(f"hybridize: unknown mirror mode; got mirror={mirror!r}; use False, True, 'sqrt', 'min', a "
                         f"number of bytes ('4GB', '512MiB', an int), or a fraction between 0 and 1")
    return Goal("bytes", size, max_recompute)


def num_bytes(size: object) -> int | None:
    """Bytes of an int or a text like "4GB" (10^9) or "512MiB" (2^20; so is "512M"); None where it is neither."""
    if isinstance(size, int) and not isinstance(size, bool) and size > 0:
        return size
    if isinstance(size, str) and (match := _SIZE.fullmatch(size)) and match[2].upper() in _UNITS:
        found = math.floor(float(match[1]) * _UNITS[match[2].upper()])
        return found if found > 0 else None
    return None
