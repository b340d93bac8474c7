"""Several workers train one recipe: who trains what, and the same result as one process."""
import csv
import os
import signal
import threading
from pathlib import Path

import numpy as np
import pytest

from mxdl.cli.main import main
from mxdl.kvstore import launch_status
from mxdl.recipes.task import Batch, Task
from mxdl.recipes.workers import NotForWorkers, Workers
from tests.kvstore.test_launch import wait_until


class Store:
    is_replacement = False

    def __init__(self, kind, rank, num_workers):
        self.type, self.rank, self.num_workers = kind, rank, num_workers


def batch(length: int) -> Batch:
    return Batch(np.arange(length), np.arange(length), length)


def test_in_step_every_batch_is_divided_and_nothing_is_lost():
    parts = [Workers(Store("dist_sync", rank, 3)).part(batch(8), 5, 0) for rank in range(3)]
    assert np.concatenate([part.data for part in parts]).tolist() == list(range(8))
    assert [part.size for part in parts] == [3, 3, 2]
    assert [Workers(Store("dist_sync", rank, 3)).part(batch(2), 5, 0) for rank in range(3)] == [None] * 3


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
    recipe = type("Recipe", (), {"task": type("Choice", (), {"name": "lines"})})
    with pytest.raises(NotForWorkers, match="lines.*without --launch"):
        Workers(Store("dist_sync", 0, 2)).check(Carrying(recipe))
    Workers().check(Carrying(recipe))


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
        os.kill(next(one.pid for one in status.processes if (one.role, one.rank) == ("worker", rank)), signal.SIGKILL)
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
