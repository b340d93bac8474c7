"""The arena: values that live together never overlap, and the packing is tight."""
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mxdl.codegen.arena import ALIGNMENT, Interval, place

INTERVALS = st.lists(st.tuples(st.integers(0, 20), st.integers(0, 6), st.integers(1, 5000)), min_size=1, max_size=30)


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)   # the machine may be busy
@given(INTERVALS)
def test_no_overlap_alignment_and_bounds(rows):
    intervals = {str(i): Interval(start, start + length, size) for i, (start, length, size) in enumerate(rows)}
    offsets, total = place(intervals)
    for a, x in intervals.items():
        assert offsets[a] % ALIGNMENT == 0 and offsets[a] + x.size <= total
        for b, y in intervals.items():
            if a < b and x.start <= y.end and y.start <= x.end:
                assert offsets[a] + x.size <= offsets[b] or offsets[b] + y.size <= offsets[a]


@given(INTERVALS)
def test_never_below_the_live_bytes_nor_above_the_sum(rows):
    intervals = {str(i): Interval(start, start + length, size) for i, (start, length, size) in enumerate(rows)}
    _, total = place(intervals)
    alive = max(sum(v.size for v in intervals.values() if v.start <= t <= v.end) for t in range(30))
    assert alive <= total <= sum(-(-v.size // ALIGNMENT) * ALIGNMENT for v in intervals.values())


def test_a_chain_needs_two_buffers():
    chain = {str(i): Interval(i, i + 1, 1024) for i in range(50)}
    assert place(chain)[1] == 2048
