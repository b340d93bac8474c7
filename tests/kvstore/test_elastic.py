"""`dist_sync` with `elastic=True`: the living go on without the dead, newcomers come in; workers are threads."""
import dataclasses
import threading

import pytest
import torch

from mxdl.kvstore import ElasticStore, KVStoreError, create
from mxdl.kvstore.control_client import Control
from tests.kvstore.synchronous import job, run
from tests.kvstore.test_dist_sync import RATE, Added

STEPS, KILLED_AT = 12, 5


class Course:
    """What each worker saw: {step: value after it}, by name."""

    def __init__(self):
        self.values = {}
        self.inherited = {}
        self.errors = []
        self.go_on = threading.Event()      # set: the replacement may come, or nobody waits for one

    def work(self, control, name, dies_at=None, waits_at=None):
        try:
            self._train(ElasticStore("dist_sync", control), control, name, dies_at, waits_at)
        except BaseException as error:
            self.errors.append((name, error))
            raise

    def _train(self, store, control, name, dies_at, waits_at):
        seen = self.values[name] = {}
        last = [b"nothing"]
        store.share_state("last step", lambda: last[0], lambda content: last.__setitem__(0, content))
        self.inherited[name] = last[0]
        store.init(["w", "small"], [torch.zeros(300_000), torch.zeros(5)])
        store.set_optimizer(Added())
        while (step := store.next_step()) < STEPS:
            if step == dies_at:
                store.push("small", torch.ones(5))      # the others get half of this step's keys from it
                die(store, control)
                return
            if step == waits_at:
                self.go_on.wait(20)
            store.push(["w", "small"], [torch.ones(300_000), torch.ones(5)])
            out = torch.full((300_000,), -1.), torch.full((5,), -1.)
            store.pull(["w", "small"], list(out))
            assert (out[0] == out[0][0]).all()
            last[0] = str(step).encode()
            seen[step] = out[0][0].item(), out[1][0].item(), store.num_workers
        store.close()
        control.close()


def die(store, control):
    """As the end of a process would: the connection, the lock and the leader's connections go."""
    store._machine.board.tell = lambda *_: None
    control._background.loop.call_soon_threadsafe(control._channel.abort)
    store._machine.close()


def start(*calls):
    threads = [threading.Thread(target=call[0], args=call[1:], daemon=True) for call in calls]
    for thread in threads:
        thread.start()
    return threads


def join(threads):
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive()


@pytest.mark.parametrize("hosts", [["a", "a", "a"], ["a", "b", "b"], ["a", "b", "c"]], ids="".join)
def test_the_living_go_on_and_no_update_is_lost(hosts):
    course = Course()
    with job(hosts, timeout=5) as controls:
        join(start(*[(course.work, control, rank, KILLED_AT if rank == 1 else None)
                     for rank, control in enumerate(controls)]))
    assert not course.errors
    for rank in (0, 2):
        assert sorted(course.values[rank]) == list(range(STEPS))
    assert course.values[0] == course.values[2]
    assert course.values[1] == {step: course.values[0][step] for step in range(KILLED_AT)}
    big = [course.values[0][step][0] for step in range(STEPS)]
    assert big == [RATE * (3 * min(step + 1, KILLED_AT) + 2 * max(0, step + 1 - KILLED_AT)) for step in range(STEPS)]
    small = course.values[0][STEPS - 1][1]      # the dead worker's last push counted, or did not
    assert small - big[-1] in (0, RATE)
    assert course.values[0][STEPS - 1][2] == 2


@pytest.mark.parametrize("hosts", [["a", "a"], ["a", "b"]], ids="".join)
def test_a_replacement_comes_in_between_steps_with_the_values(hosts):
    course = Course()
    with job(hosts, timeout=5) as controls:
        first = start((course.work, controls[0], 0, None, KILLED_AT + 2), (course.work, controls[1], 1, KILLED_AT))
        first[1].join(30)
        again = Control(dataclasses.replace(controls[1].job))
        late = start((course.work, again, "late"))
        course.go_on.set()
        join([*first, *late])
    assert not course.errors
    seen = course.values["late"]
    assert KILLED_AT < min(seen) <= KILLED_AT + 5 and max(seen) == STEPS - 1
    assert seen == {step: course.values[0][step] for step in seen}
    assert course.inherited == {0: b"nothing", 1: b"nothing", "late": str(min(seen) - 1).encode()}
    assert [one[2] for _, one in sorted(course.values[0].items())] == \
        [2 if step < KILLED_AT or step >= min(seen) else 1 for step in range(STEPS)]


def test_elastic_is_an_option_of_create(monkeypatch):
    def work(store):
        assert isinstance(store, ElasticStore) and store.rank == 0

    monkeypatch.setattr("tests.kvstore.synchronous.DistSyncStore", ElasticStore)
    run(["a"], work)
    with pytest.raises(KVStoreError, match="'local' takes no options; got elastic"):
        create("local", elastic=True)
