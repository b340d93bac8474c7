"""Random draws: arrays of numbers of one distribution (`_random_NAME`), one draw or several for each parameter in an
array (`_sample_NAME`), classes by probability, permutations.

The same seed gives the same draw.  Parameters carry no gradient.  Letters: S the shape of the parameters, K `shape`.
"""
from __future__ import annotations

from collections.abc import Callable, Sequence

import torch

from ..types import DType, TensorType, torch_dtype
from .create import CREATION, place
from .operator import NOT_DIFFERENTIABLE, Operator, operator
from .samples import Sample
from .traits import COSTLY, Traits

DRAWS = "the random draws are mxdl's own"
ONE_A_ROW = Traits(recompute=COSTLY)


def generator(seed: int, device: torch.device) -> torch.Generator:
    return torch.Generator(device).manual_seed(seed)


def drawn(shape: Sequence[int], dtype: str, ctx: str, seed: int,
          draw: Callable[[torch.Tensor, torch.Generator], torch.Tensor]) -> torch.Tensor:
    """`draw` fills an array of at least single precision, which is then rounded to `dtype`."""
    kind, device = torch_dtype(dtype), place(ctx)
    wide = torch.float64 if kind == torch.float64 else torch.float32
    return draw(torch.empty(tuple(shape), dtype=wide, device=device), generator(seed, device)).to(kind)


def attributes(**attrs) -> Sample:
    """A sample without inputs whose attributes may be called low and high, which are words of Sample's own."""
    sample = Sample()
    sample.attrs.update(attrs)
    return sample


def creation(name: str, *short: str, **sample) -> Callable[[Callable], Operator]:
    """Register the decorated kernel as `_random_NAME`; its type follows from `shape` and `dtype` alone."""
    def register(kernel: Callable) -> Operator:
        op = operator(f"_random_{name}", aliases=(f"random_{name}", *short), traits=CREATION, parity=DRAWS,
                      gradient=NOT_DIFFERENTIABLE, samples=[attributes(shape=(2, 3), **sample)])(kernel)
        op.infer(lambda inputs, attrs: [TensorType(tuple(attrs["shape"]), attrs["dtype"])])
        return op
    return register


@creation("uniform", "uniform")
def uniform(*, low: float = 0.0, high: float = 1.0, shape: tuple[int, ...] = (1,), ctx: str = "",
            dtype: DType = "float32", seed: int = 0):
    """Uniform on [low, high).  out: dtype[K]"""
    return drawn(shape, dtype, ctx, seed, lambda out, g: out.uniform_(low, high, generator=g))


@creation("normal", "normal")
def normal(*, loc: float = 0.0, scale: float = 1.0, shape: tuple[int, ...] = (1,), ctx: str = "",
           dtype: DType = "float32", seed: int = 0):
    """Normal with mean loc and standard deviation scale.  out: dtype[K]"""
    return drawn(shape, dtype, ctx, seed, lambda out, g: out.normal_(loc, scale, generator=g))


@creation("exponential", "exponential")
def exponential(*, lam: float = 1.0, shape: tuple[int, ...] = (1,), ctx: str = "", dtype: DType = "float32",
                seed: int = 0):
    """Exponential with rate lam.  out: dtype[K]"""
    return drawn(shape, dtype, ctx, seed, lambda out, g: out.exponential_(lam, generator=g))


@creation("poisson", "poisson")
def poisson(*, lam: float = 1.0, shape: tuple[int, ...] = (1,), ctx: str = "", dtype: DType = "float32",
            seed: int = 0):
    """Poisson with mean lam.  out: dtype[K]"""
    return drawn(shape, dtype, ctx, seed, lambda out, g: torch.poisson(out.fill_(lam), generator=g))


@creation("gamma")
def gamma(*, alpha: float = 1.0, beta: float = 1.0, shape: tuple[int, ...] = (1,), ctx: str = "",
          dtype: DType = "float32", seed: int = 0):
    """Gamma with shape alpha and scale beta.  out: dtype[K]"""
    return drawn(shape, dtype, ctx, seed, lambda out, g: gammas(out.fill_(alpha), g) * beta)


@creation("negative_binomial", "negative_binomial", k=3, p=0.3)
def negative_binomial(*, k: int = 1, p: float = 1.0, shape: tuple[int, ...] = (1,), ctx: str = "",
                      dtype: DType = "float32", seed: int = 0):
    """Failures before the k-th success, each with probability p.  out: dtype[K]"""
    return drawn(shape, dtype, ctx, seed,
                 lambda out, g: torch.poisson(gammas(out.fill_(k), g) * ((1 - p) / p), generator=g))


@creation("generalized_negative_binomial", "generalized_negative_binomial")
def generalized_negative_binomial(*, mu: float = 1.0, alpha: float = 1.0, shape: tuple[int, ...] = (1,),
                                  ctx: str = "", dtype: DType = "float32", seed: int = 0):
    """Negative binomial with mean mu and variance mu + alpha mu ** 2.  out: dtype[K]"""
    def draw(out, g):
        rate = gammas(out.fill_(1 / alpha), g) * (mu * alpha) if alpha > 0 else out.fill_(mu)
        return torch.poisson(rate, generator=g)
    return drawn(shape, dtype, ctx, seed, draw)


def gammas(alpha: torch.Tensor, g: torch.Generator) -> torch.Tensor:
    """Gamma draws of scale 1."""
    return torch._standard_gamma(alpha, generator=g)


@creation("randint", low=-3, high=500)
def randint(*, low: int, high: int, shape: tuple[int, ...] = (1,), ctx: str = "", dtype: DType = "int32",
            seed: int = 0):
    """Whole numbers uniform on [low, high).  out: dtype[K]"""
    device = place(ctx)
    return torch.randint(low, high, shape, dtype=torch_dtype(dtype), device=device, generator=generator(seed, device))


def sampled(parameters: Sequence[torch.Tensor], shape: Sequence[int], dtype: str | None,
            draw: Callable[..., torch.Tensor], seed: int) -> torch.Tensor:
    """`draw(generator, *parameters)`, the parameters repeated over trailing axes of lengths `shape`."""
    spread = [p.reshape(*p.shape, *(1,) * len(shape)).expand(*p.shape, *shape).contiguous() for p in parameters]
    out = draw(generator(seed, parameters[0].device), *spread)
    return out.to(torch_dtype(dtype)) if dtype is not None else out


def sampling(name: str, samples: Sequence[Sample]) -> Callable[[Callable], Operator]:
    """Register the decorated kernel as `_sample_NAME`."""
    def register(kernel: Callable) -> Operator:
        op = operator(f"_sample_{name}", aliases=(f"sample_{name}",), traits=ONE_A_ROW, parity=DRAWS,
                      gradient=NOT_DIFFERENTIABLE, samples=samples)(kernel)
        op.infer(lambda inputs, attrs: [TensorType((*inputs[0].shape, *attrs["shape"]),
                                                   attrs["dtype"] or inputs[0].dtype)])
        return op
    return register


ONE = [Sample((2,), low=0.5, high=2), Sample((2,), low=0.5, high=2, shape=(3,))]
TWO = [Sample((2,), (2,), low=0.5, high=2), Sample((2,), (2,), low=0.5, high=2, shape=(3, 2))]


@sampling("uniform", TWO)
def sample_uniform(low, high, *, shape: tuple[int, ...] = (), dtype: DType | None = None, seed: int = 0):
    """Uniform on [low, high).  low, high: float[S]   out: dtype[S, K]"""
    return sampled((low, high), shape, dtype,
                   lambda g, a, b: a + (b - a) * torch.rand(a.shape, generator=g, device=a.device, dtype=a.dtype), seed)


@sampling("normal", TWO)
def sample_normal(mu, sigma, *, shape: tuple[int, ...] = (), dtype: DType | None = None, seed: int = 0):
    """Normal.  mu, sigma: float[S]   out: dtype[S, K]"""
    return sampled((mu, sigma), shape, dtype, lambda g, m, s: torch.normal(m, s, generator=g), seed)


@sampling("exponential", ONE)
def sample_exponential(lam, *, shape: tuple[int, ...] = (), dtype: DType | None = None, seed: int = 0):
    """Exponential with rate lam.  lam: float[S]   out: dtype[S, K]"""
    return sampled((lam,), shape, dtype, lambda g, r: torch.empty_like(r).exponential_(generator=g) / r, seed)


@sampling("poisson", ONE)
def sample_poisson(lam, *, shape: tuple[int, ...] = (), dtype: DType | None = None, seed: int = 0):
    """Poisson with mean lam.  lam: float[S]   out: dtype[S, K]"""
    return sampled((lam,), shape, dtype, lambda g, r: torch.poisson(r, generator=g), seed)


@sampling("gamma", TWO)
def sample_gamma(alpha, beta, *, shape: tuple[int, ...] = (), dtype: DType | None = None, seed: int = 0):
    """Gamma with shape alpha and scale beta.  alpha, beta: float[S]   out: dtype[S, K]"""
    return sampled((alpha, beta), shape, dtype, lambda g, a, b: gammas(a, g) * b, seed)


@operator("_shuffle", aliases=("shuffle",), traits=ONE_A_ROW, gradient=NOT_DIFFERENTIABLE, parity=DRAWS,
          samples=[Sample((4, 2))])
def shuffle(data, *, seed: int = 0):
    """data with its rows in a random order.  data, out: T[N, ...]"""
    order = torch.randperm(data.shape[0], generator=generator(seed, data.device), device=data.device)
    return data[order]


@shuffle.infer
def _(inputs, attrs):
    return [inputs[0]]
