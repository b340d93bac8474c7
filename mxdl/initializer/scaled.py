"""Random values whose spread is given, or follows from the parameter's shape."""
from __future__ import annotations

import math

import numpy as np

from ..ndarray import NDArray, random
from .base import Initializer, register


@register
class Uniform(Initializer):
    """Uniform in [-scale, scale)."""

    def __init__(self, scale: float = 0.07):
        super().__init__(scale=scale)
        self.scale = scale

    def _init_weight(self, name: str, arr: NDArray) -> None:
        random.uniform(-self.scale, self.scale, out=arr)


@register
class Normal(Initializer):
    """Normal with mean 0 and standard deviation `sigma`."""

    def __init__(self, sigma: float = 0.01):
        super().__init__(sigma=sigma)
        self.sigma = sigma

    def _init_weight(self, name: str, arr: NDArray) -> None:
        random.normal(0, self.sigma, out=arr)


@register
class Orthogonal(Initializer):
    """`scale` times a matrix with orthonormal rows or columns (Saxe et al. 2013); T[N, ...] is seen as [N, rest].

    Args:
        rand_type: "uniform" or "normal": what the matrix is made from.
    """

    def __init__(self, scale: float = 1.414, rand_type: str = "uniform"):
        super().__init__(scale=scale, rand_type=rand_type)
        if rand_type not in ("uniform", "normal"):
            raise ValueError(f"Orthogonal: rand_type is 'uniform' or 'normal'; got {rand_type!r}")
        self.scale = scale
        self.rand_type = rand_type

    def _init_weight(self, name: str, arr: NDArray) -> None:
        shape = (arr.shape[0], math.prod(arr.shape[1:]))
        draw = random.uniform(-1.0, 1.0, shape) if self.rand_type == "uniform" else random.normal(0.0, 1.0, shape)
        left, _, right = np.linalg.svd(draw.asnumpy().astype(np.float64), full_matrices=False)
        arr[:] = (self.scale * (left if left.shape == shape else right)).reshape(arr.shape)


@register
class Xavier(Initializer):
    """Spread sqrt(magnitude / fan) (Glorot and Bengio 2010), so that signals keep their size from layer to layer.

    For a weight T[out, in, *kernel] the fans are in * prod(kernel) and out * prod(kernel).

    Args:
        rnd_type: "uniform" in [-spread, spread), or "gaussian" with that standard deviation.
        factor_type: the fan: "in", "out" or "avg" (their mean).
        magnitude: 3 makes the variance of "uniform" 1 / fan.
    """

    def __init__(self, rnd_type: str = "uniform", factor_type: str = "avg", magnitude: float = 3):
        super().__init__(rnd_type=rnd_type, factor_type=factor_type, magnitude=magnitude)
        if rnd_type not in ("uniform", "gaussian"):
            raise ValueError(f"Xavier: rnd_type is 'uniform' or 'gaussian'; got {rnd_type!r}")
        if factor_type not in ("in", "out", "avg"):
            raise ValueError(f"Xavier: factor_type is 'in', 'out' or 'avg'; got {factor_type!r}")
        self.rnd_type = rnd_type
        self.factor_type = factor_type
        self.magnitude = float(magnitude)

    def _init_weight(self, name: str, arr: NDArray) -> None:
        if len(arr.shape) < 2:
            raise ValueError(f"Xavier: {str(name)!r} needs at least 2 axes to have fans; got shape {arr.shape}; "
                             f"give it an init of its own")
        kernel = math.prod(arr.shape[2:])
        fan_in, fan_out = arr.shape[1] * kernel, arr.shape[0] * kernel
        fan = {"in": fan_in, "out": fan_out, "avg": (fan_in + fan_out) / 2}[self.factor_type]
        spread = math.sqrt(self.magnitude / fan)
        if self.rnd_type == "uniform":
            random.uniform(-spread, spread, out=arr)
        else:
            random.normal(0, spread, out=arr)


@register
class MSRAPrelu(Xavier):
    """Normal with variance 2 / ((1 + slope**2) * fan) (He et al. 2015), for layers before a (leaky) ReLU."""

    def __init__(self, factor_type: str = "avg", slope: float = 0.25):
        super().__init__("gaussian", factor_type, 2.0 / (1 + slope ** 2))
        self._kwargs = {"factor_type": factor_type, "slope": slope}
