"""The stream of seeds behind mx.random."""
import threading

import mxdl as mx
from mxdl import random


def test_the_same_seed_gives_the_same_stream():
    random.seed(7)
    first = [random.next_seed() for _ in range(5)]
    random.seed(7)
    assert random.reserve(5) == first
    random.seed(8)
    assert not set(random.reserve(5)) & set(first)


def test_neighbouring_seeds_do_not_share_draws():
    streams = []
    for n in range(50):
        random.seed(n)
        streams += random.reserve(50)
    assert len(set(streams)) == 2500
    assert all(0 <= s < 2**63 for s in streams)


def test_the_state_can_be_put_back():
    random.seed(3)
    random.reserve(4)
    state = random.get_state()
    later = random.reserve(3)
    random.set_state(state)
    assert random.reserve(3) == later
    random.set_state(list(state))    # as JSON gives it back
    assert random.reserve(3) == later


def test_threads_never_share_a_seed():
    drawn, threads = [], []
    for _ in range(4):
        threads.append(threading.Thread(target=lambda: drawn.extend(random.next_seed() for _ in range(500))))
        threads[-1].start()
    for thread in threads:
        thread.join()
    assert len(set(drawn)) == 2000


def test_the_draws_stand_in_both_places():
    assert mx.random.uniform is mx.nd.random.uniform and mx.rnd is mx.random
