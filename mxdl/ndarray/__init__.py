"""Arrays that users hold: ``mx.nd``.  Functions of operators are generated from the registry."""
from __future__ import annotations

import sys
import types
from typing import Any

from ..ops import get, registry
from ..types import dtype_name
from . import arithmetic
from .create import array as array
from .create import empty as empty
from .create import full as full
from .create import ones as ones
from .create import zeros as zeros
from .invoke import invoke as invoke
from .ndarray import NDArray as NDArray
from .register import function, public_names


def waitall() -> None:
    """Return when every array has its values (only GPUs compute in the background)."""
    import torch
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def invoke_by_name(name: str, *inputs: Any, out: Any = None, **attrs: Any) -> Any:
    """Run the operator `name` with attributes as a caller writes them."""
    op = get(name)
    return invoke(op, inputs, op.parse(attrs), out)


def op_cast(array_: NDArray, dtype: Any) -> NDArray:
    return invoke_by_name("Cast", array_, dtype=dtype_name(dtype))


def _populate() -> None:
    here = sys.modules[__name__]
    spaces: dict[str, Any] = {"": here}
    for name, op in registry.items():
        if name.startswith("_backward_"):
            continue
        for space, short in public_names(name):
            if space not in spaces:
                spaces[space] = sys.modules[f"{__name__}.{space}"] = types.ModuleType(f"{__name__}.{space}")
                setattr(here, space, spaces[space])
            if not hasattr(spaces[space], short):
                setattr(spaces[space], short, function(op, short))
        if name.isidentifier() and name[0].islower() and op.parameters and not hasattr(NDArray, name):
            setattr(NDArray, name, function(op, name))


_populate()
arithmetic.install()
