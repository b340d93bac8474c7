"""The C kernels that stand beside their operators as NAME.c.in."""
from __future__ import annotations

import functools
from importlib import resources


@functools.cache
def c_text(name: str) -> str:
    """The text of mxdl/ops/NAME.c.in."""
    return resources.files(__package__).joinpath(f"{name}.c.in").read_text()
