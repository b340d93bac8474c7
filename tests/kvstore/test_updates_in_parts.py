"""An optimizer on `dist_sync` between machines, each of which updates a share of every array: to the bit what one
process does with the sums; workers are threads.
"""
import threading
import time

import pytest
import torch

import mxdl as mx
from mxdl.errors import FileFormatError
from mxdl.kvstore import JobFailedError
from mxdl.kvstore.stripes import ALIGN, SLICE_BYTES, WHOLE_BYTES, Stripes
from mxdl.optimizer import SGD, Optimizer, create
from tests.kvstore.synchronous import run

NAMES = sorted(name for name, one in Optimizer.opt_registry.items() if vars(one).get("is_elementwise"))
SETTINGS = {"sgd": {"momentum": 0.9, "clip_gradient": 20.0}, "nag": {"momentum": 0.9}, "rmsprop": {"centered": True},
            "dcasgd": {"momentum": 0.5}}
SHAPES = [(1,), (5,), (0,), (8191,), (3, 2777), (40_001,), (129, 300)]      # 32 KiB are 8192 elements
MAKING = threading.Lock()       # of random numbers


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    """Of 64 KiB, so that the largest arrays are several stripes a machine and several pieces."""
    monkeypatch.setenv("MXDL_SHARED_MIB", "4")
    monkeypatch.setattr("mxdl.kvstore.config.SHARED_BLOCK_BYTES", 1 << 15)


def first_weight(number, dtype="float32"):
    generator = torch.Generator().manual_seed(number)
    return mx.nd.NDArray._wrap(torch.randn(SHAPES[number], generator=generator).to(getattr(torch, dtype)), mx.cpu())


def gradient(number, rank, step, dtype="float32"):
    """Whole numbers, whose sums are exact."""
    generator = torch.Generator().manual_seed(100 * step + 10 * number + rank)
    values = torch.randint(-9, 10, SHAPES[number], generator=generator)
    return mx.nd.NDArray._wrap(values.to(getattr(torch, dtype)), mx.cpu())


def optimizer_of(name, **settings):
    known = {"wd": 0.01, "rescale_grad": 0.5, **SETTINGS.get(name, {}), **settings}
    optimizer = create(name, lr_scheduler=mx.lr_scheduler.FactorScheduler(2, 0.5, base_lr=0.3), **known)
    optimizer.set_wd_mult({3: 0.0})
    optimizer.set_lr_mult({4: 2.0})
    return optimizer


def init(store, dtype="float32"):
    numbers = list(range(len(SHAPES)))
    store.init(numbers, [first_weight(number, dtype) for number in numbers])


def step(store, number, ranks, dtype="float32", take=gradient):
    """Pushes the sum of these workers' gradients."""
    keys = list(range(len(SHAPES)))
    store.push(keys, [[take(key, rank, number, dtype) for rank in ranks] for key in keys])


def pulled(store, dtype="float32"):
    outs = [mx.nd.zeros(shape, dtype=dtype) for shape in SHAPES]
    store.pull(list(range(len(SHAPES))), outs)
    return [out._data for out in outs]


def alone(name, workers, steps, dtype="float32", states=None, load=None, **settings):
    """One process that gets everybody's gradients."""
    store = mx.kv.create("local")
    init(store, dtype)
    store.set_optimizer(optimizer_of(name, **settings))
    if load is not None:
        store.load_optimizer_states(load)
    for number in steps:
        step(store, number, range(workers), dtype)
    if states is not None:
        store.save_optimizer_states(states, dump_optimizer=True)
    return pulled(store, dtype)


def same(found, wanted):
    assert all(torch.equal(one, want) for one, want in zip(found, wanted, strict=True)), \
        [float((one - want).abs().max()) for one, want in zip(found, wanted, strict=True) if one.numel()]


def arrays_of(state):
    """The arrays of a state in a file."""
    if isinstance(state, tuple):
        return [one for part in state for one in arrays_of(part)]
    return [] if state is None else [state["array"]]


def test_stripes_cover_every_array_once_and_are_equal_shares():
    compared = 0
    for machines in (2, 3, 4):
        for most_bytes in (1 << 14, 1 << 20):
            stripes, sizes = Stripes(machines, most_bytes), [0, 1, 7, 8191, 8192, 8193, 100_000, 1_000_003, 5, 3]
            for key, size in enumerate(sizes):
                stripes.add(key, size, 4)
                found = stripes.of(key)
                assert [one.start for one in found] == [0, *(one.stop for one in found[:-1])][:len(found)]
                assert (found[-1].stop if found else 0) == size
                assert all(4 * (one.stop - one.start) <= max(min(most_bytes, SLICE_BYTES // machines), WHOLE_BYTES)
                           for one in found)
                assert all(one.start % ALIGN == 0 for one in found)
                shares = [sum(one.stop - one.start for one in found if one.machine == machine)
                          for machine in range(machines)]
                assert len(found) <= 1 or max(shares) - min(shares) <= (len(found) + 1) * ALIGN
                compared += 1
            assert sum(stripes.loads) == 4 * sum(sizes)
    assert compared == 60


@pytest.mark.parametrize("hosts", ["ab", "aab", "abbc"])
def test_every_elementwise_optimizer_equals_one_process(hosts):
    """Three steps by two pushes a key: weights to the bit, and all workers' alike."""
    wanted = {name: alone(name, len(hosts), range(3)) for name in NAMES}

    def work(store):
        found, cut = {}, {}
        init(store)
        for name in NAMES:
            store.overwrite(list(range(len(SHAPES))), [first_weight(key) for key in range(len(SHAPES))])
            store.set_optimizer(optimizer_of(name))
            for number in range(3):
                step(store, number, [store.rank])
            found[name] = pulled(store)
            cut[name] = len(store._rounds.parts.cut)
            assert store._updater.optimizer.num_update == 3
        return found, cut

    compared = 0
    for found, cut in run(list(hosts), work):
        assert cut == dict.fromkeys(NAMES, len(SHAPES))
        for name in NAMES:
            same(found[name], wanted[name])
            compared += 1
    assert compared == 15 * len(hosts)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_float32_copies_lie_in_parts_too(dtype):
    wanted = alone("adam", 2, range(3), dtype, multi_precision=True)

    def work(store):
        init(store, dtype)
        store.set_optimizer(optimizer_of("adam", multi_precision=True))
        for number in range(3):
            step(store, number, [store.rank], dtype)
        assert store._rounds.parts.cut
        return pulled(store, dtype)

    for found in run(["a", "b"], work):
        same(found, wanted)


@pytest.mark.parametrize("name", ["lamb", "lars", "sgld", "lbsgd", "of one's own"])
def test_others_are_updated_whole(name):
    class Own(SGD):
        """Perhaps with a norm: what its base says is not said of it."""

    def work(store):
        init(store)
        store.set_optimizer(Own() if name == "of one's own" else create(name))
        step(store, 0, [store.rank])
        return pulled(store), len(store._rounds.parts.cut)

    (first, cut), (second, _) = run(["a", "b"], work)
    assert not cut
    same(first, second)


@pytest.mark.parametrize("name", ["adam", "sgd", "nadam"])
def test_states_are_saved_whole_and_loaded_by_any_number_of_workers(name, tmp_path):
    """Two machines, then three of five workers, then one process; between them files."""
    paths = [str(tmp_path / str(number)) for number in range(3)]
    alone(name, 6, range(2), states=str(tmp_path / "alone"))
    wanted = [alone(name, 6, range(steps)) for steps in (2, 4, 6)]

    def part(first, last, load, save, before):
        def work(store):
            keys = list(range(len(SHAPES)))
            store.init(keys, [mx.nd.NDArray._wrap(one, mx.cpu()) for one in before] if before else
                       [first_weight(key) for key in keys])
            store.set_optimizer(optimizer_of(name))
            if load:
                store.load_optimizer_states(load)
            mine = [rank for rank in range(6) if rank % store.num_workers == store.rank]
            for number in range(first, last):
                step(store, number, mine)
            store.save_optimizer_states(save, dump_optimizer=True)
            held = sum(len(one.states) for one in store._updater.parts.values())
            assert bool(held) == (store._machine.leaders is not None) and not store._updater.states
            return pulled(store)
        return work

    for found in run(["a", "b"], part(0, 2, None, paths[0], None)):
        same(found, wanted[0])
    theirs, mine = (torch.load(path, weights_only=True) for path in (tmp_path / "alone", paths[0]))
    assert theirs["attributes"] == mine["attributes"]
    assert [key for key, shape in enumerate(SHAPES) if shape != (0,)] == sorted(mine["states"])
    for key, state in mine["states"].items():
        same(arrays_of(state), arrays_of(theirs["states"][key]))
    for found in run(list("abacb"), part(2, 4, paths[0], paths[1], wanted[0])):
        same(found, wanted[1])
    store = mx.kv.create("local")
    keys = list(range(len(SHAPES)))
    store.init(keys, [mx.nd.NDArray._wrap(one, mx.cpu()) for one in wanted[1]])
    store.set_optimizer(optimizer_of(name))
    store.load_optimizer_states(paths[1])
    for number in (4, 5):
        step(store, number, range(6))
    same(pulled(store), wanted[2])


def test_states_of_one_worker_alone_are_refused():
    def work(store):
        init(store)
        store.set_optimizer(create("adam"))
        step(store, 0, [store.rank])
        store.barrier()
        return store._updater.get_states()

    contents = run(["a", "b"], work)
    updater = create("adam").make_updater()
    with pytest.raises(FileFormatError, match="are one worker's"):
        updater.set_states(contents[0])
    with pytest.raises(FileFormatError, match="every worker has to save"):
        updater.merge_states(contents[:1])
    updater.set_states(updater.merge_states(contents))
    assert all(updater.states[key][0].shape == SHAPES[key] for key in (3, 4, 5, 6))


@pytest.mark.parametrize("hosts", ["ab", "aba"])
def test_a_key_that_is_pushed_otherwise_takes_its_state_along(hosts):
    """Dense, then rows of one key and another dtype of another, then dense again."""
    def rows_of(rank):
        ids = torch.tensor([rank, 5, 100])
        values = torch.arange(3, dtype=torch.float32)[:, None].expand(3, 300) + rank
        return mx.nd.NDArray._wrap(torch.sparse_coo_tensor(ids[None], values, SHAPES[6], is_coalesced=True,
                                                           check_invariants=False), mx.cpu())

    def course(store, ranks):
        init(store)
        store.set_optimizer(create("adam", learning_rate=0.1, wd=0.01))     # all keys of a call are one count, or two
        step(store, 0, ranks)
        store.push([6], [[rows_of(rank) for rank in ranks]])
        store.push([4], [[gradient(4, rank, 1, "float64") for rank in ranks]])
        step(store, 2, ranks)
        step(store, 3, ranks)
        return pulled(store)

    wanted = course(mx.kv.create("local"), range(len(hosts)))

    def work(store):
        found = course(store, [store.rank])
        assert store._rounds.parts.cut == {0, 1, 2, 3, 5}
        holders = store._gather(b"x" * (6 in store._updater.states))
        assert holders.count(b"x") == 1
        assert store._updater.optimizer._index_update_count == {0: 3, 1: 3, 2: 3, 3: 3, 4: 4, 5: 3, 6: 4}
        return found

    for found in run(list(hosts), work):
        for key, (one, want) in enumerate(zip(found, wanted, strict=True)):
            torch.testing.assert_close(one, want, rtol=0, atol=0 if key not in (4, 6) else 1e-6)


def test_compression_takes_the_states_along(monkeypatch):
    """Sums of 2-bit payloads that leave nothing out."""
    monkeypatch.setattr("mxdl.kvstore.config.SHARED_BLOCK_BYTES", 1 << 20)      # payloads need blocks of that size

    def course(store, ranks, compresses=False):
        init(store)
        store.set_optimizer(optimizer_of("adam"))
        step(store, 0, ranks, take=units)
        if compresses:
            store.set_gradient_compression({"type": "2bit", "threshold": 1.0})
        step(store, 1, ranks, take=units)
        return pulled(store)

    def units(number, rank, at, dtype):
        return mx.nd.NDArray._wrap(gradient(number, rank, at, dtype)._data.sign(), mx.cpu())

    wanted = course(mx.kv.create("local"), range(2))
    for found in run(["a", "b"], lambda store: course(store, [store.rank], True)):
        same(found, wanted)


def test_workers_that_push_another_dtype_hear_of_it():
    def work(store):
        store.init("w", mx.nd.zeros(50_000))
        store.set_optimizer(create("sgd"))
        store.push("w", mx.nd.ones(50_000, dtype="float32" if store.rank else "float64"))
        store.barrier()

    with pytest.raises(JobFailedError, match="alike in every worker|stopped with an error"):
        run(["a", "b"], work)


@pytest.mark.parametrize("hosts", ["ab", "aabb"])
def test_bytes_between_machines_are_the_models(hosts):
    sizes = [3_000_000, 17, 250_000]

    def work(store):
        keys = list(range(len(sizes)))
        store.init(keys, [mx.nd.zeros(size) for size in sizes])
        store.set_optimizer(create("adam"))
        leaders = store._machine.leaders
        before = leaders and (leaders.sent_bytes, leaders.received_bytes)
        store.push(keys, [mx.nd.ones(size) for size in sizes])
        store.barrier()
        return before and (leaders.sent_bytes - before[0], leaders.received_bytes - before[1])

    moved = [one for one in run(list(hosts), work) if one]
    assert len(moved) == 2
    for each in moved:
        assert all(4 * sum(sizes) <= one <= 1.01 * 4 * sum(sizes) + 2 * 8000 for one in each), each


@pytest.mark.parametrize("hosts", ["ab", "abcb"])
@pytest.mark.parametrize("on_store", [True, False])
def test_early_gradients_go_in_slices(hosts, on_store, monkeypatch):
    """Updates and sums are those of whole arrays; a key counts when its last slice is there."""
    monkeypatch.setattr("mxdl.kvstore.dist_sync.EARLY_BYTES", 1 << 14)
    monkeypatch.setattr("mxdl.kvstore.dist_sync_tasks.EARLY_BYTES", 1 << 14)
    monkeypatch.setattr("mxdl.kvstore.stripes.SLICE_BYTES", 1 << 14)
    monkeypatch.setattr("mxdl.kvstore.stripes.WHOLE_BYTES", 1 << 12)
    keys, workers = list(range(len(SHAPES))), range(len(hosts))
    wanted = alone("adam", len(hosts), range(3)) if on_store else \
        [sum(gradient(key, rank, 2)._data for rank in workers) for key in keys]

    def work(store):
        init(store)
        if on_store:
            store.set_optimizer(optimizer_of("adam"))
        slices, run_tasks = set(), store._rounds.run

        def watched(tasks):
            slices.update((work.key, work.start) for task in tasks for work in task.work)
            run_tasks(tasks)
        store._schedule._run = watched
        for number in range(3):
            mine = [gradient(key, store.rank, number) for key in keys]
            (store.gradient_ready if on_store else store.reduce_ready)(keys, mine, early=True)
            store.wait()
            assert set(store._rounds.pushes.values()) == {number + 1} and store._meeting.steps == number
        found = pulled(store) if on_store else [one._data for one in mine]
        return found, len([start for key, start in slices if key == 5])

    for found, slices in run(list(hosts), work):
        same(found, wanted)
        assert slices > 2


@pytest.mark.parametrize("on_store", [True, False])
def test_what_is_urgent_passes_an_early_key_between_its_slices(on_store, monkeypatch):
    monkeypatch.setattr("mxdl.kvstore.collective_choice.EARLY_ROUND_S", 1e-9)     # as if the network were slow
    order = []

    def work(store):
        store.init([0, 1], [mx.nd.zeros(2_000_000), mx.nd.zeros(10)])
        if on_store:
            store.set_optimizer(create("sgd", learning_rate=1.0))
        run_tasks = store._rounds.run

        def watched(tasks):
            if store.rank == 0:
                order.extend(work.key for task in tasks for work in task.work)
            time.sleep(0.02)
            run_tasks(tasks)
        store._schedule._run = watched
        send = store.gradient_ready if on_store else store.reduce_ready
        mine = [mx.nd.ones(2_000_000), mx.nd.ones(10)]
        send([0], mine[:1], priority=0, early=True)
        send([1], mine[1:], priority=1, early=True)
        store.wait()
        if on_store:
            store.pull([0, 1], mine)
        return [one._data.unique().tolist() for one in mine]

    assert run(["a", "b"], work) == [[[-2.0 if on_store else 2.0]] * 2] * 2
    assert order.count(0) >= 16 and order.index(1) < 8


def test_gradients_stay_as_they_are():
    def work(store):
        init(store)
        store.set_optimizer(create("sgd"))
        mine = [gradient(key, store.rank, 0) for key in range(len(SHAPES))]
        store.gradient_ready(list(range(len(SHAPES))), mine)
        store.wait()
        return all(torch.equal(one._data, gradient(key, store.rank, 0)._data) for key, one in enumerate(mine))

    assert run(["a", "b", "b"], work) == [True] * 3
