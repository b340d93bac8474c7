"""Draws have the distribution that their names say, on every door: numbers, arrays, like."""
import math

import numpy as np
import pytest
import torch

from mxdl.ops import get

COUNT = 40_000
#: distribution: (numbers under the operator's names, arrays under the other's, mean, variance)
MOMENTS = {
    "uniform": ({"low": -1.0, "high": 3.0}, 1.0, 16 / 12),
    "normal": ({"loc": 2.0, "scale": 3.0}, 2.0, 9.0),
    "exponential": ({"lam": 4.0}, 1 / 4, 1 / 16),
    "gamma": ({"alpha": 3.0, "beta": 0.5}, 1.5, 0.75),
    "poisson": ({"lam": 5.0}, 5.0, 5.0),
    "negative_binomial": ({"k": 3, "p": 0.4}, 4.5, 11.25),
    "generalized_negative_binomial": ({"mu": 3.0, "alpha": 0.4}, 3.0, 6.6),
}
CASES = [(name, *row) for name, row in MOMENTS.items()]


def assert_moments(draws, mean, variance):
    """Within five standard errors; the fourth moment of these distributions is at most 12 variances squared."""
    draws = draws.double()
    assert abs(draws.mean() - mean) < 5 * math.sqrt(variance / COUNT)
    assert abs(draws.var() - variance) < 5 * variance * math.sqrt(12 / COUNT)


@pytest.mark.parametrize("name, numbers, mean, variance", CASES)
def test_moments_by_every_door(name, numbers, mean, variance):
    by_numbers = get(f"_random_{name}").bind({**numbers, "shape": (COUNT,)})(seed=5)
    like = get(f"_random_{name}_like").bind(numbers)(torch.zeros(COUNT), seed=5)
    arrays = [torch.tensor([float(value), float(value)]) for value in numbers.values()]
    by_arrays = get(f"_sample_{name}").bind({"shape": (COUNT,)})(*arrays, seed=6)
    for draws in (by_numbers, like, *by_arrays):
        assert_moments(draws, mean, variance)
    assert by_arrays.shape == (2, COUNT)
    assert torch.equal(by_numbers, like)


def distance(draws, cumulative) -> float:
    """Kolmogorov and Smirnov's: the largest gap between the empirical and the true distribution function."""
    values = np.sort(draws.double().numpy())
    steps = np.arange(len(values) + 1) / len(values)
    true = cumulative(values)
    return max(np.abs(true - steps[:-1]).max(), np.abs(true - steps[1:]).max())


@pytest.mark.parametrize("name, cumulative", [
    ("uniform", lambda x: x), ("exponential", lambda x: 1 - np.exp(-x)),
    ("normal", lambda x: np.vectorize(math.erf)(x / math.sqrt(2)) / 2 + 0.5), ("gamma", lambda x: 1 - np.exp(-x))])
def test_distribution_function(name, cumulative):
    draws = get(f"_random_{name}").bind({"shape": (COUNT,)})(seed=11)
    assert distance(draws, cumulative) < 1.95 / math.sqrt(COUNT)  # one in a thousand is further


def test_arrays_give_one_distribution_each():
    low, high = torch.tensor([[0.0, 10.0]]), torch.tensor([[1.0, 20.0]])
    draws = get("sample_uniform").bind({"shape": (500,)})(low, high, seed=1)
    assert draws.shape == (1, 2, 500)
    assert (draws >= low[..., None]).all()
    assert (draws <= high[..., None]).all()


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_dtype(dtype):
    assert str(get("random_normal").bind({"shape": (3,), "dtype": dtype})(seed=0).dtype) == f"torch.{dtype}"


def test_randint_is_even_within_bounds():
    draws = get("_random_randint").bind({"low": -2, "high": 3, "shape": (COUNT,)})(seed=3)
    assert draws.dtype is torch.int32
    values, counts = draws.unique(return_counts=True)
    assert values.tolist() == [-2, -1, 0, 1, 2]
    assert (counts.double() / COUNT - 0.2).abs().max() < 5 * math.sqrt(0.16 / COUNT)


def test_multinomial():
    chances = torch.tensor([[0.1, 0.2, 0.7], [1.0, 0.0, 0.0]], requires_grad=True)
    draws, log_chances = get("sample_multinomial").bind({"shape": (COUNT,), "get_prob": True})(chances, seed=1)
    shares = torch.bincount(draws[0].long(), minlength=3).double() / COUNT
    assert (shares - chances[0].double()).abs().max() < 5 * math.sqrt(0.25 / COUNT)
    assert not draws[1].any()
    torch.testing.assert_close(log_chances, chances.gather(1, draws.long()).log())
    (gradient,) = torch.autograd.grad(log_chances.mean(), chances)
    torch.testing.assert_close(gradient[0], (shares / 2 / chances[0]).float(), rtol=1e-3, atol=0)
    assert get("sample_multinomial")(chances[0]).shape == (1,)


def test_shuffle_keeps_rows():
    data = torch.arange(20).reshape(10, 2)
    shuffled = get("shuffle").bind({})(data, seed=4)
    assert not torch.equal(shuffled, data)
    assert torch.equal(shuffled[shuffled[:, 0].argsort()], data)


def test_unique_zipfian_is_unique_and_favours_the_first():
    drawn, tries = get("_sample_unique_zipfian").bind({"range_max": 1000, "shape": (20, 30)})(seed=2)
    assert all(len(set(row)) == 30 for row in drawn.tolist())
    assert (tries >= 30).all()
    assert (drawn == 0).any(1).double().mean() > 0.8
    assert drawn.median() < 200
