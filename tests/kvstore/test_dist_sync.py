"""`dist_sync`: values, sums, updates on owners, row-sparse, slices, priorities, failures; workers are threads."""
import threading
import time

import pytest
import torch

import mxdl as mx
from mxdl import kvstore
from mxdl.kvstore import DeadWorkerError, JobFailedError
from mxdl.kvstore.dist_sync import DistSyncStore
from mxdl.kvstore.reduction import add_rows
from mxdl.kvstore.shared_memory import Board
from tests.kvstore.synchronous import job, run

SHAPES = [(2, 3), (1211, 1211), (1200, 1200)]
TOPOLOGIES = [["a"], ["a"] * 2, ["a"] * 3, ["a"] * 4, ["a", "b"], ["a", "a", "b", "b"], ["a", "b", "b"],
              ["a", "b", "c", "a"]]
RATE = 2


class Added:
    """MXNet's optimizer `test`: weight += rate * gradient."""

    def make_updater(self):
        def update(key, grad, weight):
            weight.add_(grad.to_dense() if grad.is_sparse else grad, alpha=RATE)
        return update


def rows(dense, ids):
    ids = torch.tensor(ids)
    return torch.sparse_coo_tensor(ids[None], dense[ids], dense.shape, check_invariants=True)


def golden(workers, devices, step):
    """What MXNet's own test of dist_sync expects after push number `step` (from 0)."""
    return (workers + 1) * workers * RATE / 2 * devices * (step + 1) + 1


def pulled(store, key, shape, dtype):
    out = [torch.full(shape, -1, dtype=dtype) for _ in range(2)]
    store.pull(key, out)
    assert torch.equal(out[0], out[1])
    return out[0]


def push_and_compare(store):
    """The golden formula on this worker; how many values were compared, how many differ."""
    compared = different = 0
    keys = {f"{shape} {dtype}": (shape, dtype) for shape in SHAPES for dtype in (torch.float32, torch.float16)}
    for key, (shape, dtype) in keys.items():
        store.init(key, torch.ones(shape, dtype=dtype))
    store.set_optimizer(Added())
    for step in range(3):
        for key, (shape, dtype) in keys.items():
            store.push(key, [torch.full(shape, store.rank + 1, dtype=dtype)] * 2)
        for key, (shape, dtype) in keys.items():
            value = pulled(store, key, shape, dtype)
            compared += value.numel()
            different += int((value != golden(store.num_workers, 2, step)).sum())
    return compared, different


@pytest.mark.parametrize("hosts, on_device", [*((hosts, False) for hosts in TOPOLOGIES), (["a", "a"], True)])
def test_the_golden_formula_holds_without_any_difference(hosts, on_device):
    elements = sum(torch.Size(shape).numel() for shape in SHAPES) * 2 * 3
    assert run(hosts, push_and_compare, on_device=on_device) == [(elements, 0)] * len(hosts)


@pytest.mark.parametrize("hosts", TOPOLOGIES, ids="".join)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_the_golden_formula_holds_for_rows(hosts, dtype):
    shape, everybody = (40, 3), len(hosts)

    def work(store):
        store.init("rows", torch.ones(shape, dtype=dtype))
        store.set_optimizer(Added())
        for _ in range(2):
            mine = rows(torch.full(shape, store.rank + 1, dtype=dtype), [0, store.rank + 1])
            store.push("rows", [mine, mine])
        out = torch.full(shape, -1, dtype=dtype)
        store.row_sparse_pull("rows", out, row_ids=torch.arange(shape[0]))
        return out

    for out in run(hosts, work):
        assert (out[0] == golden(everybody, 2, 1)).all()
        for rank in range(everybody):
            assert (out[rank + 1] == 1 + 2 * 2 * RATE * (rank + 1)).all()
        assert (out[everybody + 1:] == 1).all()


@pytest.mark.parametrize("hosts", [["a"], ["a", "a", "a"], ["a", "b"], ["a", "a", "b"]], ids="".join)
@pytest.mark.parametrize("lazy", [True, False])
def test_an_optimizer_updates_pushed_rows_as_one_process_would(hosts, lazy, tmp_path):
    shape, everybody = (7, 3), len(hosts)

    def optimizer():
        return mx.optimizer.create("sgd", learning_rate=0.5, momentum=0.9, wd=0.1, lazy_update=lazy)

    def grad(rank, step):
        return rows(torch.full(shape, 0.5 * (rank + 1 + step)), [step, rank + 1])

    def work(store):
        store.init("e", mx.nd.ones(shape))
        store.set_optimizer(optimizer())
        for step in range(2):
            store.push("e", grad(store.rank, step))
        store.push("e", mx.nd.ones(shape))              # dense and row-sparse pushes share one state
        store.save_optimizer_states(str(tmp_path / "states"))
        store.load_optimizer_states(str(tmp_path / "states"))
        store.push("e", grad(store.rank, 2))
        out = mx.nd.zeros(shape)
        store.pull("e", out)
        return out.asnumpy()

    alone = kvstore.create("local")
    alone.init("e", mx.nd.ones(shape))
    alone.set_optimizer(optimizer())
    for step in (0, 1, None, 2):
        alone.push("e", mx.nd.full(shape, everybody) if step is None
                   else add_rows([grad(rank, step) for rank in range(everybody)]))
    wanted = mx.nd.zeros(shape)
    alone.pull("e", wanted)
    for out in run(hosts, work):
        assert (out == wanted.asnumpy()).all()


@pytest.mark.parametrize("hosts", TOPOLOGIES[:2] + TOPOLOGIES[4:6], ids="".join)
def test_sums_without_optimizer_are_kept_and_written(hosts):
    sizes = [1, 5, 300_000, 0, 2_500_000, 7]

    def work(store):
        arrays = [torch.arange(size, dtype=torch.float32) % 97 * (store.rank + 1) for size in sizes]
        wanted = [torch.arange(size, dtype=torch.float32) % 97 * sum(range(len(hosts) + 1)) for size in sizes]
        keys = list(range(len(sizes)))
        store.init(keys, [torch.zeros(size) for size in sizes])
        store.pushpull(keys, arrays)
        kept = [torch.full((size,), -1.) for size in sizes]
        store.pull(keys, kept)
        others = [torch.arange(size, dtype=torch.float32) % 97 * (store.rank + 1) for size in sizes]
        store.allreduce(keys, others)
        return [torch.equal(one, want) for found in (arrays, kept, others)
                for one, want in zip(found, wanted, strict=True)]

    assert run(hosts, work) == [[True] * 18] * len(hosts)


@pytest.mark.parametrize("hosts", [["a", "a"], ["a", "b"]], ids="".join)
def test_the_value_of_worker_0_is_everybodys(hosts):
    def work(store):
        out = torch.zeros(3)
        store.broadcast("x", torch.full((3,), store.rank + 5.), out)
        first = out.tolist()
        store.overwrite("x", torch.full((3,), store.rank + 8.))
        store.pull("x", out)
        return first, out.tolist()

    assert run(hosts, work) == [([5.0] * 3, [8.0] * 3)] * 2


@pytest.mark.parametrize("hosts", [["a", "a"], ["a", "b"]], ids="".join)
def test_pushes_may_come_in_another_order_and_late(hosts):
    """No worker waits for what it did not ask for: pushes are queued, and carried out when everywhere ready."""
    def work(store):
        keys = list(range(20))
        store.init(keys, [torch.zeros(4) for _ in keys])
        order = keys if store.rank == 0 else keys[::-1]
        first = torch.zeros(4)
        for position, key in enumerate(order):
            store.push(key, torch.full((4,), float(key)), priority=-position)
            if store.rank == 1 and position == 10:
                time.sleep(0.05)
        store.pull(0, first)
        out = [torch.zeros(4) for _ in keys]
        store.pull(keys, out)
        return [one[0].item() for one in out]

    assert run(hosts, work) == [[2.0 * key for key in range(20)]] * 2


def test_what_is_pushed_is_read_before_push_returns():
    def work(store):
        store.init("x", torch.zeros(100))
        grad = torch.ones(100)
        if store.rank == 1:
            time.sleep(0.1)
        store.push("x", grad)
        grad.fill_(50)
        out = torch.zeros(100)
        store.pull("x", out)
        return out.unique().tolist()

    assert run(["a", "a"], work) == [[2.0]] * 2


def test_urgent_slices_pass_large_arrays():
    """With p3 a push of high priority overtakes the slices of one that was pushed before."""
    order = []

    def work(store):
        run_tasks = store._rounds.run

        def watched(tasks):
            if store.rank == 0:
                order.extend(work.key for task in tasks for work in task.work)
                time.sleep(0.002)
            run_tasks(tasks)
        store._schedule._run = watched
        store._schedule._choice._limit_bytes = 4000
        store.init([0, 1], [torch.zeros(100_000), torch.zeros(10)])
        order.clear()
        store.push(0, torch.ones(100_000), priority=-1)
        store.push(1, torch.ones(10), priority=0)
        out = torch.zeros(100_000)
        store.pull(0, out)
        return out.unique().tolist()

    assert run(["a", "a"], work, slice_elements=1000) == [[2.0]] * 2
    assert order.count(0) == 100 and order.index(1) < 50


def test_every_key_has_an_owner_and_owners_hold_alike():
    def work(store):
        keys = list(range(40))
        store.init(keys, [torch.zeros(100 + key) for key in keys])
        return store._rounds.owners, store._rounds.loads

    (owners, loads), *others = run(["a", "a", "a"], work)
    assert all(other == (owners, loads) for other in others)
    assert set(owners.values()) == {0, 1, 2} and max(loads) < 1.1 * min(loads)


def test_the_optimizer_runs_only_on_the_owner():
    def work(store):
        calls = []

        class Recorded:
            def make_updater(self):
                def update(key, grad, weight):
                    calls.append(key)
                    weight.copy_(grad)
                return update
        keys = list(range(8))
        store.init(keys, [torch.zeros(10) for _ in keys])
        store.set_optimizer(Recorded())
        store.push(keys, [torch.ones(10) for _ in keys])
        store.pull(keys, [torch.zeros(10) for _ in keys])
        return calls

    calls = run(["a", "b"], work)
    assert sorted(calls[0] + calls[1]) == list(range(8)) and calls[0] and calls[1]


def test_bytes_between_machines_do_not_depend_on_workers_or_devices():
    sizes = [3_000_000, 17, 250_000]
    model_bytes = 4 * sum(sizes)

    def work(store, devices, update):
        keys = list(range(3))
        store.init(keys, [torch.zeros(size) for size in sizes])
        if update:
            store.set_optimizer(Added())
        leaders = store._machine.leaders
        before = leaders and (leaders.sent_bytes, leaders.received_bytes)
        store.push(keys, [[torch.ones(size)] * devices for size in sizes])
        store.barrier()
        return before and (leaders.sent_bytes - before[0], leaders.received_bytes - before[1])

    compared = 0
    for hosts in (["a", "b"], ["a", "a", "b", "b"]):
        for devices in (1, 2, 4):
            for update in (False, True):
                moved = [one for one in run(hosts, lambda store, d=devices, u=update: work(store, d, u)) if one]
                assert len(moved) == 2
                for sent, received in moved:
                    assert 2 * model_bytes <= sent + received <= 1.02 * 2 * model_bytes + 4 * 8000
                    compared += 1
    assert compared == 24


def test_workers_that_disagree_on_a_shape_hear_of_it():
    def work(store):
        store.init("x", torch.zeros(2 + store.rank))
        return "came through"

    with pytest.raises((JobFailedError, ValueError), match="alike in every worker|stopped with an error"):
        run(["a", "a"], work)


@pytest.mark.parametrize("hosts", [["a", "a", "a"], ["a", "b", "b"]], ids="".join)
def test_a_dead_worker_is_named_with_the_last_complete_step(hosts):
    """The process of worker 1 ends (its lock and its connection go) after two steps."""
    told = {}
    died = threading.Event()

    def work(control):
        store = DistSyncStore("dist_sync", control)
        store.init("x", torch.zeros(1000))
        for _ in range(2):
            store.push("x", torch.ones(1000))
            store.pull("x", torch.zeros(1000))
        store.barrier()
        if control.job.rank == 1:
            control._background.loop.call_soon_threadsafe(control._channel.abort)
            store._machine.board.close()
            died.set()
            return
        died.wait(10)
        start = time.monotonic()
        with pytest.raises(DeadWorkerError) as caught:
            store.push("x", torch.ones(1000))
            store.pull("x", torch.zeros(1000))
        told[control.job.rank] = caught.value.ranks, caught.value.last_step, time.monotonic() - start

    with job(hosts, timeout=3) as controls:
        threads = [threading.Thread(target=work, args=(control,), daemon=True) for control in controls]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
    assert set(told) == {0, 2}
    for ranks, last_step, seconds in told.values():
        assert ranks == [1] and last_step == 1 and seconds < 8


@pytest.mark.parametrize("hosts", [["a", "a"], ["a", "b"]], ids="".join)
@pytest.mark.parametrize("failing", [0, 1])
def test_a_worker_that_leaves_early_is_missed_not_waited_for(hosts, failing):
    told = {}

    def work(store):
        store.init("x", torch.zeros(3))
        if store.rank == failing:
            raise RuntimeError("this worker's script fails")
        with pytest.raises(JobFailedError) as caught:
            store.push("x", torch.ones(3))
            store.pull("x", torch.zeros(3))
        told[store.rank] = str(caught.value)

    with pytest.raises(RuntimeError, match="script fails"):
        run(hosts, work, timeout=2)
    assert f"worker {failing} is" in told[1 - failing]


def test_shared_memory_has_no_name_left(tmp_path, monkeypatch):
    monkeypatch.setattr("mxdl.kvstore.shared_memory.directory", lambda: tmp_path)
    def work(store):
        store.barrier()      # the first worker takes the name away before it comes here
        return len(list(tmp_path.iterdir()))
    assert run(["a", "a"], work) == [0, 0]


def test_a_board_that_does_not_fit_says_what_to_do(monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")
    monkeypatch.setattr("os.posix_fallocate", full)
    with pytest.raises(ValueError, match="MXDL_SHARED_MIB"):
        Board(0, 2, 4, 1 << 20)
