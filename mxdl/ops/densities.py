"""Probability densities (`_random_pdf_NAME`): of samples under distributions whose parameters are arrays.

Letters: S the shape of the parameters, K samples of each.
"""
from __future__ import annotations

from typing import Any

import numpy as np
import torch

from .operator import operator
from .samples import Sample
from .traits import CHEAP, Traits

_CHEAP = Traits(recompute=CHEAP)


def density(name: str, *samples: Sample):
    """Register the decorated kernel as `_random_pdf_NAME`."""
    return operator(f"_random_pdf_{name}", aliases=(f"random_pdf_{name}",), traits=_CHEAP, samples=list(samples))


def _of_log(log_density: torch.Tensor, is_log: bool) -> torch.Tensor:
    return log_density if is_log else torch.exp(log_density)


def _one(*parameters: Any, whole: bool = False, **bounds: float) -> list[Sample]:
    """Samples of densities and of their logarithms; whole: the variable is a number of events."""
    inputs = [(2, 3), *(parameters or [(2,)])]
    wanted = tuple(range(int(whole), len(inputs)))
    return [Sample(*inputs, resizable=False, tolerance=1e-4, differentiable=wanted, **bounds),
            Sample(*inputs, is_log=True, resizable=False, tolerance=1e-4, differentiable=wanted, **bounds)]


@density("uniform", *_one(np.array([0, -1], "float32"), np.array([0.5, 2], "float32")))
def uniform(sample, low, high, *, is_log: bool = False):
    """1 / (high - low), wherever the sample lies.  sample: float[S, K];  low, high: float[S];  out: float[S, K]"""
    log_density = -torch.log(high - low)[..., None]
    return _of_log(log_density.expand_as(sample).clone(), is_log)


@density("normal", *_one((2,), (2,), low=0.5, high=2))
def normal(sample, mu, sigma, *, is_log: bool = False):
    """Of mean mu and deviation sigma.  sample: float[S, K];  mu, sigma: float[S];  out: float[S, K]"""
    mu, sigma = mu[..., None], sigma[..., None]
    return _of_log(-0.5 * ((sample - mu) / sigma) ** 2 - torch.log(sigma) - 0.9189385332046727, is_log)


@density("gamma", *_one((2,), (2,), low=0.5, high=2))
def gamma(sample, alpha, beta, *, is_log: bool = False):
    """Of shape alpha and rate beta.  sample: float[S, K];  alpha, beta: float[S];  out: float[S, K]"""
    a, b = alpha[..., None], beta[..., None]
    return _of_log(a * torch.log(b) + (a - 1) * torch.log(sample) - b * sample - torch.lgamma(a), is_log)


@density("exponential", *_one(low=0.5, high=2))
def exponential(sample, lam, *, is_log: bool = False):
    """Of rate lam.  sample: float[S, K];  lam: float[S];  out: float[S, K]"""
    return _of_log(torch.log(lam[..., None]) - lam[..., None] * sample, is_log)


@density("poisson", *_one(whole=True, low=1, high=4))
def poisson(sample, lam, *, is_log: bool = False):
    """Of mean lam.  sample: float[S, K];  lam: float[S];  out: float[S, K]"""
    rate, sample = lam[..., None], sample.detach()
    return _of_log(sample * torch.log(rate) - torch.lgamma(sample + 1) - rate, is_log)


def _failures(sample: torch.Tensor, successes: torch.Tensor, chance: torch.Tensor) -> torch.Tensor:
    """Log of the probability of `sample` failures before that many successes of that chance each."""
    sample = sample.detach()
    return (torch.lgamma(sample + successes) - torch.lgamma(sample + 1) - torch.lgamma(successes)
            + successes * torch.log(chance) + sample * torch.log1p(-chance))


@density("negative_binomial", *_one((2,), (2,), whole=True, low=0.2, high=0.9))
def negative_binomial(sample, k, p, *, is_log: bool = False):
    """Of failures before the k-th success of probability p.  sample: float[S, K];  k, p: float[S];  out: float[S, K]"""
    return _of_log(_failures(sample, k[..., None], p[..., None]), is_log)


@density("generalized_negative_binomial", *_one((2,), (2,), whole=True, low=0.5, high=2))
def generalized_negative_binomial(sample, mu, alpha, *, is_log: bool = False):
    """Of mean mu and variance mu + alpha mu^2.  sample: float[S, K];  mu, alpha: float[S];  out: float[S, K]"""
    mu, alpha = mu[..., None], alpha[..., None]
    return _of_log(_failures(sample, 1 / alpha, 1 / (1 + alpha * mu)), is_log)


@density("dirichlet", Sample((2, 3, 4), (2, 4), low=0.5, high=2, resizable=False, tolerance=1e-4),
         Sample((2, 3, 4), (2, 4), low=0.5, high=2, is_log=True, resizable=False, tolerance=1e-4))
def dirichlet(sample, alpha, *, is_log: bool = False):
    """Of concentrations alpha.  sample: float[S, K, C];  alpha: float[S, C];  out: float[S, K]"""
    a = alpha[..., None, :]
    norm = torch.lgamma(a.sum(-1)) - torch.lgamma(a).sum(-1)
    return _of_log(norm + ((a - 1) * torch.log(sample)).sum(-1), is_log)
