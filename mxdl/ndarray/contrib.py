"""``mx.nd.contrib``: filled from the operator registry (see register.py); AdamW's updates have faces of their own.

Their rescale_grad is a number or an array of one; where it is 0, infinite or NaN (a loss scaler saw an overflow) no
array is changed.  Means, variances and float32 copies are changed in place; `out` (mostly the weight) takes the weight.
"""
from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .create import full
from .invoke import invoke_by_name
from .ndarray import NDArray


def _scale(rescale_grad: NDArray | float, weight: NDArray) -> NDArray:
    return rescale_grad if isinstance(rescale_grad, NDArray) else full((1,), rescale_grad, ctx=weight.context)


def adamw_update(weight: NDArray, grad: NDArray, mean: NDArray, var: NDArray, rescale_grad: NDArray | float, lr: float,
                 eta: float, beta1: float = 0.9, beta2: float = 0.999, epsilon: float = 1e-8, wd: float = 0,
                 clip_gradient: float = -1, out: NDArray | None = None, name: str | None = None) -> NDArray:
    """weight - eta * (lr * mean / (sqrt(var) + epsilon) + wd * weight)"""
    return invoke_by_name("_adamw_update", weight, grad, mean, var, _scale(rescale_grad, weight), out=out, lr=lr,
                          eta=eta, beta1=beta1, beta2=beta2, epsilon=epsilon, wd=wd, clip_gradient=clip_gradient)


def mp_adamw_update(weight: NDArray, grad: NDArray, mean: NDArray, var: NDArray, weight32: NDArray,
                    rescale_grad: NDArray | float, lr: float, eta: float, beta1: float = 0.9, beta2: float = 0.999,
                    epsilon: float = 1e-8, wd: float = 0, clip_gradient: float = -1, out: NDArray | None = None,
                    name: str | None = None) -> NDArray:
    """`adamw_update` on the float32 copy of a low-precision weight."""
    return invoke_by_name("_mp_adamw_update", weight, grad, mean, var, weight32, _scale(rescale_grad, weight), out=out,
                          lr=lr, eta=eta, beta1=beta1, beta2=beta2, epsilon=epsilon, wd=wd,
                          clip_gradient=clip_gradient)


def multi_adamw_update(weights: Sequence[NDArray], grads: Sequence[NDArray], mean: Sequence[NDArray],
                       var: Sequence[NDArray], rescale_grad: NDArray | float, lrs: Sequence[float],
                       wds: Sequence[float], etas: Sequence[float], out: Sequence[NDArray] | None = None,
                       name: str | None = None, size: int = 0, **attrs: Any) -> list[NDArray]:
    """`adamw_update` of several weights."""
    outs = [None] * len(weights) if out is None else out
    rows = zip(weights, grads, mean, var, lrs, wds, etas, outs, strict=True)
    return [adamw_update(w, g, m, v, rescale_grad, lr, eta, wd=wd, out=target, **attrs)
            for w, g, m, v, lr, wd, eta, target in rows]


def multi_mp_adamw_update(weights: Sequence[NDArray], grads: Sequence[NDArray], mean: Sequence[NDArray],
                          var: Sequence[NDArray], weights32: Sequence[NDArray], rescale_grad: NDArray | float,
                          lrs: Sequence[float], wds: Sequence[float], etas: Sequence[float],
                          out: Sequence[NDArray] | None = None, name: str | None = None, size: int = 0,
                          **attrs: Any) -> list[NDArray]:
    """`mp_adamw_update` of several weights."""
    outs = [None] * len(weights) if out is None else out
    rows = zip(weights, grads, mean, var, weights32, lrs, wds, etas, outs, strict=True)
    return [mp_adamw_update(w, g, m, v, w32, rescale_grad, lr, eta, wd=wd, out=target, **attrs)
            for w, g, m, v, w32, lr, wd, eta, target in rows]
