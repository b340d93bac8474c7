"""Using what a run made: its net from a checkpoint, measured on the held-out data or ready to answer."""
from pathlib import Path

from mxdl.errors import MXNetError

from .checkpoint import LAST, Checkpoints
from .components import build, registered
from .engine import contexts, evaluate, make_net
from .resolve import Resolved
from .run import Run, RunFolderError
from .task import VALID, Task


class ExpectationMissed(MXNetError):
    """A run is worse than its recipe's `expect` allows; only with `mxdl train --check`."""
    code = 1


def newest_run(name: str, root: Path = Path("runs")) -> Run:
    """The latest run of a recipe under `root`.  Raises RunFolderError."""
    found = [Run(path) for path in root.iterdir() if Run.is_one(path)] if root.is_dir() else []
    mine = [run for run in found if run.info["name"] == name]
    if not mine:
        raise RunFolderError(f"{root}: there is no run of {name}; train one with: mxdl train {name}")
    return max(mine, key=lambda run: run.info["started"])


def trained(run: Run, resolved: Resolved, which: str = LAST) -> tuple[Task, object, list]:
    """(task, net, devices) of a run's checkpoint; no data is read.  Raises CheckpointMissing."""
    folder = Checkpoints(run.path("checkpoints")).find(which)
    task = build("task", resolved.recipe.task, resolved.recipe, run.info["facts"])
    devices = contexts(resolved.recipe.train.devices)
    return task, make_net(task, resolved.recipe.train, devices, folder / "model.params"), devices


def evaluate_run(run: Run, resolved: Resolved, which: str = LAST) -> dict[str, float]:
    """The measures of a run's checkpoint on the held-out data."""
    task, net, devices = trained(run, resolved, which)
    task.open()
    return evaluate(task, net, devices, VALID)


def missed(resolved: Resolved, held_out: dict[str, float]) -> str:
    """How measures miss what the recipe expects; empty when they do not, or when it expects nothing."""
    expect = resolved.recipe.expect
    if not expect.metric or expect.value is None:
        return ""
    larger = registered("task")[resolved.recipe.task.name].build.measures[expect.metric]
    bound = expect.value - expect.tolerance if larger else expect.value + expect.tolerance
    reached = held_out[expect.metric]
    if reached >= bound if larger else reached <= bound:
        return ""
    return (f"{resolved.name}: {expect.metric} {reached:.4f} misses what the recipe expects "
            f"({'at least' if larger else 'at most'} {bound:.4f})")
