"""Elastic `dist_sync` with compression and with rows: a worker dies amid a round, and the round that is done again
begins with the residuals and states that it began with before; a newcomer's begin with 0.  Workers are threads."""
import dataclasses
import threading

import pytest
import torch

import mxdl as mx
from mxdl import kvstore
from mxdl.kvstore import ElasticStore, JobFailedError
from mxdl.kvstore.compression import create
from mxdl.kvstore.control_client import Control
from mxdl.kvstore.dist_sync_tasks import Kind
from mxdl.kvstore.reduction import add_rows
from mxdl.kvstore.shared_memory import POSTED
from tests.kvstore.programs import CODED_SIZES, TABLE, gradient, gradient_of_rows, table_optimizer
from tests.kvstore.synchronous import job, run
from tests.kvstore.test_dist_sync import RATE, Added, rows
from tests.kvstore.test_elastic import Course, die, join, start

STEPS, KILLED_AT = 7, 3
CODECS = [{"type": "2bit"}, {"type": "1bit"}, {"type": "topk", "ratio": 0.1},
          {"type": "signsgd", "momentum": 0.75}, {"type": "signsgd", "momentum": 0.75, "momentum_at": "server"}]


class Killed(Exception):
    """The end of a worker."""


class Replay:
    """What the group's steps make, one after the other in one process."""

    def __init__(self, params, rate=1):
        self.rate = rate
        self.codec, self.residuals, self.results = create(params), {}, {}
        self.weight = torch.zeros(sum(CODED_SIZES.values()))

    def step(self, names, step):
        total = torch.zeros_like(self.weight)
        for name in names:
            residual = self.residuals.setdefault(name, torch.zeros_like(total))
            for part, left, sums in zip(*(one.split(1 << 18) for one in (gradient(name, step), residual, total)),
                                        strict=True):
                payload = torch.empty(self.codec.payload_bytes(len(part)), dtype=torch.uint8)
                self.codec.encode(part, left, payload)
                self.codec.add(payload, len(part), 0, sums)
        self.codec.finish(total)
        self.codec.settle(total, self.results)
        self.weight += self.rate * total


class ReplayRows:
    """The same with rows of a table."""

    def __init__(self):
        self._alone = kvstore.create("local")
        self._alone.init("table", mx.nd.ones(TABLE))
        self._alone.set_optimizer(table_optimizer())

    def step(self, names, step):
        self._alone.push("table", add_rows([gradient_of_rows(name, step) for name in names]))
        out = mx.nd.zeros(TABLE)
        self._alone.pull("table", out)
        self.weight = torch.from_numpy(out.asnumpy())


class Coded(Course):
    """params: of the codec.   kill(store, control): makes the worker die amid its next step."""

    def __init__(self, params, kill):
        super().__init__()
        self.params, self.kill = params, kill
        self.weights, self.residuals = {}, {}

    def _train(self, store, control, name, dies_at, waits_at):
        seen = self.values[name] = {}
        store.init(list(CODED_SIZES), [torch.zeros(size) for size in CODED_SIZES.values()])
        store.set_gradient_compression(self.params)
        store.set_optimizer(Added())
        while (step := store.next_step()) < STEPS:
            if step == dies_at:
                self.kill(store, control)
            if step == waits_at:
                self.go_on.wait(20)
            try:
                store.push(list(CODED_SIZES), list(gradient(name, step).split(list(CODED_SIZES.values()))))
                out = [torch.full((size,), -1.) for size in CODED_SIZES.values()]
                store.pull(list(CODED_SIZES), out)
            except Exception:
                if dies_at is None:
                    raise
                return
            seen[step] = store.num_workers
            self.weights.setdefault(step, {})[name] = torch.cat(out)
        self.residuals[name] = torch.cat([store._rounds._residuals[key] for key in CODED_SIZES])
        store.close()
        control.close()


def amid_its_payloads(store, control):
    """The worker ends when it has encoded a payload of the step and is at the second."""
    codec, encoded = store._rounds.codec, []
    encode = codec.encode

    def once(*arguments):
        if encoded:
            die(store, control)
            raise Killed
        encoded.append(encode(*arguments))
    codec.encode = once


def when_another_machine_has_all(store, control):
    """The worker, the leader of a machine, ends when the round counts for other machines and not for its own."""
    machine = store._machine

    def told():
        if all(task.work[0].kind is not Kind.UPDATE for task in store._schedule._running):
            return type(machine).meet(machine)
        block = machine.claim(1)
        machine.board.wait_all(POSTED, block + 1)
        machine.leaders.gather(torch.zeros(1, dtype=torch.int64))
        die(store, control)
        raise Killed
    machine.meet = told


@pytest.mark.parametrize("params, hosts, victim", [
    (CODECS[0], "aaa", 1), (CODECS[4], "abb", 1),
    *(pytest.param(params, *case, marks=pytest.mark.slow)
      for params in CODECS for case in [("aaa", 1), ("abb", 1), ("abc", 2)])], ids=str)
def test_a_round_that_is_done_again_begins_with_the_same_residuals(params, hosts, victim):
    course = Coded(params, amid_its_payloads)
    with job(hosts, timeout=5) as controls:
        join(start(*[(course.work, control, rank, KILLED_AT if rank == victim else None)
                     for rank, control in enumerate(controls)]))
    assert not course.errors
    living = [rank for rank in range(3) if rank != victim]
    replay = Replay(params, RATE)
    for step in range(STEPS):
        replay.step(range(3) if step < KILLED_AT else living, step)
        for rank in living:
            assert torch.equal(course.weights[step][rank], replay.weight), (step, rank)
    for rank in living:
        assert torch.equal(course.residuals[rank], replay.residuals[rank])
    if params["type"] != "signsgd":     # which leaves out what it leaves out
        pushed = sum(gradient(rank, step) for rank in range(3) for step in range(STEPS)
                     if step < KILLED_AT or rank != victim)
        lost = replay.residuals[victim]
        assert torch.equal(replay.weight / RATE + lost + sum(course.residuals.values()), pushed)


def test_a_round_that_counted_for_another_machine_is_taken_up_with_its_residuals():
    params, course = {"type": "2bit"}, Coded({"type": "2bit"}, when_another_machine_has_all)
    with job("aab", timeout=5) as controls:
        join(start(*[(course.work, control, rank, KILLED_AT if rank == 0 else None)
                     for rank, control in enumerate(controls)]))
    assert not course.errors
    replay = Replay(params, RATE)
    for step in range(STEPS):
        replay.step(range(3) if step <= KILLED_AT else (1, 2), step)
        for rank in (1, 2):
            assert torch.equal(course.weights[step][rank], replay.weight), (step, rank)
    assert all(torch.equal(course.residuals[rank], replay.residuals[rank]) for rank in (1, 2))


@pytest.mark.parametrize("params, hosts", [
    (CODECS[4], "ab"), *(pytest.param(params, hosts, marks=pytest.mark.slow)
                         for params, hosts in [(CODECS[0], "aa"), (CODECS[0], "ab"), (CODECS[4], "aa")])], ids=str)
def test_a_newcomer_begins_with_no_residual_and_with_the_results_momentum(params, hosts):
    course = Coded(params, amid_its_payloads)
    with job(hosts, timeout=5) as controls:
        first = start((course.work, controls[0], 0, None, KILLED_AT + 2), (course.work, controls[1], 1, KILLED_AT))
        first[1].join(30)
        late = start((course.work, Control(dataclasses.replace(controls[1].job)), "late"))
        course.go_on.set()
        join([*first, *late])
    assert not course.errors
    came = min(course.values["late"])
    assert KILLED_AT < came <= KILLED_AT + 4
    replay = Replay(params, RATE)
    for step in range(STEPS):
        replay.step((0, 1) if step < KILLED_AT else (0, "late") if step >= came else (0,), step)
        for weight in course.weights[step].values():
            assert torch.equal(weight, replay.weight), step
    assert all(torch.equal(course.residuals[name], replay.residuals[name]) for name in (0, "late"))


def test_workers_that_compress_differently_are_told_so():
    def work(store):
        store.init("w", torch.zeros(5))
        store.set_gradient_compression({"type": "2bit", "threshold": 0.5 + store.rank})
        with pytest.raises(JobFailedError, match="compression|stopped"):
            store.pushpull("w", torch.ones(5))
        raise Killed
    with pytest.raises(Killed):
        run(["a", "a"], work, timeout=3)


def test_what_two_pushes_of_a_key_leave_out_adds_up():
    """They are in one round, in tasks of different keys."""
    def work(store):
        store.set_gradient_compression({"type": "2bit"})
        store.init(["a", "b"], [torch.zeros(4), torch.zeros(3)])
        with store._schedule._turns:        # the store's thread waits
            later = threading.Thread(target=store.gradient_ready, args=(["a"], [torch.full((4,), 0.125)]))
            later.start()
            later.join(5)
            both = threading.Thread(target=store.gradient_ready,
                                    args=(["a", "b"], [torch.full((4,), 0.25), torch.ones(3)]))
            both.start()
            both.join(0.2)
        both.join(5)
        store.wait()
        return store._rounds._residuals["a"]
    assert torch.equal(run(["a"], work)[0], torch.full((4,), 0.375))


# -- rows -----------------------------------------------------------------------------------------------------
class Table(Course):
    """Momentum over the rows of a table, of which each worker pushes some."""

    def _train(self, store, control, name, dies_at, waits_at):
        seen = self.values[name] = {}
        store.init("table", mx.nd.ones(TABLE))
        store.set_optimizer(table_optimizer())
        while (step := store.next_step()) < STEPS:
            if step == dies_at:
                self._die_amid_rows(store, control)
            if step == waits_at:
                self.go_on.wait(20)
            try:
                store.push("table", gradient_of_rows(name, step))
                out = mx.nd.zeros(TABLE)
                store.pull("table", out)
            except Exception:
                if dies_at is None:
                    raise
                return
            seen[step] = torch.from_numpy(out.asnumpy())
        store.close()
        control.close()

    def _die_amid_rows(self, store, control):
        """When the others have its ids and not its rows."""
        machine, calls = store._machine, []
        spread = machine.spread

        def once(shares):
            if calls:
                die(store, control)
                raise Killed
            calls.append(spread(shares))
        machine.spread = once


@pytest.mark.parametrize("hosts", ["abb", pytest.param("aaa", marks=pytest.mark.slow)])
def test_rows_and_their_momentum_go_on_and_reach_the_newcomer(hosts):
    course = Table()
    with job(hosts, timeout=5) as controls:
        first = start((course.work, controls[0], 0, None, KILLED_AT + 2), (course.work, controls[1], 1, KILLED_AT),
                      (course.work, controls[2], 2))
        first[1].join(30)
        late = start((course.work, Control(dataclasses.replace(controls[1].job)), "late"))
        course.go_on.set()
        join([*first, *late])
    assert not course.errors
    replay = ReplayRows()
    came = min(course.values["late"])
    assert KILLED_AT < came <= KILLED_AT + 4
    for step in range(STEPS):
        names = (0, 1, 2) if step < KILLED_AT else (0, "late", 2) if step >= came else (0, 2)
        replay.step(names, step)
        for name in names:
            assert torch.equal(course.values[name][step], replay.weight), (step, name)


@pytest.mark.parametrize("hosts", ["aa", "ab"])
@pytest.mark.parametrize("is_elastic", [False, True])
def test_a_row_sparse_value_begins_as_the_first_workers(hosts, is_elastic, monkeypatch):
    if is_elastic:
        monkeypatch.setattr("tests.kvstore.synchronous.DistSyncStore", ElasticStore)

    def work(store):
        store.init("t", rows(torch.full((6, 2), 1. + store.rank), [store.rank, 4]))
        out = rows(torch.zeros(6, 2), [0])
        store.row_sparse_pull("t", out, row_ids=torch.arange(6))
        store.push("t", rows(torch.full((6, 2), 1. + store.rank), [2, 3 + store.rank]))
        summed = rows(torch.zeros(6, 2), [0])
        store.row_sparse_pull("t", summed, row_ids=torch.arange(6))
        return out.to_dense(), summed.to_dense()

    wanted = torch.tensor([1., 0, 0, 0, 1, 0])
    sums = torch.tensor([0., 0, 3, 1, 2, 0])
    for found, summed in run(list(hosts), work):
        assert torch.equal(found, wanted[:, None].expand(6, 2)) and torch.equal(summed, sums[:, None].expand(6, 2))
