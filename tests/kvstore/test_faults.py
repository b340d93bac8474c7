"""Death, silence and bad links, on real processes: what is lost (nothing acknowledged), how long until all goes on."""
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mxdl.kvstore import launch_status
from mxdl.kvstore.launch import Launch
from tests.kvstore.hosts import namespaced
from tests.kvstore.test_launch import ROOT, Running, acknowledged, program, values, wait_until

STEPS = 150


def by_process(folder: Path) -> dict[str, int]:
    return {file.name: int(file.read_text() or 0) for file in folder.glob("acknowledged-*")}


def assert_nothing_acknowledged_is_lost(folder: Path, num_killed: int) -> None:
    """Every acknowledged push is in the value, and at most one more for each process that was killed in between."""
    low, high = max(values(folder))     # of the worker that ended last
    assert low == high and acknowledged(folder) <= low <= acknowledged(folder) + num_killed


def launched(folder: Path, num_workers: int, num_servers: int, steps: int = STEPS, **options) -> Running:
    running = Running(Launch(program("push_ones", folder, steps), num_workers, folder / "logs", num_servers,
                             timeout=2.0, **options))
    wait_until(lambda: len(by_process(folder)) == num_workers and min(by_process(folder).values()) > 5)
    return running


@pytest.mark.slow
def test_a_killed_server_loses_nothing_that_was_acknowledged(tmp_path):
    running = launched(tmp_path, 2, 2)
    os.kill(running.process("server", 0).pid, signal.SIGKILL)
    before, began = acknowledged(tmp_path), time.monotonic()
    wait_until(lambda: acknowledged(tmp_path) > before + 4, 30)
    print(f"going on {time.monotonic() - began:.1f} s after the server's death")
    assert running.join() == 0 and running.process("server", 0).restarts == 1
    assert "took up 0 keys" not in (tmp_path / "logs/server-0.log").read_text()
    assert acknowledged(tmp_path) == 2 * STEPS
    assert_nothing_acknowledged_is_lost(tmp_path, 0)


@pytest.mark.slow
def test_a_stopped_server_is_replaced(tmp_path):
    running = launched(tmp_path, 2, 1)
    os.kill(running.process("server", 0).pid, signal.SIGSTOP)
    before, began = acknowledged(tmp_path), time.monotonic()
    wait_until(lambda: acknowledged(tmp_path) > before + 4, 40)
    print(f"going on {time.monotonic() - began:.1f} s after the server was stopped (counted dead after 2 s)")
    assert running.join() == 0 and running.process("server", 0).restarts == 1
    assert_nothing_acknowledged_is_lost(tmp_path, 0)


@pytest.mark.parametrize("number", [signal.SIGKILL, pytest.param(signal.SIGSTOP, marks=pytest.mark.slow)])
def test_a_dead_worker_holds_nobody_up_and_is_replaced(tmp_path, number):
    running = launched(tmp_path, 3, 1)
    victim = next(name for name in by_process(tmp_path) if name.startswith("acknowledged-1-"))
    os.kill(int(victim.rsplit("-", 1)[1]), number)
    others = [name for name in by_process(tmp_path) if name != victim]
    before = by_process(tmp_path)
    wait_until(lambda: all(by_process(tmp_path)[name] > before[name] + 4 for name in others), 5)
    wait_until(lambda: len(by_process(tmp_path)) == 4, 40)
    assert running.join() == 0 and running.process("worker", 1).restarts == 1
    assert_nothing_acknowledged_is_lost(tmp_path, 1)


@pytest.mark.slow
def test_without_a_journal_a_server_s_death_is_an_error_and_nobody_hangs(tmp_path):
    running = launched(tmp_path, 2, 1, journal=False, restarts=0)
    began = time.monotonic()
    os.kill(running.process("server", 0).pid, signal.SIGKILL)
    assert running.join(30) == 137 and time.monotonic() - began < 20


@pytest.mark.slow
def test_workers_end_when_their_launcher_is_killed(tmp_path):
    command = [sys.executable, "-m", "mxdl.cli.main", "launch", "-n", "2", "-s", "1", "--out", str(tmp_path / "logs"),
               *program("push_ones", tmp_path, 100000)]
    launcher = subprocess.Popen(command, stdout=subprocess.DEVNULL, env={**os.environ, "PYTHONPATH": str(ROOT)})
    wait_until(lambda: acknowledged(tmp_path) > 5)
    pids = [one.pid for one in launch_status.read(tmp_path / "logs").processes]
    launcher.kill()
    launcher.wait()
    began = time.monotonic()
    wait_until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in pids), 30)
    print(f"all ended {time.monotonic() - began:.1f} s after the launcher's death")


@pytest.mark.slow
def test_a_machine_that_is_cut_off_holds_nobody_up(tmp_path):
    with namespaced(2, tmp_path) as hosts:
        running = launched(tmp_path, 2, 1, hosts=hosts.hosts, ssh=[str(hosts.ssh)], interface=hosts.address,
                           keep_going=True, restarts=0)      # server 0 and worker 0 on the first machine
        hosts.cut(1)
        began = time.monotonic()
        before = by_process(tmp_path)
        kept = next(name for name in before if name.startswith("acknowledged-0-"))
        wait_until(lambda: by_process(tmp_path)[kept] > before[kept] + 4, 5)
        assert running.join(60) != 0        # the lost worker failed
        print(f"the others ended {time.monotonic() - began:.1f} s after the cut")
        assert (tmp_path / "value-0").exists() and not (tmp_path / "value-1").exists()
        assert by_process(tmp_path)[kept] == STEPS
        assert_nothing_acknowledged_is_lost(tmp_path, 1)
        assert "ControlLostError" in (tmp_path / "logs/worker-1.log").read_text() or \
            running.process("worker", 1).exit_code != 0


@pytest.mark.slow
def test_a_slow_link_is_no_death(tmp_path):
    with namespaced(2, tmp_path) as hosts:
        hosts.shape("1mbit")
        running = launched(tmp_path, 2, 1, 30, hosts=hosts.hosts, ssh=[str(hosts.ssh)], interface=hosts.address)
        assert running.join() == 0
        assert {one.status.restarts for one in running.launcher.processes} == {0}
        assert values(tmp_path) == [[60, 60], [60, 60]]


@pytest.mark.slow
def test_lost_packets_are_no_death(tmp_path):
    with namespaced(2, tmp_path) as hosts:
        hosts.lose(5)
        running = launched(tmp_path, 2, 1, 30, hosts=hosts.hosts, ssh=[str(hosts.ssh)], interface=hosts.address)
        assert running.join() == 0 and hosts.lost() > 0
        assert {one.status.restarts for one in running.launcher.processes} == {0}
        assert values(tmp_path) == [[60, 60], [60, 60]]


@pytest.mark.slow
def test_in_step_lost_packets_are_no_death(tmp_path):
    """5 % of the packets (of up to 64 KB on such links) are lost; each step's sum is compared in the workers."""
    with namespaced(2, tmp_path) as hosts:
        hosts.lose(5)
        running = Running(Launch(program("sum_steps", tmp_path, 30, 0), 2, tmp_path / "logs", timeout=5.0, restarts=0,
                                 hosts=hosts.hosts, ssh=[str(hosts.ssh)], interface=hosts.address))
        assert running.join() == 0 and hosts.lost() > 20
        assert list(by_process(tmp_path).values()) == [30, 30]


@pytest.mark.slow
def test_a_late_joiner_takes_part(tmp_path):
    """Worker 1 of 2 starts when the other has long been pushing."""
    late = ["sh", "-c", f"test $MXDL_RANK = 0 || sleep 6; exec {' '.join(program('push_ones', tmp_path, 60))}"]
    running = Running(Launch(late, 2, tmp_path / "logs", 1))
    assert running.join() == 0
    assert values(tmp_path) == [[120, 120], [120, 120]]


@pytest.mark.parametrize("number", [signal.SIGKILL, pytest.param(signal.SIGSTOP, marks=pytest.mark.slow)])
def test_in_step_a_death_ends_every_worker_with_one_clear_error(tmp_path, number):
    """keep_going: the launcher leaves the others alone, so they must end by themselves."""
    running = Running(Launch(program("sum_steps", tmp_path, 100_000), 3, tmp_path / "logs", timeout=3.0, restarts=0,
                             keep_going=True))
    wait_until(lambda: len(by_process(tmp_path)) == 3 and min(by_process(tmp_path).values()) > 5)
    victim = next(name for name in by_process(tmp_path) if name.startswith("acknowledged-1-"))
    os.kill(int(victim.rsplit("-", 1)[1]), number)
    began = time.monotonic()
    assert running.join(40) != 0
    print(f"all ended {time.monotonic() - began:.1f} s after worker 1's {number.name} (counted dead after 3 s)")
    for rank in (0, 2):
        text = (tmp_path / f"logs/worker-{rank}.log").read_text()
        assert "DeadWorkerError: worker 1 is dead" in text and "the last complete step is" in text
