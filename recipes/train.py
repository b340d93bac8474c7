"""The training loop, written once for every task."""
import contextlib
import json
import math
import signal
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from mxdl.codegen.export import c_name
from mxdl.errors import MXNetError

from .checkpoint import LAST, Checkpoints
from .components import build
from .engine import Engine, Sums, add, contexts, report
from .export import require_formats, to_all
from .metrics import Metrics, PlotMissing, plot
from .progress import Progress, memory_bytes
from .resolve import Resolved
from .run import Run
from .task import Task


class Interrupted(MXNetError):
    """Ctrl-C or SIGTERM: the state is saved.  `code` is the exit code that tells so."""

    def __init__(self, text: str, code: int):
        super().__init__(text)
        self.code = code


@dataclass
class State:
    """Where a run stands: all that a checkpoint holds beside arrays.  Randomness is derived from it."""
    step: int = 0             # updates made
    epoch: int = 0            # epochs finished
    batch: int = 0            # batches made of the epoch under way
    sums: Sums = field(default_factory=dict)
    best: float | None = None
    seconds: float = 0.0      # of training so far, over all parts of a resumed run


@contextlib.contextmanager
def catching_signals() -> Iterator[list[int]]:
    """A list that gets the number of a SIGINT or SIGTERM; the second one ends the process as usual."""
    caught: list[int] = []
    numbers = (signal.SIGINT, signal.SIGTERM)

    def note(number, _frame):
        caught.append(number)
        for each in numbers:
            signal.signal(each, old[each])

    try:
        old = {number: signal.signal(number, note) for number in numbers}
    except ValueError:  # not the main thread: signals are somebody else's
        yield caught
        return
    try:
        yield caught
    finally:
        for number in numbers:
            signal.signal(number, old[number])


class Loop:
    """One run: its engine, state, files and reports."""

    def __init__(self, task: Task, resolved: Resolved, run: Run, progress: Progress, resume: bool):
        self.task, self.recipe, self.run, self.progress = task, resolved.recipe, run, progress
        self.engine = Engine(task, self.recipe, contexts(self.recipe.train.devices))
        self.checkpoints = Checkpoints(run.path("checkpoints"), self.recipe.checkpoint.keep)
        self.state, self._carried = State(), {}
        self.workers = self.engine.workers
        start = self.workers.agree(self.checkpoints.find(LAST).name if resume else "")
        if self.workers.is_elastic and self.workers.is_replacement:
            start = ""      # the others know better than their last checkpoint
        if start:
            folder = self.checkpoints.folder / start
            saved = self.checkpoints.state(folder)
            self._take_over(saved)
            self._carried = self.engine.read(folder)
        self._record: dict[str, Any] = {}
        if self.workers.is_elastic:
            run.is_writer = lambda: self.workers.is_first      # another one, when the first worker dies
        self.workers.share(lambda: json.dumps(asdict(self.state)), lambda text: self._take_over(json.loads(text)))
        self.metrics: Metrics | None = None
        self._open_metrics(self.state.step)
        self._began = time.monotonic() - self.state.seconds
        self._pending: list[tuple[list, int]] = []

    def _take_over(self, saved: dict[str, Any]) -> None:
        self.state = State(**{**saved, "sums": {name: tuple(pair) for name, pair in saved["sums"].items()}})

    def _open_metrics(self, up_to_step: int) -> None:
        """Of several workers, the first one writes figures; where workers come and go, that may be another one now."""
        if not self.workers.is_first:
            self.metrics = None
        elif self.metrics is None:
            self.metrics = Metrics(self.run, self.recipe.log.tensorboard, up_to_step)

    def save(self, best: bool = False) -> None:
        self._settle()
        if not self.workers.is_first:
            return
        self.state.seconds = time.monotonic() - self._began
        self.checkpoints.save(self.state.step, asdict(self.state), self.engine.write, best)

    def _settle(self) -> None:
        """Reads the losses of the steps since the last time and adds them up: reading makes a GPU wait."""
        for losses, size in self._pending:
            add(self.state.sums, {"loss": (sum(float(loss.asscalar()) for loss in losses), float(size))})
        self._pending.clear()

    def run_epoch(self, caught: list[int]) -> float:
        """Trains to the end of the epoch under way; returns words (pictures, ...) a second."""
        state, batches = self.state, self.task.num_batches("train")
        self.task.start_epoch(self.engine.net, self.recipe.train.batch_size, self.engine.devices)
        if self._carried:
            self.task.restore(self._carried)
            self._carried = {}
        began, seen, first = time.monotonic(), 0, state.batch
        for batch in self.task.batches("train", state.epoch, state.batch):
            part = self.workers.part(batch, state.batch, self.task.batch_axis)
            if part is not None:
                losses, sums = self.engine.step(state.step, part, batch.size)
                self._pending.append((losses, part.size))
                add(state.sums, sums)
                seen += part.size
            state.step, state.batch = state.step + 1, state.batch + 1
            if caught:
                self._stop(caught[0])
            if self.progress.due():
                self._settle()
                each = (time.monotonic() - began) / (state.batch - first)
                left = batches * (self.recipe.train.epochs - state.epoch) - state.batch
                self.progress.tick(f"epoch {state.epoch + 1}/{self.recipe.train.epochs}  {state.batch}/{batches}",
                                   report(self.task, state.sums),
                                   seen / (time.monotonic() - began), self.task.unit, left * each)
        self._settle()
        return seen / (time.monotonic() - began)

    def _stop(self, number: int) -> None:
        self.save()
        raise Interrupted(f"stopped by {signal.Signals(number).name}; saved at step {self.state.step}; resume with:\n"
                          f"  mxdl train {self.run.folder} --resume", 128 + number)

    def finish_epoch(self, speed: float) -> None:
        """Evaluates, records and saves."""
        state, epochs, every = self.state, self.recipe.train.epochs, self.recipe.checkpoint.every
        trained = report(self.task, state.sums)
        held_out = self.engine.evaluate()
        state.epoch, state.batch, state.sums = state.epoch + 1, 0, {}
        best_by = next(iter(self.task.measures))
        best = self.task.better(best_by, held_out[best_by], state.best)
        state.best = held_out[best_by] if best else state.best
        seconds = time.monotonic() - self._began
        record = {"epoch": state.epoch, "step": state.step, "rate": self.engine.rate(state.step - 1), "train": trained,
                  "valid": held_out, "seconds": round(seconds, 3), "speed": round(speed, 1),
                  "memory_mb": round(memory_bytes() / 2**20, 1)}
        self._record = record
        self._open_metrics(state.step - 1)
        if self.metrics is not None:
            self.metrics.add(record)
        self.progress.epoch(record, epochs, self.task.unit, seconds / state.epoch * (epochs - state.epoch))
        if best or state.epoch == epochs or every and state.epoch % every == 0:
            self.save(best)

    def run_all(self) -> dict[str, Any]:
        """Trains to the last epoch; returns the last record."""
        with catching_signals() as caught:
            while self.state.epoch < self.recipe.train.epochs:
                self.finish_epoch(self.run_epoch(caught))
                if caught and self.state.epoch < self.recipe.train.epochs:
                    self._stop(caught[0])
        if self.metrics is None:
            return self._record
        self.metrics.close()
        return self.metrics.records[-1]


def prepare(resolved: Resolved) -> Task:
    """The recipe's task with its data read: what can be missing is found before a run folder is made.

    Raises DataMissing, DeviceError, OperatorError (an unknown format in `export`).
    """
    contexts(resolved.recipe.train.devices)
    require_formats(resolved.recipe.export)
    task = build("task", resolved.recipe.task, resolved.recipe)
    task.open()
    return task


def train(task: Task, resolved: Resolved, run: Run, progress: Progress, resume: bool = False) -> dict[str, Any]:
    """Trains a prepared task in a run folder; returns the last epoch's record.

    Raises NotFinite, Interrupted, OSError (a full disk), CheckpointMissing when there is none to resume.
    """
    run.write_info(facts=task.facts)
    loop = Loop(task, resolved, run, progress, resume)
    progress.event("start", run=str(run.folder), recipe=resolved.name, step=loop.state.step)
    where = f"from step {loop.state.step} " if resume else ""
    progress.say(f"{resolved.name}: training {where}in {run.folder} on {', '.join(map(str, loop.engine.devices))}")
    record = loop.run_all()
    if resolved.recipe.export and loop.metrics is not None:
        name = c_name(Path(resolved.name))
        for path in to_all(resolved.recipe.export, task, loop.engine.net, loop.engine.devices, run.folder, name):
            hint = "; open it in a browser" if path.suffix == ".html" else ""
            progress.say(f"exported {path} ({path.stat().st_size / 1e6:.1f} MB){hint}")
    if resolved.recipe.log.plot and loop.metrics is not None:
        try:
            plot(loop.metrics.records, resolved.name, run.path("metrics.png"))
        except PlotMissing as error:
            progress.say(str(error))
    return record


def dry_run(resolved: Resolved, folder: Path, steps: int = 2) -> dict[str, Any]:
    """Builds everything, trains `steps` on synthetic data, evaluates, writes a checkpoint and reads it."""
    task = build("task", resolved.recipe.task, resolved.recipe)
    task.open(synthetic=True)
    engine = Engine(task, resolved.recipe, contexts(resolved.recipe.train.devices))
    task.start_epoch(engine.net, resolved.recipe.train.batch_size, engine.devices)
    began = time.monotonic()
    for number, batch in zip(range(steps), task.batches("train", 0), strict=False):
        losses, _ = engine.step(number, batch)
        total = sum(float(loss.asscalar()) for loss in losses) / batch.size
    seconds = time.monotonic() - began
    checkpoints = Checkpoints(folder)
    engine.read(checkpoints.save(steps, asdict(State(step=steps)), engine.write, best=True))
    count = sum(math.prod(p.shape) for p in engine.net.collect_params().values())
    return {"parameters": count, "loss": total, "seconds": round(seconds, 3), "valid": engine.evaluate(),
            "memory_mb": round(memory_bytes() / 2**20, 1)}
