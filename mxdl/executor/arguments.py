"""What `bind` and `simple_bind` accept: arrays and gradient requests by position or by name."""
from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch

from ..device import Context
from ..errors import OperatorError, suggest
from ..ndarray.ndarray import NDArray
from ..types import torch_dtype

REQUESTS = ("write", "add", "null")


def named_arrays(what: str, given: Any, names: Sequence[str], required: bool = True) -> dict[str, NDArray]:
    """The arrays by name, in the order of `names`.  Raises ValueError, TypeError."""
    if given is None:
        given = {}
    if isinstance(given, Mapping):
        missing = [name for name in names if name not in given]
        if missing and required:
            raise ValueError(f"bind: {what} lacks {', '.join(missing)}; got {', '.join(given) or 'none'}; "
                             f"give an array for each")
        found = {name: given[name] for name in names if name in given}
    else:
        given = list(given)
        if len(given) != len(names):
            raise ValueError(f"bind: {what} has the wrong length; got {len(given)}; it needs one an argument: "
                             f"{', '.join(names)}")
        found = dict(zip(names, given, strict=True))
    for name, array in found.items():
        if not (isinstance(array, NDArray) or (array is None and not required)):
            raise TypeError(f"bind: {what} holds NDArrays; got {type(array).__name__} for {name}; use mx.nd.array")
    return found


def gradient_requests(grad_req: Any, names: Sequence[str]) -> dict[str, str]:
    """"write", "add" or "null" for each argument.  A dict says "null" for what it leaves out.  Raises OperatorError."""
    if isinstance(grad_req, str):
        requests = dict.fromkeys(names, grad_req)
    elif isinstance(grad_req, Mapping):
        unknown = [name for name in grad_req if name not in names]
        if unknown:
            raise OperatorError(f"grad_req: no such argument; got {', '.join(unknown)}; it has {', '.join(names)}"
                                f"{suggest(unknown[0], names)}")
        requests = {name: grad_req.get(name, "null") for name in names}
    else:
        if len(grad_req) != len(names):
            raise OperatorError(f"grad_req: one an argument is needed; got {len(grad_req)} for {', '.join(names)}")
        requests = dict(zip(names, grad_req, strict=True))
    for name, request in requests.items():
        if request not in REQUESTS:
            raise OperatorError(f"grad_req: unknown request; got {request!r} for {name}; use {', '.join(REQUESTS)}")
    return requests


def new_arrays(shapes: Iterable[tuple[str, Sequence[int]]], dtypes: Mapping[str, Any], ctx: Context,
               shared: Mapping[str, NDArray], buffer: dict[str, NDArray] | None) -> dict[str, NDArray]:
    """Zeros for each (name, shape); the array of that name in `shared` or `buffer` where it has the same shape and
    dtype.  What is made goes into `buffer`."""
    made = {}
    for name, shape in shapes:
        dtype = torch_dtype(dtypes.get(name, "float32"))
        found = shared.get(name, (buffer or {}).get(name))
        if found is None or tuple(found.shape) != tuple(shape) or found._data.dtype != dtype:
            found = NDArray._wrap(torch.zeros(tuple(shape), dtype=dtype, device=ctx.torch_device), ctx)
            if buffer is not None:
                buffer[name] = found
        made[name] = found
    return made
