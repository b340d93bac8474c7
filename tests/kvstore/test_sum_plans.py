"""Calls whose plan is known already: the same sums as the first time, beside workers that have no plan."""
import threading
import time

import pytest
import torch

from mxdl.kvstore import KVStoreError
from mxdl.kvstore.bucket import outline, within
from mxdl.kvstore.collective_choice import Limits, Task, most_urgent
from mxdl.kvstore.shared_memory import POSTED, Board
from tests.kvstore.synchronous import run

SHAPES = [(3,), (1000, 300), (0,), (), (2, 5), (7, 1), (600_000,), (4,)]


@pytest.mark.parametrize("hosts", [["a"], ["a", "a"], ["a", "b"], ["a", "a", "b"], ["a", "b", "a", "b", "b", "a"]],
                         ids="".join)
def test_planned_and_unplanned_calls_sum_alike(hosts, monkeypatch):
    """Worker 0's last call is of arrays that are not contiguous, so it has no plan there and the others have."""
    def work(store):
        found, planned = [], []
        keys = [f"k{number}" for number in range(len(SHAPES))]
        store.init(keys, [torch.zeros(shape) for shape in SHAPES])
        for step in range(4):
            grads = [torch.full(shape, float(10 ** store.rank * (step + 1))) for shape in SHAPES]
            if step == 3 and store.rank == 0:
                grads[1] = grads[1].reshape(300, 1000).t()
            planned.append(bool(store._plans.tasks(keys, grads, 0)))
            store.allreduce(keys, [[grad] for grad in grads])
            found.append([grad.unique().tolist() for grad in grads])
        return found, planned

    total = sum(10 ** rank for rank in range(len(hosts)))
    wanted = [[[total * (step + 1)] if torch.Size(shape).numel() else [] for shape in SHAPES] for step in range(4)]
    for rank, (found, planned) in enumerate(run(hosts, work)):
        assert found == wanted
        assert planned == [False, True, True, rank != 0]


def test_a_plan_is_not_used_for_other_arrays():
    """Another shape is still an error, another order of keys another call, and int32 after float32 has no plan."""
    def work(store):
        store.init([1, 2], [torch.zeros(3), torch.zeros(4)])
        store.allreduce([1, 2], [torch.ones(3), torch.ones(4)])
        with pytest.raises(KVStoreError, match="shape"):
            store.allreduce([1, 2], [torch.ones(4), torch.ones(4)])
        turned = [torch.full((4,), 2.), torch.full((3,), 3.)]
        store.allreduce([2, 1], turned)
        numbers = [torch.full((3,), 4, dtype=torch.int32), torch.full((4,), 5, dtype=torch.int32)]
        store.allreduce([1, 2], numbers)
        return [one.unique().tolist() for one in [*turned, *numbers]]

    assert run(["a", "a"], work) == [[[4], [6], [8], [10]]] * 2


def test_the_spans_of_a_stream_cover_every_element_once():
    arrays = list(torch.arange(40.).split([3, 0, 17, 1, 19]))
    sizes = [array.numel() for array in arrays]
    for length in (1, 4, 17, 20, 40, 99):
        pieces = [torch.cat(within(arrays, sizes, span)) for span in outline(sizes, length)]
        assert torch.cat(pieces).tolist() == list(range(40))
        assert [len(piece) for piece in pieces[:-1]] == [length] * (len(pieces) - 1)


def test_who_waits_for_a_counter_wakes_up_when_it_changes_and_uses_no_processor():
    first = Board(0, 2, 4, 4096)
    second = Board(1, 2, 4, 4096, first.path)
    first.forget_name()
    spent = []

    def wait():
        start = time.thread_time()
        first.wait(POSTED, 3, 1)
        spent.append((time.thread_time() - start, time.monotonic()))

    thread = threading.Thread(target=wait)
    thread.start()
    for value in (1, 2, 3):
        time.sleep(0.3)
        told = time.monotonic()
        second.tell(POSTED, value)
    thread.join(10)
    first.close()
    second.close()
    assert spent[0][0] < 0.1 and told <= spent[0][1] < told + 2


def count_announcements(store):
    """How many rounds the leader chose, from now on."""
    machine, chosen = store._machine, []
    announce = machine.announce
    machine.announce = lambda names: (chosen.append(names), announce(names))
    return chosen


@pytest.mark.parametrize("size", [5, 200_000])
def test_a_call_that_all_make_alone_needs_no_choice_and_small_arrays_lie_ready(size):
    def work(store):
        keys, grads = ["a", "b"], [torch.zeros(size), torch.zeros(3)]
        store.init(keys, [torch.zeros(size), torch.zeros(3)])
        chosen, copies = count_announcements(store), []
        for step in range(5):
            for grad in grads:
                grad.fill_(store.rank + step)
            store.allreduce(keys, grads)
            copies.append(store._machine._posted == store._machine._next - 1)
            assert all((grad == 3 * step + 3).all() for grad in grads)
        store.barrier()
        return chosen, copies[1:]

    assert run(["a"] * 3, work) == [([], [size == 5] * 4)] * 3


def test_what_some_call_in_another_order_is_chosen():
    """Worker 0 has a push under way when it waits for another key; worker 1 waits first.  Then each waits for another
    key first, and a thread of worker 0 for the other."""
    def work(store):
        store.init(["x", "y"], [torch.zeros(4), torch.zeros(4)])
        chosen, y = count_announcements(store), torch.full((4,), store.rank + 1.)
        if store.rank == 0:
            store.gradient_ready("x", torch.ones(4))
        store.allreduce(["y"], [y])
        if store.rank == 1:
            store.gradient_ready("x", torch.ones(4))
        x = torch.zeros(4)
        store.pull("x", x)
        a, b = torch.full((4,), store.rank + 1.), torch.full((4,), store.rank + 3.)
        calls = [threading.Thread(target=store.allreduce, args=([key], [array])) for key, array in (("x", a), ("y", b))]
        for call in calls if store.rank == 0 else calls[::-1]:
            call.start()
            if store.rank == 1:
                call.join(10)
        for call in calls:
            call.join(10)
        return x[0].item(), y[0].item(), a[0].item(), b[0].item(), bool(chosen)

    found = run(["a", "a"], work, timeout=5)
    assert [one[:4] for one in found] == [(2, 3, 3, 7)] * 2 and found[0][4]


def test_a_round_takes_what_travels_the_other_way_and_stays_short():
    """Tasks are (priority, bytes, machine of the owner)."""
    def chosen(*tasks, early=False):
        ready = [Task(number, 0, "", size, priority, loads=() if home is None else (size * (1 - home), size * home),
                      is_early=early) for number, (priority, size, home) in enumerate(tasks)]
        return [task.name for task in most_urgent(ready, 2, Limits(100, 5, 3))]

    assert chosen((9, 10, 0), (8, 10, 0), (7, 10, 1), (6, 10, 1)) == [0, 2]
    assert chosen((9, 10, None), (8, 10, None)) == [0] and chosen((9, 10, 0), (8, 1, None), (7, 1, 1)) == [0]
    assert chosen((9, 2, 0), (8, 2, 0), (7, 2, 0), (6, 5, 1)) == [0, 1, 3]
    assert chosen(*[(9, 1, None)] * 4, early=True) == [0, 1, 2] and chosen(*[(9, 40, None)] * 3, early=True) == [0]
    assert chosen(*[(9, 40, None)] * 3) == [0, 1] and chosen(*[(9, 40, 0), (9, 40, 1)] * 3) == [0, 1, 2, 3]
