"""The gradient of cross entropy by blocks of rows: the bits of torch's own, a block beside the result."""
import pytest
import torch

from mxdl.executor.memory import track
from mxdl.ops import cross_entropy
from mxdl.types import TensorType


def by_tape(data, place, dout):
    leaf = data.clone().requires_grad_()
    leaf.log_softmax(-1).gather(-1, place).squeeze(-1).backward(dout)
    return leaf.grad


def case(*shape):
    data = torch.randn(shape)
    return data, torch.randint(shape[-1], (*shape[:-1], 1)), torch.randn(shape[:-1])


def gradient(data, place, dout):
    return cross_entropy.log_softmax_pick_gradient(dout, data.log_softmax(-1), place, axis=-1)


@pytest.mark.parametrize("shape", [(7, 10), (3, 5, 8), (1, 100), (50,)])
def test_blocks_give_the_bits_of_the_whole(shape, monkeypatch):
    monkeypatch.setattr(cross_entropy, "_CACHED", 25)   # the last block is smaller than the others
    data, place, dout = case(*shape)
    assert torch.equal(gradient(data, place, dout), by_tape(data, place, dout))


def test_beside_the_gradient_there_is_one_block_which_the_plan_knows():
    data, place, dout = case(600, 1000)
    logs = data.log_softmax(-1)
    types = [TensorType(dout.shape), TensorType(logs.shape), TensorType(place.shape, "int64")]
    planned = cross_entropy.log_softmax_pick_gradient.scratch_rule(types, {"axis": -1})
    assert 0 < planned < logs.nbytes
    with track() as usage:
        gradient_ = cross_entropy.log_softmax_pick_gradient(dout, logs, place, axis=-1)
    assert usage.peak == gradient_.nbytes + planned
