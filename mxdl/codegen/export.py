"""Export doors: a graph with its parameters, or MXNet's pair of files, to one C file."""
from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

import torch

from ..errors import OperatorError
from ..files import atomic_write
from ..graph import Graph
from ..types import TensorType
from ..version import __version__
from .emit import c_text
from .plan import export_plan


def export_c(graph: Graph, parameters: Mapping[str, torch.Tensor], inputs: Mapping[str, Sequence[int] | TensorType],
             path: str | os.PathLike[str], name: str = "model") -> str:
    """Write `graph` in predict mode as one C file at `path`; returns the text.

    parameters: by variable name.   inputs: shape of every other variable, or its TensorType where it is not float32.
    name: prefix of the C functions.
    The file needs only libm.  Raises NotBuiltError (before anything is written) where an operator has no C kernel.
    """
    types = {key: shape if isinstance(shape, TensorType) else TensorType(tuple(int(n) for n in shape))
             for key, shape in inputs.items()}
    variables = {n.name for n in graph.inputs}
    strangers = sorted(set(types) - variables)
    if strangers:
        raise OperatorError(f"export to C: no such input; got {', '.join(strangers)}; "
                            f"the graph's inputs are {', '.join(sorted(variables - set(parameters)))}")
    output_names = [f"{v.node.name}_{v.node.op.output_names(v.node.attrs)[v.index]}" if v.node.op else v.node.name
                    for v in graph.outputs]
    text = c_text(export_plan(graph, parameters, types), name, output_names, __version__)
    with atomic_write(path, "w") as file:
        file.write(text)
    return text


def export_c_files(prefix: str, epoch: int, inputs: Mapping[str, Sequence[int]],
                   path: str | os.PathLike[str], name: str = "model") -> str:
    """As `export_c`, from `prefix-symbol.json` and `prefix-%04d.params` (the pair that HybridBlock.export writes)."""
    from ..ndarray import load as load_arrays
    from ..symbol import load as load_symbol
    graph = load_symbol(f"{prefix}-symbol.json").graph()
    arrays = load_arrays(f"{prefix}-{epoch:04d}.params")
    parameters = {key.split(":", 1)[-1]: array.to_torch() for key, array in arrays.items()}
    return export_c(graph, parameters, inputs, path, name)
