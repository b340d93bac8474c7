"""Several workers train one recipe: who trains what, and the same result as one process."""
import csv
import os
import signal
import threading
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from mxdl.cli.main import main
from mxdl.kvstore import launch_status
from mxdl.recipes.task import Batch, Task
from mxdl.recipes.workers import NotForWorkers, Workers
from tests.kvstore.hosts import namespaced
from tests.kvstore.test_launch import wait_until


class Store:
    is_replacement = False

    def __init__(self, kind, rank, num_workers, is_elastic=False):
        self.type, self.rank, self.num_workers, self.is_elastic = kind, rank, num_workers, is_elastic


def batch(length: int) -> Batch:
    return Batch(np.arange(length), np.arange(length), length)


def test_in_step_every_batch_is_divided_and_nothing_is_lost():
    parts = [Workers(Store("dist_sync", rank, 3)).part(batch(8), 5, 0) for rank in range(3)]
    assert np.concatenate([part.data for part in parts]).tolist() == list(range(8))
    assert [part.size for part in parts] == [3, 3, 2]
    assert [Workers(Store("dist_sync", rank, 3)).part(batch(2), 5, 0) for rank in range(3)] == [None] * 3


def test_where_workers_come_and_go_the_living_divide_every_batch():
    stores = [Store("dist_sync", rank, 3, is_elastic=True) for rank in range(3)]
    workers = [Workers(store) for store in stores]
    parts = [one.part(batch(8), 5, 0) for one in workers]
    assert np.concatenate([part.data for part in parts]).tolist() == list(range(8))
    assert [one.part(batch(2), 5, 0).data.tolist() for one in workers] == [[0], [1], [0]]
    for store, rank in ((stores[1], 0), (stores[2], 1)):      # worker 0 dies
        store.rank, store.num_workers = rank, 2
    assert np.concatenate([one.part(batch(8), 5, 0).data for one in workers[1:]]).tolist() == list(range(8))
    assert workers[1].is_first and not workers[2].is_first


def test_at_their_own_pace_workers_take_batches_in_turn():
    workers = [Workers(Store("dist_async", rank, 3)) for rank in range(3)]
    taken = [[number for number in range(7) if one.part(batch(4), number, 0) is not None] for one in workers]
    assert taken == [[0, 3, 6], [1, 4], [2, 5]]


def test_alone_a_worker_has_all_and_writes():
    whole = batch(4)
    assert Workers().part(whole, 1, 0) is whole and Workers().is_first and not Workers().is_replacement


def test_a_task_that_carries_states_is_refused():
    class Carrying(Task):
        def carried(self):
            return {"state": 1}
    recipe = SimpleNamespace(task=SimpleNamespace(name="lines"), train=SimpleNamespace(clip_norm=2.0))
    with pytest.raises(NotForWorkers, match="lines.*without --launch"):
        Workers(Store("dist_sync", 0, 2)).check(Carrying(recipe))
    Workers().check(Carrying(recipe))
    with pytest.raises(NotForWorkers, match=r"clip_norm=2; launch it without --elastic"):
        Workers(Store("dist_sync", 0, 2, is_elastic=True)).check(Task(recipe))


@pytest.mark.parametrize("words", [[], ["--launch", "2", "train.kvstore=dist_async"]])
def test_elastic_without_workers_that_go_in_step_is_refused(words, tmp_path, capsys):
    assert main(["train", "vision/lenet_digits", "--elastic", "--out", str(tmp_path / "run"), *words]) == 2
    assert "--elastic is for several workers that go in step; got --launch" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def figures(folder: Path) -> list[dict[str, float]]:
    with open(folder / "metrics.csv", newline="") as stream:
        return [{name: float(value) for name, value in row.items()} for row in csv.DictReader(stream)]


def train(folder: Path, *words: str, epochs: int = 2) -> list[dict[str, float]]:
    assert main(["train", "vision/lenet_digits", f"train.epochs={epochs}", "log.plot=false", "--quiet", "--out",
                 str(folder), *words]) == 0
    return figures(folder)


@pytest.mark.slow
def test_launched_workers_train_as_one_process_does(tmp_path):
    alone, together = train(tmp_path / "alone"), train(tmp_path / "together", "--launch", "2")
    assert len(alone) == len(together) == 2
    for one, other in zip(alone, together, strict=True):
        assert one["valid_loss"] == pytest.approx(other["valid_loss"], abs=1e-5) and one["step"] == other["step"]


def kill_once(folder: Path, rank: int) -> threading.Thread:
    """Kills a worker once the run has its first checkpoint."""
    def work():
        wait_until(lambda: (folder / "checkpoints/last").exists(), 120)
        status = launch_status.read(folder / "launch")
        pid = next(one.pid for one in status.processes if (one.role, one.rank) == ("worker", rank))
        os.killpg(pid, signal.SIGKILL)      # with what stands for the other end of ssh
    thread = threading.Thread(target=work)
    thread.start()
    return thread


@pytest.mark.slow
@pytest.mark.parametrize("kvstore", ["dist_sync", "dist_async"])
def test_a_worker_killed_half_way_does_not_cost_the_result(tmp_path, kvstore):
    """dist_sync goes back to its last checkpoint, so it even ends with the same figures."""
    folder = tmp_path / "killed"
    killer = kill_once(folder, 1)
    found = train(folder, "--launch", "2", f"train.kvstore={kvstore}", epochs=12)
    killer.join()
    status = launch_status.read(folder / "launch")
    assert sum(one.restarts for one in status.processes) >= 1
    assert found[-1]["epoch"] == 12 and found[-1]["valid_accuracy"] > 0.93
    if kvstore == "dist_sync":
        alone = train(tmp_path / "alone", epochs=12)
        assert found[-1]["valid_loss"] == pytest.approx(alone[-1]["valid_loss"], abs=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("rank", [0, 2])
def test_elastic_workers_on_two_machines_train_on_when_one_is_killed(tmp_path, rank):
    """The one that writes the files, or another: no epoch is lost or repeated, and nobody else is started again."""
    folder, hosts_file = tmp_path / "killed", tmp_path / "hosts"
    with namespaced(2, tmp_path) as hosts:
        hosts_file.write_text("".join(f"{name} slots=2\n" for name in hosts.names))
        killer = kill_once(folder, rank)
        found = train(folder, "--launch", "4", "--elastic", "--hosts", str(hosts_file), "--ssh", str(hosts.ssh),
                      "--interface", hosts.address, epochs=20)
        killer.join()
    status = launch_status.read(folder / "launch")
    assert [one.restarts for one in status.processes] == [int(one.rank == rank) for one in status.processes]
    assert [one["epoch"] for one in found] == list(range(1, 21))
    steps = found[0]["step"]
    assert [one["step"] for one in found] == [steps * (number + 1) for number in range(20)]
    alone = train(tmp_path / "alone", epochs=20)
    assert found[-1]["step"] == alone[-1]["step"]
    assert found[-1]["valid_accuracy"] > alone[-1]["valid_accuracy"] - 0.02
