"""Embedding."""
from __future__ import annotations

import numpy as np
import torch

from ..types import DType, TensorType
from .indices_c import emit_take
from .operator import operator
from .samples import Sample
from .traits import CHEAP, Traits

_SAMPLES = [Sample(np.array([[0, 2, 1], [4, 4, 9]], "float32"), (5, 3), input_dim=5, output_dim=3,
                   differentiable=(1,)),
            Sample(np.array([1, 0, 3], "int32"), (4, 2), input_dim=4, output_dim=2, differentiable=(1,))]


@operator("Embedding", aliases=("_contrib_SparseEmbedding", "_npx_embedding", "_sparse_Embedding"),
          traits=Traits(recompute=CHEAP), samples=_SAMPLES)
def embedding(data, weight, *, input_dim: int, output_dim: int, dtype: DType = "float32", sparse_grad: bool = False):
    """weight[data]; numbers outside [0, input_dim) count as the nearest.

    data: [...] of any dtype;   weight: float[input_dim, output_dim];   out: float[..., output_dim]
    """
    return torch.embedding(weight, rows(data, weight.shape[0]))


@embedding.complete
def _(shapes, *, input_dim, output_dim, **_):
    return {"weight": (input_dim, output_dim)}


@embedding.gradient
def _(call):
    return [None, embedding_backward(call.douts[0], call.inputs[0], input_dim=call.attrs["input_dim"])]


@operator("_backward_Embedding", traits=Traits(recompute=CHEAP), parity=None)
def embedding_backward(dout, data, *, input_dim: int):
    """Gradient of Embedding by its weight: the rows of dout summed by number."""
    return torch.ops.aten.embedding_dense_backward(dout, rows(data, input_dim), input_dim, -1, False)


@embedding_backward.infer
def _(inputs, attrs):
    return (TensorType((attrs["input_dim"], inputs[0].shape[-1]), inputs[0].dtype),)


def rows(data: torch.Tensor, count: int) -> torch.Tensor:
    """Row numbers int64[...] in [0, count) of numbers of any dtype."""
    return data.long().clamp(0, max(count - 1, 0))


@embedding.infer
def _(inputs, attrs):
    return (TensorType((*inputs[0].shape, attrs["output_dim"]), inputs[1].dtype),)


@embedding.emit_c
def _(call):
    numbers, weight = call.inputs
    return emit_take(call, weight, numbers, 1, *weight.shape)
