"""`track`: bytes of live tensors, storage by storage."""
import torch

from mxdl.executor.memory import track


def test_views_share_and_what_was_there_is_not_counted():
    x = torch.zeros(1000)
    with track() as usage:
        y = x + 1
        view = y.view(10, 100)[2:]
        assert usage.live == 4000
        del y
        assert usage.live == 4000
        z = view * 2
        assert usage.live == 4000 + 3200
        del view
        assert usage.live == 3200
        x.add_(1)
        x.view(10, 100)
        del z
    assert (usage.live, usage.peak, usage.allocated) == (0, 7200, 7200)


def test_what_kernels_make_inside_counts():
    x = torch.ones(100, 100)
    with track() as usage:
        (x.t() @ x).sum()
    assert usage.peak == 4 * (100 * 100 + 1) and usage.live == 0


def test_gradients_of_torchs_tape_count():
    x = torch.ones(50, requires_grad=True)
    with track() as usage:
        (x * x).sum().backward()
    assert usage.live == x.grad.nbytes == 200
