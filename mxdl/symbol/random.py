"""``mx.sym.random``: draws whose parameters are numbers (`_random_NAME`) or symbols (`_sample_NAME`)."""
from __future__ import annotations

from typing import Any

from ..ops import registry
from .compose import make_node, visible_outputs
from .symbol import Symbol, one_value


def _draw(distribution: str, parameters: dict[str, Any], shape: Any, dtype: Any, kwargs: dict[str, Any]) -> Symbol:
    symbols = {n: p for n, p in parameters.items() if isinstance(p, Symbol)}
    if symbols and len(symbols) < len(parameters):
        raise TypeError(f"random.{distribution}: parameters are all symbols or all numbers; got {parameters}")
    kind = "sample" if symbols else "random"
    attrs = {} if symbols else dict(parameters)
    attrs |= {k: v for k, v in (("shape", shape), ("dtype", dtype)) if v is not None}
    op_name = f"_{kind}_{distribution}"
    inputs = {n: one_value(s, f"random.{distribution}: {n}") for n, s in symbols.items()}
    node = make_node(registry.get(op_name), op_name, inputs, {**attrs, **_attrs(kwargs)}, kwargs.get("name"),
                     kwargs.get("attr"))
    return Symbol(visible_outputs(node))


def _attrs(kwargs: dict[str, Any]) -> dict[str, Any]:
    return {k: v for k, v in kwargs.items() if k not in ("name", "attr", "out", "ctx")}


def uniform(low: Any = 0, high: Any = 1, shape: Any = None, dtype: Any = None, **kwargs: Any) -> Symbol:
    """Uniform on [low, high)."""
    return _draw("uniform", {"low": low, "high": high}, shape, dtype, kwargs)


def normal(loc: Any = 0, scale: Any = 1, shape: Any = None, dtype: Any = None, **kwargs: Any) -> Symbol:
    """Normal with mean `loc` and standard deviation `scale`."""
    names = ("mu", "sigma") if isinstance(loc, Symbol) or isinstance(scale, Symbol) else ("loc", "scale")
    return _draw("normal", dict(zip(names, (loc, scale), strict=True)), shape, dtype, kwargs)


def randn(*shape: int, loc: Any = 0, scale: Any = 1, dtype: Any = None, **kwargs: Any) -> Symbol:
    """As `normal`, with the shape first."""
    return normal(loc, scale, shape, dtype, **kwargs)


def poisson(lam: Any = 1, shape: Any = None, dtype: Any = None, **kwargs: Any) -> Symbol:
    """Poisson with mean `lam`."""
    return _draw("poisson", {"lam": lam}, shape, dtype, kwargs)


def exponential(scale: Any = 1, shape: Any = None, dtype: Any = None, **kwargs: Any) -> Symbol:
    """Exponential with mean `scale`."""
    return _draw("exponential", {"lam": 1.0 / scale}, shape, dtype, kwargs)


def gamma(alpha: Any = 1, beta: Any = 1, shape: Any = None, dtype: Any = None, **kwargs: Any) -> Symbol:
    """Gamma with shape `alpha` and scale `beta`."""
    return _draw("gamma", {"alpha": alpha, "beta": beta}, shape, dtype, kwargs)


def negative_binomial(k: Any = 1, p: Any = 1, shape: Any = None, dtype: Any = None, **kwargs: Any) -> Symbol:
    """Failures before the k-th success, each with probability `p`."""
    return _draw("negative_binomial", {"k": k, "p": p}, shape, dtype, kwargs)


def generalized_negative_binomial(mu: Any = 1, alpha: Any = 1, shape: Any = None, dtype: Any = None,
                                  **kwargs: Any) -> Symbol:
    """Negative binomial with mean `mu` and dispersion `alpha`."""
    return _draw("generalized_negative_binomial", {"mu": mu, "alpha": alpha}, shape, dtype, kwargs)


def randint(low: int, high: int, shape: Any = None, dtype: Any = None, **kwargs: Any) -> Symbol:
    """Whole numbers in [low, high)."""
    return _draw("randint", {"low": low, "high": high}, shape, dtype, kwargs)


def multinomial(data: Symbol, shape: Any = None, get_prob: bool = True, dtype: Any = "int32", **kwargs: Any) -> Symbol:
    """Indices drawn with the probabilities in the last axis of `data`, and their log-probabilities."""
    attrs = {"get_prob": get_prob, "dtype": dtype} | ({} if shape is None else {"shape": shape})
    node = make_node(registry.get("_sample_multinomial"), "_sample_multinomial",
                     {"data": one_value(data, "random.multinomial")}, {**attrs, **_attrs(kwargs)}, kwargs.get("name"))
    return Symbol(visible_outputs(node))


def shuffle(data: Symbol, **kwargs: Any) -> Symbol:
    """`data` with its first axis in random order."""
    node = make_node(registry.get("_shuffle"), "_shuffle", {"data": one_value(data, "random.shuffle")},
                     _attrs(kwargs), kwargs.get("name"))
    return Symbol(visible_outputs(node))
