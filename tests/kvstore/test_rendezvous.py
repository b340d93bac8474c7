"""Joining a job, shared keys, groups, barriers, deaths: several members in one process, and Gloo over the store."""
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
import torch
import torch.distributed as dist

from mxdl.kvstore.control import ControlServer
from mxdl.kvstore.control_client import Control
from mxdl.kvstore.errors import ControlLostError, DeadWorkerError, EvictedError, JoinRefusedError
from mxdl.kvstore.job import Job
from mxdl.kvstore.rendezvous import SharedStore, connect


@pytest.fixture
def job():
    """A job with a control server; `job(rank)` describes one worker."""
    controls = []
    servers = []

    def make(num_workers=2, **options):
        server = ControlServer(Job(num_workers=num_workers, port=0, hosts_control=False, **options))
        address, port = server.start()
        servers.append(server)

        def join(rank=-1, **changes):
            about = dict(rank=rank, num_workers=num_workers, address=address, port=port, hosts_control=False,
                         **options)
            control = Control(Job(**{**about, **changes}))
            controls.append(control)
            return control
        join.server = server
        return join
    yield make
    for control in controls:
        control.close()
    for server in servers:
        server.close()


def both(*calls):
    with ThreadPoolExecutor(len(calls)) as pool:
        return [future.result(30) for future in [pool.submit(call) for call in calls]]


def cut(control):
    """What a kill -9 looks like from outside: the connection ends without a word."""
    control._background.loop.call_soon_threadsafe(control._channel.abort)


def test_ranks_are_given_in_the_order_of_joining(job):
    join = job(3)
    assert [join().job.rank for _ in range(3)] == [0, 1, 2]
    with pytest.raises(JoinRefusedError, match="has its 3 workers already"):
        join()


def test_keys_are_shared(job):
    join = job()
    a, b = SharedStore(join(0)), SharedStore(join(1))
    a.set("x", b"1")
    assert b.get("x") == b"1" and b.check(["x"]) and not b.check(["x", "y"])
    assert [a.add("n", 2), b.add("n", -5)] == [2, -3]
    assert b.compare_set("x", b"1", b"2") == b"2" and a.compare_set("x", b"1", b"3") == b"2"
    a.append("x", b"4")
    assert b.multi_get(["x", "n"]) == [b"24", b"-3"]
    assert a.num_keys() == 2 and a.delete_key("x") and not a.delete_key("x") and b.num_keys() == 1
    assert both(lambda: a.get("late"), lambda: (time.sleep(0.1), b.set("late", b"v")))[0] == b"v"
    with pytest.raises(TimeoutError, match="missing"):
        a.wait(["missing"], timedelta(seconds=0.05))


def test_gloo_meets_in_the_store(job):
    join = job()
    controls = [join(0), join(1)]

    def reduce(rank):
        group = dist.ProcessGroupGloo(SharedStore(controls[rank], "gloo"), rank, 2, timedelta(seconds=10))
        total = torch.full((1000,), rank + 1.0)
        group.allreduce([total]).wait()
        return total[0].item()
    assert both(lambda: reduce(0), lambda: reduce(1)) == [3.0, 3.0]


def test_a_group_forms_of_all_workers_and_knows_who_shares_a_machine(job):
    join = job(3)
    controls = [join(0, host="a"), join(1, host="b"), join(2, host="b")]
    groups = both(*[control.form for control in controls])
    assert [group.ranks for group in groups] == [[0, 1, 2]] * 3
    assert {group.generation for group in groups} == {1}
    assert [(one.job.local_rank, one.job.local_size, one.job.leader) for one in controls] == [
        (0, 1, 0), (0, 2, 1), (1, 2, 1)]


def test_who_does_not_come_is_named(job):
    join = job(3)
    control = join(1)
    with pytest.raises(TimeoutError, match=r"workers \[0, 2\] never joined"):
        control.form(timeout=0.2)
    with pytest.raises(TimeoutError, match=r"workers \[0, 2\] never joined"):
        control.barrier("start", timeout=0.2)


def test_a_cut_connection_is_a_death_at_once_and_the_survivors_form_again(job):
    join = job(3)
    controls = [join(rank) for rank in range(3)]
    group = both(*[control.form for control in controls])[0]
    for step, control in enumerate(controls, 5):
        control.report_step(step)
    time.sleep(2.2)  # a heartbeat carries the step
    cut(controls[1])
    began = time.monotonic()
    error = controls[0].explain(RuntimeError("connection reset"), group)
    assert isinstance(error, DeadWorkerError) and error.ranks == [1] and time.monotonic() - began < 5
    assert error.last_step == 5 and "worker 1 is dead (its connection ended); the last complete step is 5" in str(error)
    with pytest.raises(DeadWorkerError, match="worker 1 is dead"):
        controls[2].barrier("step", strict=True)
    again = both(*[lambda one=one: one.form(minimum=2, patience=0.1) for one in (controls[0], controls[2])])
    assert [one.ranks for one in again] == [[0, 2], [0, 2]] and again[0].generation == 2
    both(lambda: controls[0].barrier("after", strict=True), lambda: controls[2].barrier("after", strict=True))


def test_who_left_because_of_a_death_is_not_named(job):
    join = job(3)
    controls = [join(rank) for rank in range(3)]
    group = both(*[control.form for control in controls])[0]
    controls[2].close()
    assert controls[0].wait_for(lambda: controls[0].member("worker", 2).state == "left", 5)
    assert controls[0].explain(RuntimeError("reset"), group).ranks == [2]
    cut(controls[1])
    assert controls[0].wait_for(lambda: controls[0].member("worker", 1).state == "dead", 5)
    assert controls[0].explain(RuntimeError("reset"), group).ranks == [1]
    with pytest.raises(DeadWorkerError, match="worker 1 is dead"):
        controls[0].barrier("end", strict=True)


def test_a_replacement_takes_the_place_of_a_dead_worker(job):
    join = job(2)
    a, b = join(0), join(1)
    both(a.form, b.form)
    with pytest.raises(JoinRefusedError, match="alive already"):
        join(1, join_timeout=0.3)
    cut(b)
    new = join(1)
    assert new.session > b.session
    group, _ = both(a.form, new.form)
    assert [one.session for one in group.members] == [a.session, new.session]


def test_a_silent_member_is_dead_after_the_timeout_and_stays_out(job):
    join = job(2, timeout=1.0)
    a, b = join(0), join(1)
    both(a.form, b.form)
    b._background.loop.call_soon_threadsafe(lambda: time.sleep(2.5))     # as SIGSTOP does
    began = time.monotonic()
    assert a.wait_for(lambda: a.member("worker", 1).state == "dead", 5)
    assert 0.8 < time.monotonic() - began < 2.5
    assert a.member("worker", 1).reason == "it was silent for 1 s"
    time.sleep(2.5)
    with pytest.raises((EvictedError, ControlLostError)):
        b.barrier("late", timeout=1)


def test_a_lost_control_server_ends_every_wait(job):
    join = job(2)
    a = join(0)
    threading.Timer(0.2, join.server.close).start()
    began = time.monotonic()
    with pytest.raises(ControlLostError, match="is gone"):
        a.form(timeout=30)
    assert time.monotonic() - began < 5
    with pytest.raises(ControlLostError):
        a.barrier("x")


def test_who_leaves_is_not_waited_for(job):
    join = job(2)
    a, b = join(0), join(1)
    b.close()
    a.barrier("end", timeout=5)
    assert a.member("worker", 1).state == "left"


def test_worker_0_can_host_the_control_server():
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    one = Job(rank=0, num_workers=2, port=port)
    other = Job(rank=1, num_workers=2, port=port, hosts_control=False)
    second, first = both(lambda: connect(other), lambda: (time.sleep(0.3), connect(one))[1])
    both(first.form, second.form)
    assert connect(one) is first
    second.close()
    first.close()
    assert connect(Job(rank=0, num_workers=1, port=port)) is not first
    connect(Job(rank=0, num_workers=1, port=port)).close()


def test_the_control_server_lasts_until_the_others_have_left(caplog):
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    first = Control(Job(rank=0, num_workers=2, port=port, hosts_control=True))
    second = Control(Job(rank=1, num_workers=2, port=port, hosts_control=False))
    began = time.monotonic()
    both(first.close, lambda: (time.sleep(0.5), second.close()))
    assert not caplog.records and 0.5 <= time.monotonic() - began < 1.5
    first = Control(Job(rank=0, num_workers=2, port=port, hosts_control=True))
    second = Control(Job(rank=1, num_workers=2, port=port, hosts_control=False))
    began = time.monotonic()
    first.close()      # the other one takes its time
    assert 1.5 < time.monotonic() - began < 4
    second.close()


def test_an_old_start_of_the_job_is_refused(job):
    join = job(2, generation=3)
    with pytest.raises(JoinRefusedError, match="started again since; got a process of start 2"):
        join(0, generation=2)
