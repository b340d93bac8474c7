"""``mx.nd.random``: draws whose parameters are numbers (`_random_NAME`) or arrays (`_sample_NAME`, one draw a row).

`shape`: of the result, or of the draws for each parameter where the parameters are arrays.   `name` is for symbols and
ignored.   ``NAME_like(data, ...)`` (`_random_NAME_like`) draws in the shape of an array; see register.py.
"""
from __future__ import annotations

from typing import Any

from ..device import Context, current_context
from ..ops import get
from .invoke import invoke
from .ndarray import NDArray


def _draw(distribution: str, numbers: dict[str, Any], arrays: dict[str, Any], shape: Any, dtype: Any,
          ctx: Context | None, out: NDArray | None) -> Any:
    """numbers, arrays: the parameters under the names of the two operators."""
    given = [isinstance(p, NDArray) for p in arrays.values()]
    attrs = {name: value for name, value in (("shape", shape), ("dtype", dtype)) if value is not None}
    if all(given):
        op = get(f"_sample_{distribution}")
        return invoke(op, list(arrays.values()), op.parse(attrs), out)
    if any(given):
        raise TypeError(f"random.{distribution}: parameters are all arrays or all numbers; got "
                        f"{', '.join(f'{n}: {type(p).__name__}' for n, p in arrays.items())}")
    if out is not None:
        attrs = {"shape": out.shape, "dtype": out.dtype, **attrs}
        ctx = out.ctx
    op = get(f"_random_{distribution}")
    return invoke(op, [], op.parse({**attrs, **numbers, "ctx": str(ctx or current_context())}), out)


def uniform(low: Any = 0, high: Any = 1, shape: Any = None, dtype: Any = None, ctx: Context | None = None,
            out: NDArray | None = None, name: str | None = None) -> NDArray:
    """Uniform on [low, high)."""
    parameters = {"low": low, "high": high}
    return _draw("uniform", parameters, parameters, shape, dtype, ctx, out)


def normal(loc: Any = 0, scale: Any = 1, shape: Any = None, dtype: Any = None, ctx: Context | None = None,
           out: NDArray | None = None, name: str | None = None) -> NDArray:
    """Normal with mean `loc` and standard deviation `scale`."""
    return _draw("normal", {"loc": loc, "scale": scale}, {"mu": loc, "sigma": scale}, shape, dtype, ctx, out)


def randn(*shape: int, loc: Any = 0, scale: Any = 1, dtype: Any = None, ctx: Context | None = None,
          out: NDArray | None = None, name: str | None = None) -> NDArray:
    """As `normal`, with the shape first."""
    return normal(loc, scale, shape or None, dtype, ctx, out)


def poisson(lam: Any = 1, shape: Any = None, dtype: Any = None, ctx: Context | None = None,
            out: NDArray | None = None, name: str | None = None) -> NDArray:
    """Poisson with mean `lam`."""
    return _draw("poisson", {"lam": lam}, {"lam": lam}, shape, dtype, ctx, out)


def exponential(scale: Any = 1, shape: Any = None, dtype: Any = None, ctx: Context | None = None,
                out: NDArray | None = None, name: str | None = None) -> NDArray:
    """Exponential with mean `scale`."""
    rate = 1.0 / scale
    return _draw("exponential", {"lam": rate}, {"lam": rate}, shape, dtype, ctx, out)


def gamma(alpha: Any = 1, beta: Any = 1, shape: Any = None, dtype: Any = None, ctx: Context | None = None,
          out: NDArray | None = None, name: str | None = None) -> NDArray:
    """Gamma with shape `alpha` and scale `beta`."""
    parameters = {"alpha": alpha, "beta": beta}
    return _draw("gamma", parameters, parameters, shape, dtype, ctx, out)


def negative_binomial(k: Any = 1, p: Any = 1, shape: Any = None, dtype: Any = None, ctx: Context | None = None,
                      out: NDArray | None = None, name: str | None = None) -> NDArray:
    """Failures before the k-th success, each try succeeding with probability `p`."""
    parameters = {"k": k, "p": p}
    return _draw("negative_binomial", parameters, parameters, shape, dtype, ctx, out)


def generalized_negative_binomial(mu: Any = 1, alpha: Any = 1, shape: Any = None, dtype: Any = None,
                                  ctx: Context | None = None, out: NDArray | None = None,
                                  name: str | None = None) -> NDArray:
    """Negative binomial with mean `mu` and dispersion `alpha`."""
    parameters = {"mu": mu, "alpha": alpha}
    return _draw("generalized_negative_binomial", parameters, parameters, shape, dtype, ctx, out)


def multinomial(data: NDArray, shape: Any = None, get_prob: bool = False, out: NDArray | None = None,
                dtype: Any = "int32", name: str | None = None) -> Any:
    """Draws of categories, with probabilities in the last axis of `data`.  get_prob: also their log-probabilities."""
    op = get("_sample_multinomial")
    attrs = {"get_prob": get_prob, "dtype": dtype, **({} if shape is None else {"shape": shape})}
    return invoke(op, [data], op.parse(attrs), out)


def randint(low: int, high: int, shape: Any = None, dtype: Any = None, ctx: Context | None = None,
            out: NDArray | None = None, name: str | None = None) -> NDArray:
    """Whole numbers in [low, high)."""
    parameters = {"low": low, "high": high}
    return _draw("randint", parameters, parameters, shape, dtype, ctx, out)


def shuffle(data: NDArray, out: NDArray | None = None, name: str | None = None) -> NDArray:
    """`data` with the order of its first axis shuffled."""
    return invoke(get("_shuffle"), [data], {}, out)
