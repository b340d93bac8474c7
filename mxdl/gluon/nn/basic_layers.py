"""Dense, Dropout, Embedding, Flatten."""
from __future__ import annotations

import importlib
from typing import Any

import numpy as np

from ..hybrid import HybridBlock
from .activations import Activation


class Dense(HybridBlock):
    """activation(x @ weight.T + bias).

    units: length of the output.   in_units: length of the input; 0 to take it from the first data.
    flatten: x[N, ...] becomes x[N, C]; otherwise the last axis is transformed.
    weight: float[units, in_units];   bias: float[units]
    """

    def __init__(self, units: int, activation: str | None = None, use_bias: bool = True, flatten: bool = True,
                 dtype: Any = "float32", weight_initializer: Any = None, bias_initializer: Any = "zeros",
                 in_units: int = 0, **kwargs: Any):
        super().__init__(**kwargs)
        self._flatten = flatten
        self._units, self._in_units = units, in_units
        with self.name_scope():
            self.weight = self.params.get("weight", shape=(units, in_units), init=weight_initializer, dtype=dtype,
                                          allow_deferred_init=True)
            self.bias = self.params.get("bias", shape=(units,), init=bias_initializer, dtype=dtype,
                                        allow_deferred_init=True) if use_bias else None
            self.act = None if activation is None else Activation(activation, prefix=f"{activation}_")

    def hybrid_forward(self, F: Any, x: Any, weight: Any, bias: Any = None) -> Any:
        out = F.FullyConnected(x, weight, bias, no_bias=bias is None, num_hidden=self._units, flatten=self._flatten,
                               name="fwd")
        return out if self.act is None else self.act(out)

    def __repr__(self) -> str:
        units, in_units = self.weight.shape
        return f"{type(self).__name__}({in_units or None} -> {units}, {self.act or 'linear'})"


class Dropout(HybridBlock):
    """Sets a fraction `rate` of x to zero in training and scales the rest by 1 / (1 - rate).

    axes: along these axes, one draw is shared.
    """

    def __init__(self, rate: float, axes: tuple[int, ...] = (), **kwargs: Any):
        super().__init__(**kwargs)
        self._rate, self._axes = rate, axes

    def hybrid_forward(self, F: Any, x: Any) -> Any:
        if self._rate > 0:
            return F.Dropout(x, p=self._rate, axes=self._axes, cudnn_off=False, name="fwd")
        return F.identity(x)

    def __repr__(self) -> str:
        return f"{type(self).__name__}(p = {self._rate}, axes={self._axes})"


class Embedding(HybridBlock):
    """weight[x]: one row of length output_dim for each whole number in x.

    x: number[...];   weight: float[input_dim, output_dim];   out: float[..., output_dim]
    """

    def __init__(self, input_dim: int, output_dim: int, dtype: Any = "float32", weight_initializer: Any = None,
                 sparse_grad: bool = False, **kwargs: Any):
        super().__init__(**kwargs)
        self._kwargs = {"input_dim": input_dim, "output_dim": output_dim, "dtype": dtype, "sparse_grad": sparse_grad}
        with self.name_scope():
            self.weight = self.params.get("weight", shape=(input_dim, output_dim), init=weight_initializer,
                                          dtype=dtype, allow_deferred_init=True,
                                          grad_stype="row_sparse" if sparse_grad else "default")

    def hybrid_forward(self, F: Any, x: Any, weight: Any) -> Any:
        return F.Embedding(x, weight, name="fwd", **self._kwargs)

    def __repr__(self) -> str:
        return "{}({input_dim} -> {output_dim}, {dtype})".format(type(self).__name__, **self._kwargs)


class Flatten(HybridBlock):
    """x[N, ...] to [N, C]."""

    def hybrid_forward(self, F: Any, x: Any) -> Any:
        return F.Flatten(x)

    def __repr__(self) -> str:
        return type(self).__name__


def channels_known(channels: int) -> int | None:
    """What a layer prints for its input channels: None while they are not known."""
    return channels or None


def is_half(dtype: Any) -> bool:
    """Whether `dtype` is float16, in which running statistics are not kept."""
    return np.dtype(dtype) == np.float16 if not isinstance(dtype, str) else dtype == "float16"


def __getattr__(name: str) -> Any:
    """Names that MXNet has in this module and mxdl in another of this package."""
    for module in ("containers", "normalization"):
        found = getattr(importlib.import_module(f"{__package__}.{module}"), name, None)
        if found is not None and not name.startswith("__"):
            return found
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
