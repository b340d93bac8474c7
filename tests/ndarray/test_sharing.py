"""Which arrays share memory: arrays are mutable, so this is semantics.  Observed on MXNet 1.9.1."""
import copy
from pathlib import Path

import numpy as np
import pytest

import mxdl as mx

SHARE = {
    "reshape": lambda x: x.reshape((-1,)), "detach": lambda x: x.detach(),
    "astype without copy": lambda x: x.astype("float32", copy=False),
    "as_in_context": lambda x: x.as_in_context(mx.cpu()), "iteration": lambda x: next(iter(x)),
    "dlpack": lambda x: mx.nd.from_dlpack(x.to_dlpack_for_write()), "from_torch": lambda x: x.from_torch(x.to_torch()),
}
COPY = {
    "flatten": lambda x: x.flatten(), "expand_dims": lambda x: x.expand_dims(axis=0), "squeeze": lambda x: x.squeeze(),
    "T": lambda x: x.T, "swapaxes": lambda x: x.swapaxes(0, 1), "split": lambda x: x.split(num_outputs=2, axis=0)[0],
    "slice_axis": lambda x: x.slice_axis(axis=0, begin=0, end=1), "nd.reshape": lambda x: mx.nd.reshape(x, (6,)),
    "reshape_like": lambda x: x.reshape_like(x), "broadcast_to": lambda x: x.broadcast_to((2, 3)),
    "identity": lambda x: mx.nd.identity(x), "stop_gradient": lambda x: mx.nd.stop_gradient(x),
    "astype": lambda x: x.astype("float32"), "copy": lambda x: x.copy(), "copyto": lambda x: x.copyto(mx.cpu()),
    "array": mx.nd.array, "deepcopy": copy.deepcopy, "moveaxis": lambda x: mx.nd.moveaxis(x, 0, 1),
    "asnumpy": lambda x: x.asnumpy(), "other context": lambda x: x.as_in_context(mx.cpu(1)),
}


@pytest.mark.parametrize("way", SHARE)
def test_shares(way):
    x = mx.nd.ones((2, 3))
    SHARE[way](x)[:] = 7
    assert (x.asnumpy() == 7).any()


@pytest.mark.parametrize("way", COPY)
def test_copies(way):
    x = mx.nd.ones((2, 3))
    part = COPY[way](x)
    part[:] = 7
    assert (x.asnumpy() == 1).all()


@pytest.mark.parametrize("way", COPY)
def test_copies_do_not_follow_the_source(way):
    x = mx.nd.ones((2, 3))
    part = COPY[way](x)
    x[:] = 7
    assert (np.asarray(part) == 1).all()


def test_reshape_of_a_transposed_array_can_be_written():
    x = mx.nd.array([[1, 2], [3, 4]]).T
    x.reshape((-1,))[0] = 9
    assert x.asnumpy().tolist() == [[9, 3], [2, 4]]


def test_from_numpy_shares_and_locks():
    values = np.ones((2, 3), "float32")
    x = mx.nd.from_numpy(values)
    x[:] = 7
    assert (values == 7).all() and not values.flags.writeable
    assert mx.nd.from_numpy(np.ones((2, 3)), zero_copy=False).dtype == np.float64


def test_context_is_told_apart_but_mixes():
    x, y = mx.nd.ones((2,), ctx=mx.cpu(1)), mx.nd.ones((2,))
    assert x.as_in_context(mx.cpu(1)) is x
    assert (x + y).ctx == mx.cpu(1) and (y + x).ctx == mx.cpu(0)


def test_a_large_gradient_takes_no_memory_before_it_is_written():
    def resident() -> int:
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmRSS"))

    x = mx.nd.ones((16, 1 << 20))   # 64 MiB
    before = resident()
    x.attach_grad()
    assert resident() - before < 16 << 20
    assert x.grad.sum().asscalar() == 0 and x.grad.dtype == x.dtype and x.grad.shape == x.shape
    with mx.autograd.record():
        y = (x * 3).sum()
    y.backward()
    assert float(x.grad.min().asscalar()) == float(x.grad.max().asscalar()) == 3
