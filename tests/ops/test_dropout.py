"""Dropout drops the share it says, by the seed, in training."""
import math

import pytest
import torch

from mxdl.ops import get

dropout = get("Dropout")
COUNT = 100_000


@pytest.mark.parametrize("p", [0.1, 0.5, 0.93])
def test_share_and_scale(p):
    out, kept = dropout.bind({"p": p})(torch.ones(COUNT), training=True, seed=4)
    assert abs(kept.double().mean() - (1 - p)) < 5 * math.sqrt(p * (1 - p) / COUNT)
    assert torch.equal(out != 0, kept)
    torch.testing.assert_close(out[kept], torch.full_like(out[kept], 1 / (1 - p)))


def test_neighbours_are_independent():
    """Four neighbours share one 64-bit draw; their masks must not tell of one another."""
    _, kept = dropout.bind({"p": 0.5})(torch.ones(COUNT), training=True, seed=9)
    signs = kept.double() * 2 - 1
    for lag in (1, 2, 3, 4, 8):
        assert abs((signs[lag:] * signs[:-lag]).mean()) < 5 / math.sqrt(COUNT)


def test_seed():
    run = dropout.bind({"p": 0.5})
    x = torch.ones(3, 50)
    assert torch.equal(run(x, training=True, seed=1)[0], run(x, training=True, seed=1)[0])
    assert not torch.equal(run(x, training=True, seed=1)[0], run(x, training=True, seed=2)[0])


def test_axes_share_one_draw():
    out, kept = dropout.bind({"p": 0.5, "axes": (0, -1)})(torch.ones(4, 200, 3), training=True, seed=3)
    assert kept.shape == (1, 200, 1)
    assert (out == out[:1, :, :1]).all()


@pytest.mark.parametrize("attrs, training, changes", [
    ({}, False, False), ({"mode": "always"}, False, True), ({}, True, True), ({"p": 0.0}, True, False)])
def test_when_it_drops(attrs, training, changes):
    x = torch.ones(200)
    assert (not torch.equal(dropout.bind(attrs)(x, training=training, seed=1)[0], x)) == changes


def test_everything_can_be_dropped():
    assert not dropout.bind({"p": 1.0})(torch.ones(50), training=True, seed=1)[0].any()
