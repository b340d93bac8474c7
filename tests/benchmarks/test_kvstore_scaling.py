"""The scaling simulation: cases with a known answer, and the published ordering."""
import pytest

from benchmarks.kvstore_scaling import Links, Net, efficiency, net, published, step_seconds


def test_one_machine_with_one_device_takes_its_compute():
    assert step_seconds(net("resnet50", 0.5), 1, 1, Links()) == pytest.approx(0.5)


def test_without_compute_a_step_is_the_wire():
    bare = Net("bare", 0.0, ((125e6, 1.0),))
    links = Links(alpha=1e-3, beta=1.25e9)
    assert step_seconds(bare, 2, 1, links) == pytest.approx(2 * 1e-3 + 0.1)
    assert step_seconds(bare, 4, 1, links) == pytest.approx(6 * 1e-3 + 0.15)
    assert step_seconds(bare, 4, 1, links, servers=True) == pytest.approx(2 * 1e-3 + 0.15)


def test_transfers_hide_behind_the_backward_pass():
    """Many layers, a fast link: only the first layer's transfer, which is ready last, is seen."""
    even = Net("even", 3.0, tuple((1e6, 0.01) for _ in range(100)))
    links = Links(alpha=0.0, beta=1e9)
    assert step_seconds(even, 2, 1, links) == pytest.approx(3.0 + 1e6 / 1e9)


def test_the_published_order_comes_out():
    rows, _ = published()
    assert len(rows) == 9
    for gpus in (16, 128, 256):
        simulated = {row[0]: row[3] for row in rows if row[1] == gpus}
        real = {row[0]: row[2] for row in rows if row[1] == gpus}
        order = ["alexnet", "inception-v3", "resnet152"]
        assert sorted(simulated, key=simulated.get) == sorted(real, key=real.get) == order
    assert max(abs(row[2] - row[3]) for row in rows) < 0.07


def test_a_thousand_machines_are_quick_and_servers_suffer_less_from_latency():
    links = Links(alpha=1e-3)
    ring, servers = (efficiency(net("resnet50", 0.5), 1024, 8, links, kind) for kind in (False, True))
    assert 0 < ring < servers < 1
