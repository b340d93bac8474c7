"""Random draws.  Each distribution is one row and gives three operators: parameters as numbers (`_random_NAME`), the
same in the shape of an array (`_random_NAME_like`), and parameters as arrays (`_sample_NAME`: `shape` draws for each).

A kernel is given its seed: the same seed gives the same draw.  The draws are torch's, not those of MXNet.
"""
from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

import torch

from ..types import TORCH_DTYPES, DType, TensorType
from . import registry
from .create import place
from .families import equal_shapes
from .operator import NOT_DIFFERENTIABLE, Operator, operator
from .samples import Sample
from .traits import CHEAP, Traits

OWN_DRAWS = "the random draws are mxdl's own"
_CHEAP = Traits(recompute=CHEAP)
_SHAPE_ONLY = Traits(recompute=CHEAP, shape_only=(0,))
Draw = Callable[..., torch.Tensor]
_KEYWORD, _POSITIONAL = inspect.Parameter.KEYWORD_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD


def generator(seed: int, device: torch.device) -> torch.Generator:
    return torch.Generator(device).manual_seed(seed)


def _uniform(out, source, low, high):
    return out.uniform_(generator=source).mul_(high - low).add_(low)


def _normal(out, source, mean, deviation):
    return out.normal_(generator=source).mul_(deviation).add_(mean)


def _exponential(out, source, rate):
    return out.exponential_(generator=source).div_(rate)


def _filled(out: torch.Tensor, value: Any) -> torch.Tensor:
    return torch.empty_like(out).copy_(value) if isinstance(value, torch.Tensor) else torch.full_like(out, value)


def _gamma(out, source, shape, scale):
    return torch._standard_gamma(_filled(out, shape), generator=source).mul_(scale)


def _poisson(out, source, rate):
    return torch.poisson(_filled(out, rate), generator=source)


def _negative_binomial(out, source, successes, chance):
    rate = _gamma(out, source, successes, 1.0) * ((1 - chance) / chance)
    return torch.poisson(rate, generator=source)


def _generalized_negative_binomial(out, source, mean, dispersion):
    mean, dispersion = _filled(out, mean), _filled(out, dispersion)
    spread = dispersion.clamp(min=1e-12)  # none: the limit is a Poisson
    rate = torch._standard_gamma(1 / spread, generator=source) * spread * mean
    return torch.poisson(torch.where(dispersion > 0, rate, mean), generator=source)


def _drawn(draw: Draw, shape: tuple[int, ...], dtype: torch.dtype, device: torch.device, seed: int,
           *parameters: Any) -> torch.Tensor:
    if device.type == "meta":
        return torch.empty(shape, dtype=dtype, device=device)
    wide = torch.float64 if dtype is torch.float64 else torch.float32
    return draw(torch.empty(shape, dtype=wide, device=device), generator(seed, device), *parameters).to(dtype)


def _distribution(name: str, draw: Draw, numbers: Mapping[str, float | int], arrays: tuple[str, ...], formula: str,
                  aliases: tuple[str, ...] = (), high: float = 1.0, **sampled: float) -> None:
    """Register the three operators.  numbers: parameter names and defaults of the first two; arrays: of the third;
    sampled: numbers for their samples."""
    def of_numbers(*, shape, ctx, dtype, seed=0, **given):
        return _drawn(draw, shape or (1,), TORCH_DTYPES[dtype or "float32"], place(ctx), seed, *given.values())

    def like(data, *, seed=0, **given):
        return _drawn(draw, tuple(data.shape), data.dtype, data.device, seed, *given.values())

    def of_arrays(*given, shape, dtype, seed=0):
        wanted = TORCH_DTYPES[dtype] if dtype else given[0].dtype
        wide = [x.reshape(*x.shape, *[1] * len(shape)).to(torch.float64 if wanted is torch.float64 else torch.float32)
                for x in given]
        return _drawn(draw, (*given[0].shape, *shape), wanted, given[0].device, seed, *wide)

    scalars = {n: (type(default), default) for n, default in numbers.items()}
    shape, kind, seed = (tuple[int, ...], ()), (DType | None, None), (int, 0)
    parameters = ", ".join(numbers)
    op = Operator(
        f"_random_{name}", _signed(of_numbers, (), {**scalars, "shape": shape, "ctx": (str, ""), "dtype": kind,
                                                    "seed": seed}, f"{formula} with numbers {parameters}.  "
                                   "out: dtype[shape]"),
        aliases=(f"random_{name}", *aliases), traits=_CHEAP, gradient=NOT_DIFFERENTIABLE, parity=OWN_DRAWS,
        samples=[Sample(shape=(3, 4), **sampled), Sample(shape=(5,), dtype="float64", **sampled)])
    op.infer(lambda inputs, attrs: [TensorType(attrs["shape"] or (1,), attrs["dtype"] or "float32")])
    registry.add(op)
    registry.add(Operator(f"_random_{name}_like", _signed(like, ("data",), {**scalars, "seed": seed},
                                                  f"{formula} in the shape and dtype of data.  data, out: float[...]"),
                  traits=_SHAPE_ONLY, gradient=NOT_DIFFERENTIABLE, parity=OWN_DRAWS,
                          samples=[Sample((3, 4), **sampled)]))
    op = Operator(
        f"_sample_{name}", _signed(of_arrays, arrays, {"shape": shape, "dtype": kind, "seed": seed},
                                   f"{formula}, `shape` draws for each element of the parameters.  "
                                   f"{', '.join(arrays)}: float[...];  out: dtype[..., *shape]"),
        aliases=(f"sample_{name}",), traits=_CHEAP, gradient=NOT_DIFFERENTIABLE, parity=OWN_DRAWS,
        samples=[Sample(*[(2, 3)] * len(arrays), low=0.1, high=high, shape=(4,)),
                 Sample(*[(3,)] * len(arrays), low=0.1, high=high)])
    op.complete(equal_shapes)
    registry.add(op)


def _signed(kernel: Callable, tensors: tuple[str, ...], attributes: Mapping[str, tuple[Any, Any]],
            doc: str) -> Callable:
    """The kernel with the signature that its entry shows: tensors, then typed attributes with defaults."""
    parameters = [inspect.Parameter(n, _POSITIONAL) for n in tensors]
    parameters += [inspect.Parameter(n, _KEYWORD, default=default, annotation=annotation)
                   for n, (annotation, default) in attributes.items()]

    def signed(*inputs: torch.Tensor, **given: Any) -> torch.Tensor:
        return kernel(*inputs, **{n: given.get(n, default) for n, (_, default) in attributes.items()})
    signed.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    signed.__annotations__ = {n: annotation for n, (annotation, _) in attributes.items()}
    signed.__doc__ = doc
    return signed


_distribution("uniform", _uniform, {"low": 0.0, "high": 1.0}, ("low", "high"), "Uniform draws from [low, high)",
              ("uniform",))
_distribution("normal", _normal, {"loc": 0.0, "scale": 1.0}, ("mu", "sigma"),
              "Normal draws of mean loc and deviation scale", ("normal",))
_distribution("exponential", _exponential, {"lam": 1.0}, ("lam",), "Exponential draws of rate lam")
_distribution("gamma", _gamma, {"alpha": 1.0, "beta": 1.0}, ("alpha", "beta"),
              "Gamma draws of shape alpha and scale beta")
_distribution("poisson", _poisson, {"lam": 1.0}, ("lam",), "Poisson draws of mean lam", high=9.0)
_distribution("negative_binomial", _negative_binomial, {"k": 1, "p": 1.0}, ("k", "p"),
              "How often one fails before succeeding k times, each time with probability p", k=3, p=0.4)
_distribution("generalized_negative_binomial", _generalized_negative_binomial, {"mu": 1.0, "alpha": 1.0},
              ("mu", "alpha"), "Negative binomial draws of mean mu and variance mu + alpha mu^2")


def _between(low: int, high: int, **attrs: Any) -> Sample:
    sample = Sample(**attrs)
    sample.attrs.update(low=low, high=high)  # as keywords they would bound the sample's inputs
    return sample


@operator("_random_randint", aliases=("random_randint", "_npi_random_randint"), traits=_CHEAP,
          gradient=NOT_DIFFERENTIABLE, parity=OWN_DRAWS,
          samples=[_between(-3, 9, shape=(3, 4)), _between(0, 2**40, shape=(5,), dtype="int64")])
def randint(*, low: int, high: int, shape: tuple[int, ...] = (), ctx: str = "", dtype: DType | None = None,
            seed: int = 0):
    """Whole numbers drawn evenly from [low, high).  out: dtype[shape], int32 by default"""
    device = place(ctx)
    out = torch.empty(shape or (1,), dtype=torch.int64, device=device)
    return out.random_(low, high, generator=generator(seed, device)).to(TORCH_DTYPES[dtype or "int32"])


@randint.infer
def _(inputs, attrs):
    return [TensorType(attrs["shape"] or (1,), attrs["dtype"] or "int32")]


@operator("_sample_multinomial", aliases=("sample_multinomial",), traits=_CHEAP, parity=OWN_DRAWS,
          num_outputs=lambda attrs: 1 + attrs["get_prob"],
          samples=[Sample((2, 3), low=0.1, shape=(5,)), Sample((4,), low=0.1, shape=(2, 3), get_prob=True)])
def multinomial(data, *, shape: tuple[int, ...] = (), get_prob: bool = False, dtype: DType = "int32", seed: int = 0):
    """`shape` categories drawn with the probabilities along the last axis; under get_prob also their log-probabilities.

    data: float[..., C];   outs: dtype[..., *shape] and float[..., *shape]; [1] of a single distribution's single draw
    """
    batch = tuple(data.shape[:-1])
    count = 1
    for length in shape:
        count *= length
    rows = data.reshape(-1, data.shape[-1])
    if data.is_meta:
        places = torch.empty((len(rows), count), dtype=torch.int64, device=data.device)
    else:
        places = torch.multinomial(rows.detach().float(), count, replacement=True,
                                   generator=generator(seed, data.device))
    wanted = (*batch, *shape) or (1,)
    drawn = places.reshape(wanted).to(TORCH_DTYPES[dtype])
    return (drawn, rows.gather(1, places).log().reshape(wanted)) if get_prob else drawn


@operator("_shuffle", aliases=("shuffle", "_npi_shuffle"), traits=_CHEAP, gradient=NOT_DIFFERENTIABLE,
          parity=OWN_DRAWS, samples=[Sample((7, 2))])
def shuffle(data, *, seed: int = 0):
    """data with the order of its first axis shuffled.  data, out: T[N, ...]"""
    if data.is_meta:
        return torch.empty_like(data)
    return data[torch.randperm(len(data), generator=generator(seed, data.device), device=data.device)]


@operator("_sample_unique_zipfian", traits=_CHEAP, num_outputs=2, gradient=NOT_DIFFERENTIABLE, parity=OWN_DRAWS,
          samples=[Sample(range_max=50, shape=(2, 6))])
def unique_zipfian(*, range_max: int, shape: tuple[int, ...] = (), seed: int = 0):
    """Rows of distinct draws from [0, range_max), k with probability log((k + 2) / (k + 1)) / log(range_max + 1).

    outs: int64[N, K], the draws, and int64[N], how many draws it took to find K distinct ones.
    """
    (rows, count), source = shape, generator(seed, torch.device("cpu"))
    drawn, tries = torch.empty((rows, count), dtype=torch.int64), torch.zeros(rows, dtype=torch.int64)
    for row in range(rows):
        seen: dict[int, None] = {}
        while len(seen) < count:
            uniform = torch.rand(2 * count, generator=source, dtype=torch.float64)
            for value in (torch.exp(uniform * torch.log(torch.tensor(range_max + 1.0))) - 1).long().tolist():
                tries[row] += 1
                seen[value % range_max] = None
                if len(seen) == count:
                    break
        drawn[row] = torch.tensor(list(seen))
    return drawn, tries


@unique_zipfian.infer
def _(inputs, attrs):
    return [TensorType(attrs["shape"], "int64"), TensorType(attrs["shape"][:1], "int64")]
