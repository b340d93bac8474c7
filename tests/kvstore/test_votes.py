"""Majority votes between more than two machines."""
import torch

from tests.kvstore.synchronous import run


def test_votes_come_back_as_one_bit():
    """Between four machines: what a ring would move, 2 * 3/4 of each value, at 1/32 of its size within 1 %."""
    length = 4_000_000

    def work(store):
        store.set_gradient_compression({"type": "signsgd"})
        store.init("x", torch.zeros(length))
        store.barrier()
        before = store._machine.leaders.sent_bytes, store._machine.leaders.received_bytes
        store.pushpull("x", torch.randn(length))
        after = store._machine.leaders.sent_bytes, store._machine.leaders.received_bytes
        return [later - sooner for later, sooner in zip(after, before, strict=True)]

    wanted = 2 * 3 / 4 * 4 * length / 32
    for moved in run(["a", "b", "c", "d"], work):
        for num_bytes in moved:
            assert wanted <= num_bytes <= 1.01 * wanted + 3 * 3 * 8000      # and the agreement on what to sum
