"""Elastic `dist_sync` on real processes: what falls, is stopped, cut off, late or out of memory costs seconds, and no
update: values of all workers agree at every step, and momentum goes on."""
import itertools
import json
import os
import signal
import time
from pathlib import Path

import pytest
import torch

from mxdl.kvstore.launch import Launch
from tests.kvstore.hosts import namespaced
from tests.kvstore.programs import crc_of, gradient
from tests.kvstore.test_elastic_coded import Replay, ReplayRows
from tests.kvstore.test_launch import Running, program, wait_until

pytestmark = pytest.mark.slow

STEPS, TIMEOUT_S = 100, 5.0


def courses(folder: Path) -> dict[str, dict[int, tuple[float, int]]]:
    """{process: {step: (value, workers)}}"""
    found = {}
    for file in folder.glob("course-*"):
        lines = [line.split() for line in file.read_text().splitlines(keepends=True) if line.endswith("\n")]
        found[file.name.removeprefix("course-")] = {int(step): (float(value), int(workers))
                                                    for step, value, workers in lines}
    return found


def least_steps(folder: Path) -> int:
    return min((max(one, default=-1) for one in courses(folder).values()), default=-1)


def launched(folder: Path, workers_at_the_end: int, *arguments, **options) -> Running:
    command = program("elastic_steps", folder, STEPS, workers_at_the_end, *arguments)
    return Running(Launch(command, 3, folder / "logs", **{"timeout": TIMEOUT_S, "elastic": True, **options}))


def begun(running: Running, folder: Path) -> Running:
    wait_until(lambda: len(courses(folder)) == 3 and least_steps(folder) > 5, 300)
    return running


def pid_of(folder: Path, rank: int) -> int:
    return int(next(name for name in courses(folder) if name.startswith(f"{rank}-")).split("-")[1])


def check(folder: Path) -> list[int]:
    """Every step was made once, alike in all who made it, from the state of the one before; its workers, by step."""
    found = courses(folder)
    made: dict[int, float] = {}
    for course in found.values():
        for step, (value, _) in course.items():
            assert made.setdefault(step, value) == value, f"step {step} has two values"
    steps = len(made)
    assert sorted(made) == list(range(steps)) and steps >= STEPS
    workers, before, velocity = [], 0.0, 0.0
    for step in range(steps):
        change = made[step] - before
        workers.append(round(0.5 * velocity - change, 3))
        before, velocity = made[step], change
    assert set(workers) <= {1, 2, 3}, workers
    assert any(len(course) == steps for course in found.values())
    return workers


def most_steps(folder: Path) -> int:
    return max(max(one, default=-1) for one in courses(folder).values())


def until_they_go_on(folder: Path, after: int) -> float:
    """Seconds until three steps past `after` are made."""
    began = time.monotonic()
    wait_until(lambda: most_steps(folder) > after + 3, 60)
    return time.monotonic() - began


@pytest.mark.parametrize("number, restarts", [(signal.SIGKILL, 3), (signal.SIGKILL, 0), (signal.SIGSTOP, 3)],
                         ids=["killed and replaced", "killed", "stopped and replaced"])
def test_the_others_go_on(tmp_path, number, restarts):
    running = begun(launched(tmp_path, 3 if restarts else 2, restarts=restarts), tmp_path)
    os.kill(pid_of(tmp_path, 1), number)
    seconds = until_they_go_on(tmp_path, most_steps(tmp_path))
    print(f"{number.name}: the others went on after {seconds:.1f} s")
    assert seconds < (10 if number is signal.SIGKILL else TIMEOUT_S + 15)
    assert running.join(400) == 0
    workers = check(tmp_path)
    assert set(workers) >= {2, 3} and workers[-1] == (3 if restarts else 2)
    assert len(courses(tmp_path)) == (4 if restarts else 3)


def test_a_late_worker_comes_in(tmp_path):
    """Two begin after 4 s without the third, which comes 15 s later than they."""
    assert launched(tmp_path, 3, 15, variables={"MXDL_JOIN_TIMEOUT": "4"}).join(400) == 0
    workers = check(tmp_path)
    assert workers[0] == 2 and workers[-1] == 3 and len(courses(tmp_path)) == 3


def test_a_worker_out_of_memory_is_replaced(tmp_path):
    """Its program fails with an error once it may allocate no more."""
    assert launched(tmp_path, 3, 0, 150).join(400) == 0
    assert "alloc" in (tmp_path / "logs/worker-1.log").read_text()
    workers = check(tmp_path)
    assert set(workers) >= {2, 3} and workers[-1] == 3 and len(courses(tmp_path)) == 4


@pytest.mark.parametrize("what", ['{"type": "2bit"}', '{"type": "1bit"}', '{"type": "topk", "ratio": 0.1}',
                                  '{"type": "signsgd", "momentum": 0.75, "momentum_at": "server"}', "rows"])
def test_a_worker_killed_amid_a_step_leaves_what_the_repeated_step_makes(tmp_path, what):
    """Every weight of every step has the bits that the groups' steps give in one process; at the end what was sent and
    what is left are the gradients."""
    command = program("elastic_pushes", tmp_path, 60, 3, 20, what)
    running = Running(Launch(command, 3, tmp_path / "logs", timeout=TIMEOUT_S, elastic=True, restarts=3))
    assert running.join(400) == 0
    found: dict[int, dict[int, tuple[str, int]]] = {}       # {step: {rank: (process, CRC)}}
    times = []
    for file in tmp_path.glob("course-*"):
        for line in file.read_text().splitlines():
            step, rank, _, crc, when = line.split()
            found.setdefault(int(step), {})[int(rank)] = file.name.split("-")[2], int(crc)
            times.append(float(when))
    counts = [len(found[step]) for step in range(len(found))]
    assert counts[:20] == [3] * 20 and counts[20] == 2 and counts[-1] == 3 and len(counts) >= 60
    replay = ReplayRows() if what == "rows" else Replay(json.loads(what))
    for step in range(len(found)):
        processes = [found[step][rank][0] for rank in sorted(found[step])]
        replay.step(processes, step)
        assert {crc for _, crc in found[step].values()} == {crc_of(replay.weight)}, step
    times.sort()
    waited = max(later - sooner for sooner, later in itertools.pairwise(times))
    print(f"{what}: {len(found)} steps, the longest wait between two {waited:.1f} s")
    assert waited < 15
    if what != "rows":
        ends = {file.name.split("-")[1]: torch.load(file) for file in tmp_path.glob("end-*")}
        assert len(ends) == 3
        for process, (weight, left_out) in ends.items():
            assert torch.equal(weight, replay.weight) and torch.equal(left_out, replay.residuals[process])
        if "signsgd" not in what:       # which leaves out what it leaves out
            pushed = sum(gradient(process, step) for step, ranks in found.items() for process, _ in ranks.values())
            dead, = set(replay.residuals) - set(ends)
            assert torch.equal(replay.weight + replay.residuals[dead]
                               + sum(left_out for _, left_out in ends.values()), pushed)


@pytest.mark.parametrize("cut", [0, 2])
def test_a_machine_that_is_cut_off_is_done_without(tmp_path, cut):
    """Three machines of a worker each; machine 0 leads the group at the beginning."""
    with namespaced(3, tmp_path) as hosts:
        running = begun(launched(tmp_path, 2, hosts=hosts.hosts, ssh=[str(hosts.ssh)], interface=hosts.address,
                                 restarts=0), tmp_path)
        hosts.cut(cut)
        time.sleep(0.5)     # what was under way
        seconds = until_they_go_on(tmp_path, most_steps(tmp_path))
        print(f"the others went on {seconds:.1f} s after the cut (silence of {TIMEOUT_S:g} s counts as death)")
        assert seconds < TIMEOUT_S + 20
        assert running.join(400) == 0
        workers = check(tmp_path)
        assert workers[0] == 3 and workers[-1] == 2
