"""SparseEmbedding: MXNet's embedding with row-sparse weight and gradient."""
from __future__ import annotations

from typing import Any

from ....errors import NotBuiltError
from ...block import Block


class SparseEmbedding(Block):
    """Not built: row-sparse storage is not there yet.  nn.Embedding computes the same values densely."""

    def __init__(self, input_dim: int, output_dim: int, dtype: Any = "float32", weight_initializer: Any = None,
                 **kwargs: Any):
        raise NotBuiltError(f"SparseEmbedding: row-sparse storage is not built; got {input_dim} x {output_dim}; "
                            f"use nn.Embedding, whose weight and gradient are dense")
