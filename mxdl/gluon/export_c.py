"""A block as one C file, without files between."""
from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..codegen.export import c_name, export_c
from ..errors import OperatorError
from ..ndarray import NDArray
from .structure import flatten
from .trace import type_of

if TYPE_CHECKING:
    from .hybrid import HybridBlock


def export_block(block: HybridBlock, path: str | os.PathLike[str], inputs: tuple, name: str,
                 options: dict[str, Any]) -> Path:
    """See `HybridBlock.export_c`."""
    flat, fmt = flatten(inputs)
    if not all(isinstance(x, NDArray) for x in flat or [None]):
        raise OperatorError(f"{type(block).__name__}.export_c: the file is made for the shapes of example inputs; got "
                            f"{', '.join(type(x).__name__ for x in inputs) or 'none'}; give the arrays that the block "
                            f"is called with")
    trace, arrays = block._traced_on(inputs, flat, fmt)
    types, parameters = {}, {}
    for node, source, array in zip(trace.graph.inputs, trace.sources, arrays, strict=True):
        if type(source) is int:
            types[node.name] = type_of(flat[source])
        else:
            parameters[node.name] = array.to_torch()
    export_c(trace.graph, parameters, types, path, name or c_name(path), **options)
    return Path(path)
