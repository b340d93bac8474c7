"""A graph of mixed precision as other runtimes are given it: without its casts, in float32."""
from __future__ import annotations

from collections.abc import Mapping

import torch

from ..graph import Graph
from ..passes.low_precision import has_casts, without_casts
from ..types import DTYPE_NAMES, TensorType

_HALVES = (torch.float16, torch.bfloat16)


def in_float32(graph: Graph, parameters: Mapping[str, torch.Tensor], types: Mapping[str, TensorType]
               ) -> tuple[Graph, Mapping[str, torch.Tensor], Mapping[str, TensorType]]:
    """The arguments themselves where `graph` has no `amp_cast`; else without them, halves widened.  What runs there
    computes in float32 anyway: this is faster and rounds less.  `precision` stores parameters as halves."""
    if not has_casts(graph):
        return graph, parameters, types
    halves = [DTYPE_NAMES[dtype] for dtype in _HALVES]
    wide = {name: TensorType(t.shape) if t.dtype in halves else t for name, t in types.items()}
    return (without_casts(graph),
            {name: tensor.float() if tensor.dtype in _HALVES else tensor for name, tensor in parameters.items()}, wide)
