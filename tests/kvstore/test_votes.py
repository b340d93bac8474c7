"""Majority votes between more than two machines."""
from tests.kvstore.synchronous import bytes_on_the_wire


def test_votes_come_back_as_one_bit():
    """Between four machines: what a ring would move, 2 * 3/4 of each value, at 1/32 of its size within 1 %."""
    length = 4_000_000
    wanted = 2 * 3 / 4 * 4 * length / 32
    for moved in bytes_on_the_wire(["a", "b", "c", "d"], {"type": "signsgd"}, length):
        for num_bytes in moved:
            assert wanted <= num_bytes <= 1.01 * wanted + 3 * 3 * 8000      # and the agreement on what to sum
